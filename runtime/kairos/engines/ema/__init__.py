"""EMA-VFI (CVPR 2023): the published networks."""
