"""RAFT (ECCV 2020): the published networks that find the motion between two frames."""
