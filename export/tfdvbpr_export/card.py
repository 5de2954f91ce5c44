"""The model card: what a served model is, in Markdown, for people who meet the folder without its makers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tfdvbpr.signatures import SIGNATURES, TensorDescription

CARD_NAME = "model_card.md"


def model_card(about: Mapping[str, Any]) -> str:
    """The card of a version.

    Args:
        about: what its manifest says, of a recommender or a designer.
    """
    environment = Environment(
        loader=PackageLoader("tfdvbpr_export", "."), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["tensor"] = tensor_text
    signatures = {name: SIGNATURES[name] for name in about["signatures"]}
    text = environment.get_template("model_card.md.jinja").render(
        about=about, signatures=signatures, metrics=_figures(about["metrics"])
    )
    return text.rstrip() + "\n"


def tensor_text(tensor: TensorDescription) -> str:
    """Dtype and sizes, such as `float32 [B, ?]`."""
    sizes = ["B", *("?" if size is None else str(size) for size in tensor.shape[1:])]
    return f"{tensor.dtype} [{', '.join(sizes)}]"


def _figures(metrics: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested figures as flat rows."""
    rows: list[tuple[str, str]] = []
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            rows += _figures(value, f"{prefix}{name} ")
        else:
            rows.append((f"{prefix}{name}", f"{value:.4f}" if isinstance(value, float) else str(value)))
    return rows
