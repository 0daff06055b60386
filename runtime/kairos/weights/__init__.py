"""Weights of published networks: read from any official file without running it, recognised, kept per user."""
