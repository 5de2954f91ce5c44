"""What people call: one function a command, from a source folder to designs.

Each function is the command of the same name without the command line. One module a room of the library.
"""

from tfdvbpr.api.data import describe, prepare
from tfdvbpr.api.designing import design, generate, interpolate, tailor
from tfdvbpr.api.evaluation import (
    compare,
    evaluate,
    evaluate_attributes,
    evaluate_designs,
    evaluate_gan,
    experiment,
)
from tfdvbpr.api.exporting import export_designer, export_recommender
from tfdvbpr.api.recommending import explain, update_items
from tfdvbpr.api.training import train, train_gan

__all__ = [
    "compare",
    "describe",
    "design",
    "evaluate",
    "evaluate_attributes",
    "evaluate_designs",
    "evaluate_gan",
    "experiment",
    "explain",
    "export_designer",
    "export_recommender",
    "generate",
    "interpolate",
    "prepare",
    "tailor",
    "train",
    "train_gan",
    "update_items",
]
