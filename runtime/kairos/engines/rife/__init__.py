"""RIFE (ECCV 2022) and the author's later versions: the published networks."""
