"""What Kairos does inside DaVinci Resolve and Fusion: standard library and Resolve's own objects only."""
