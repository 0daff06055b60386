"""FILM (ECCV 2022): the published network."""
