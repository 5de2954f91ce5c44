"""The public functions, one for each command and of the same name: from a source folder to designs.

`data` prepares datasets, `training` makes runs of them, `evaluation` measures runs, `attacks` changes photos against
them, `reporting` writes a page on them, `runs` explains, extends and exports them, and `designing` generates images.
"""

from tfdvbpr.api.attacks import attack
from tfdvbpr.api.data import check_source, describe, prepare
from tfdvbpr.api.designing import design, generate, interpolate, tailor
from tfdvbpr.api.evaluation import (
    compare,
    evaluate,
    evaluate_attributes,
    evaluate_designs,
    evaluate_gan,
    evaluate_panel,
    experiment,
)
from tfdvbpr.api.reporting import write_report
from tfdvbpr.api.runs import (
    ensemble,
    explain,
    export_designer,
    export_recommender,
    recommend,
    update_items,
    update_users,
)
from tfdvbpr.api.training import train, train_gan, train_upscaler

__all__ = [
    "attack",
    "check_source",
    "compare",
    "describe",
    "design",
    "ensemble",
    "evaluate",
    "evaluate_attributes",
    "evaluate_designs",
    "evaluate_gan",
    "evaluate_panel",
    "experiment",
    "explain",
    "export_designer",
    "export_recommender",
    "generate",
    "interpolate",
    "prepare",
    "recommend",
    "tailor",
    "train",
    "train_gan",
    "train_upscaler",
    "update_items",
    "update_users",
    "write_report",
]
