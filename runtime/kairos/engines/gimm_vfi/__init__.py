"""GIMM-VFI (NeurIPS 2024): the published network that paints along GIMM's motion."""
