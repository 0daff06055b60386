"""GIMM (NeurIPS 2024): the published model of motion, and the path of every pixel from it."""
