"""What a host imports: parameters, jobs, timing, channel naming. Standard library only, Python 3.9 and later."""

__version__ = "0.1.0"
