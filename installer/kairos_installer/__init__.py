"""Builds the bundled runtime: a private environment with torch and the image libraries, made on first use.

Standard library only; runs on any Python 3.9 or later that the system has.
"""
