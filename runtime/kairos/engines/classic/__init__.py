"""``classic``: optical flow without learning."""
