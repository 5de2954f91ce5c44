"""What people call: one function a command, from a source folder to designs.

Each function is the command of the same name without the command line. One module a room of the library.
"""

from tfdvbpr.api.data import describe, prepare
from tfdvbpr.api.designing import design, generate, interpolate, tailor
from tfdvbpr.api.evaluation import compare, evaluate, experiment
from tfdvbpr.api.exporting import export_designer, export_recommender
from tfdvbpr.api.judging import attributes_in_designs, evaluate_designs, evaluate_gan
from tfdvbpr.api.recommending import explain, update_items
from tfdvbpr.api.training import train, train_gan

__all__ = [
    "attributes_in_designs",
    "compare",
    "describe",
    "design",
    "evaluate",
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
