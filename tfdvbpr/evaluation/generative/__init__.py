"""Figures of generated pictures, of plain arrays: who drew them, and what looked at them, is the caller's business."""
