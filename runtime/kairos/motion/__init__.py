"""Tensors and flows: warping, splatting, occlusion, composition. torch and numpy alone; with numba, faster on the CPU.

Flows are (2, H, W) float32 in pixels, x right, y down.
"""
