"""A comparison as CSV, Markdown and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from tfdvbpr.evaluation.ranking.comparison import Comparison

TITLES = {"auc": "AUC all", "auc_cold": "AUC cold", "auc_warm": "AUC warm", "mrr": "MRR"}

_INK = "#26323a"
_ACCENT = "#b0503c"
_PANEL_INCHES = 2.9


def title(metric: str) -> str:
    """A metric's name for people."""
    return TITLES.get(metric, metric)


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Writes comparison.csv (a row a model and metric), pairs.csv, comparison.md and comparison.png into a folder."""
    comparison.figures.write_csv(folder / "comparison.csv")
    comparison.pairs.write_csv(folder / "pairs.csv")
    (folder / "comparison.md").write_text(markdown(comparison), encoding="utf-8")
    _picture(comparison).savefig(folder / "comparison.png", dpi=150)


def markdown(comparison: Comparison) -> str:
    """The table with what its figures are."""
    heads = ["model", "seeds", *map(title, comparison.metrics)]
    lines = [f"| {' | '.join(heads)} |", f"|---|{'---:|' * (len(heads) - 1)}"]
    for model in comparison.models:
        cells = [comparison.cell(model, metric) for metric in comparison.metrics]
        lines.append(f"| {model} | {cells[0]['seeds']} | {' | '.join(map(_cell, cells))} |")
    return "\n".join([*lines, "", notes(comparison)]) + "\n"


def notes(comparison: Comparison) -> str:
    """What the figures of the table are, in words."""
    count = comparison.pairs.height
    users = max(comparison.figures["users"].to_list())
    return (
        f"{comparison.dataset}, {comparison.split}: means over {users} users (of those with such an item for cold and "
        "warm), in brackets the 95 % bootstrap interval over users; ± is the standard deviation over seeds. Bold: "
        f"higher than every other model by Wilcoxon's signed-rank test over users, p < 0.05 after Holm's correction "
        f"over the {count} {'pair' if count == 1 else 'pairs'} of the table."
    )


def _cell(row: dict[str, Any]) -> str:
    if row["mean"] is None:
        return "–"
    spread = "" if row["seed_sd"] is None else f" ± {row['seed_sd']:.4f}"
    mean = f"**{row['mean']:.4f}**" if row["best"] else f"{row['mean']:.4f}"
    return f"{mean}{spread} [{row['low']:.4f}, {row['high']:.4f}]"


def _picture(comparison: Comparison) -> Any:
    from matplotlib.figure import Figure

    count = len(comparison.metrics)
    height = 0.9 + 0.32 * len(comparison.models)
    figure = Figure(figsize=(1.6 + _PANEL_INCHES * count, height), layout="constrained")
    panels = figure.subplots(1, count, sharey=True, squeeze=False)[0]
    places = list(range(len(comparison.models)))
    for panel, metric in zip(panels, comparison.metrics, strict=True):
        rows = comparison.figures.filter((pl.col("metric") == metric) & pl.col("mean").is_not_null())
        for row in rows.iter_rows(named=True):
            place = comparison.models.index(row["model"])
            # Rounding may put an end of an interval of no width on the other side of the mean.
            ends = [[max(row["mean"] - row["low"], 0.0)], [max(row["high"] - row["mean"], 0.0)]]
            colour = _ACCENT if row["best"] else _INK
            panel.errorbar([row["mean"]], [place], xerr=ends, fmt="o", markersize=4, capsize=3, color=colour)
        panel.set_title(title(metric), fontsize=10, color=_INK)
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(places, list(comparison.models))
    panels[0].set_ylim(len(places) - 0.5, -0.5)
    return figure
