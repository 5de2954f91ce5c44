"""What shows in designs of synthetic shoppers: a table, a plot, JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import polars as pl

from tfdvbpr.evaluation.designs.attribute_readers import ATTRIBUTES
from tfdvbpr.evaluation.designs.attributes import AttributeCheck
from tfdvbpr.evaluation.generative.gan_tables import markdown_table

_INK = "#26323a"
_COLOURS = ("#b0503c", "#3c78b0", "#5c9a4a", "#8a5cb0", "#c0902c", "#26323a")


def write_attributes(found: AttributeCheck, folder: Path) -> None:
    """Writes attributes.json, .csv, .md and .png into a folder."""
    told = {
        "options": asdict(found.options),
        "reader_accuracy": found.reader_accuracy,
        "random": found.random,
        "retrieved": found.retrieved,
        "best": found.best,
        "test": found.test,
        "liked": found.liked,
    }
    (folder / "attributes.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    found.table.write_csv(folder / "attributes.csv")
    (folder / "attributes.md").write_text(markdown(found), encoding="utf-8")
    _draw(found, folder / "attributes.png")


def summary(found: AttributeCheck) -> str:
    """The outcome in words."""
    readers = ", ".join(f"{name} {found.reader_accuracy[name]:.0%}" for name in ATTRIBUTES)
    shown = "; ".join(
        f"a liked {name}: {test['designs']:.1%} of designs, {test['random']:.1%} of random pictures (McNemar, after "
        f"Holm, p = {test['p_holm']:.1e}), {found.retrieved[name]:.1%} of the recommender's best real items"
        for name, test in found.test.items()
    )
    return (
        f"Chosen on the validation shoppers: η = {found.best['realism_weight']:g}, {found.best['step']:g} steps. What "
        f"shows for the test shoppers: {shown}. The mean share of liked attributes is {found.liked:.1%}, of random "
        f"pictures {found.random['liked']:.1%}. Readers are right on held-out items: {readers}."
    )


def markdown(found: AttributeCheck) -> str:
    """The mean share of liked attributes of the test shoppers, η a row and a step a column, and the outcome."""
    test = found.table.filter(pl.col("part") == "test")
    headings = ["η", *(f"{step} steps" for step in found.options.steps)]
    rows = [
        [f"{weight:g}", *(f"{row['liked']:.3f}" for row in test.filter(pl.col("realism_weight") == weight).to_dicts())]
        for weight in found.options.realism_weights
    ]
    return "\n\n".join([markdown_table(headings, rows), summary(found)]) + "\n"


def _draw(found: AttributeCheck, path: Path) -> None:
    """A panel an attribute and one for all: shares over steps, a line an η; dashed random G, dotted real items."""
    from matplotlib.figure import Figure

    panels = (*ATTRIBUTES, "liked")
    figure = Figure(figsize=(3.2 * len(panels), 3.2), layout="constrained")
    test = found.table.filter(pl.col("part") == "test")
    for number, name in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        for place, weight in enumerate(found.options.realism_weights):
            line = test.filter(pl.col("realism_weight") == weight)
            colour = _COLOURS[place % len(_COLOURS)]
            axes.plot(line["step"], line[name], marker="o", markersize=3, color=colour, label=f"η = {weight:g}")
        axes.axhline(found.random[name], color=_INK, linestyle="--", linewidth=1, label="random G")
        axes.axhline(found.retrieved[name], color=_INK, linestyle=":", linewidth=1, label="best real item")
        axes.set_title("mean" if name == "liked" else f"a liked {name}", fontsize=10, color=_INK)
        axes.set_xlabel("steps", fontsize=9)
        axes.set_ylim(0, 1)
        axes.grid(alpha=0.25)
        if number == 0:
            axes.set_ylabel("share of designs that show it", fontsize=9)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=150)
