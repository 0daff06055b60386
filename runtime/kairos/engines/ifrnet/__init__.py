"""IFRNet (CVPR 2022): the published network."""
