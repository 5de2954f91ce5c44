"""What people call: one function a command, from a source folder to designs.

Each function is the command of the same name without the command line. One module a room of the library.
"""

from tfdvbpr.api.data import describe, prepare, prepare_fashion_mnist, prepare_synthetic
from tfdvbpr.api.designing import generate, interpolate, make_designs, tailor
from tfdvbpr.api.evaluation import compare, evaluate, experiment
from tfdvbpr.api.exporting import export_designer, export_recommender
from tfdvbpr.api.recommending import explain, update_items
from tfdvbpr.api.training import train, train_gan

__all__ = [
    "compare",
    "describe",
    "evaluate",
    "experiment",
    "explain",
    "export_designer",
    "export_recommender",
    "generate",
    "interpolate",
    "make_designs",
    "prepare",
    "prepare_fashion_mnist",
    "prepare_synthetic",
    "tailor",
    "train",
    "train_gan",
    "update_items",
]
