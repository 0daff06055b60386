"""``inbetween``: what happens between two key frames that are seconds apart, by Stable Video Diffusion."""
