"""The version, kept apart so that building and importing need nothing else."""

__version__ = "0.2.0"
