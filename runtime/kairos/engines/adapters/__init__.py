"""What makes an engine of a published network: padding, sharing, tiling, any time, and the full answer."""
