"""Served models, with TensorFlow.

store.py: versions on disk and which of them are served; loading.py: one loaded version.
"""
