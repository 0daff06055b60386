"""Generative inbetweening: Stable Video Diffusion forward from one key frame and backward from the other.

Wang et al., "Generative Inbetweening", arXiv 2408.15239 (rotated temporal self-attention), and Feng et al.,
"Explorative Inbetweening of Time and Space", arXiv 2403.14611 (time-reversal fusion, ``trf``). The networks are those
of the optional package ``diffusers``, unchanged.
"""
