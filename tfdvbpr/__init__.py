"""Visually-aware fashion recommendation and design."""
