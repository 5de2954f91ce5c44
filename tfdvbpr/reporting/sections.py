"""The sections of a report: REPORT_SECTIONS, each a function of the facts that returns blocks, or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from tfdvbpr.data.interactions import COLD_THRESHOLD
from tfdvbpr.reporting.blocks import Block, DataTable, Gallery, Paragraph, Plot
from tfdvbpr.reporting.designs import designs
from tfdvbpr.reporting.facts import METRICS, Facts, ModelFigures
from tfdvbpr.reporting.html import ACCENT, INK, SECOND, axes, style, svg_uri
from tfdvbpr.reporting.tiles import item_tiles
from tfdvbpr.reporting.users import users

Section = Callable[[Facts], Sequence[Block]]

_COLD_SHOWN, _FOUND_RANK = 6, 100
_TITLES = {"auc": "AUC", "auc_cold": "AUC of cold items", "recall@10": "recall@10", "coverage@10": "coverage@10"}


def health(facts: Facts) -> list[Block]:
    """Sizes, findings of the data health, and what was left out."""
    about, counts = facts.dataset.manifest, facts.actions_per_user
    sizes = [
        ("items", f"{about.num_items:,}", f"{len(about.categories):,} categories"),
        ("users", f"{about.num_users:,}", f"{facts.one_action_share:.0%} of them have one action"),
        ("actions", f"{about.num_interactions:,}", f"{counts.mean():.1f} a user, median {np.median(counts):g}"),
        (
            "cold items",
            f"{about.num_cold_items:,}",
            f"{about.num_cold_items / about.num_items:.0%} of the items have fewer than {COLD_THRESHOLD} training "
            "actions",
        ),
        ("left out", f"{about.num_quarantined:,}", "; ".join(f"{kind}: {n:,}" for kind, n in about.quarantine.items())),
    ]
    blocks: list[Block] = [DataTable(("", "number", ""), sizes, wide=True)]
    if facts.health:
        rows = [(each["severity"], each["title"], each["advice"]) for each in facts.health]
        blocks.append(DataTable(("", "found in the source", "what to do"), rows, wide=True))
    elif not about.num_quarantined:
        blocks.append(Paragraph("Nothing was left out when the dataset was prepared."))
    return blocks


def long_tail(facts: Facts) -> list[Block]:
    """How training actions spread over items."""
    counts = np.sort(facts.run.interactions.training_counts)[::-1]
    total = max(int(counts.sum()), 1)
    tenth = max(1, round(0.1 * len(counts)))
    figure, one = axes(size=(8.0, 3.0))
    ranks, shown = np.arange(1, len(counts) + 1), np.maximum(counts, 0.5)
    warm = counts >= COLD_THRESHOLD
    one.fill_between(ranks, 0.5, shown, where=warm, color=SECOND, alpha=0.75, step="mid", linewidth=0)
    one.fill_between(ranks, 0.5, shown, where=~warm, color=ACCENT, alpha=0.75, step="mid", linewidth=0)
    one.set_yscale("log")
    one.set_ylim(0.5, float(shown[0]) * 1.3)
    one.set_xlim(0, len(counts) + 1)
    one.set_xlabel("items, most popular first", color=INK)
    one.set_ylabel("training actions", color=INK)
    num_cold, unused = int((~warm).sum()), int((counts == 0).sum())
    text = (
        f"The most popular tenth of the items ({tenth:,}) has {counts[:tenth].sum() / total:.0%} of the training "
        f"actions. {num_cold:,} items (red) are cold: fewer than {COLD_THRESHOLD} training actions; {unused:,} of them "
        "have none, and only a model that learns from photos can rank them."
    )
    return [Plot(svg_uri(figure), "training actions of each item"), Paragraph(text)]


def bar(facts: Facts) -> list[Block]:
    """The run beside popularity, which a model has to beat to be worth its cost."""
    rows = [[each.name, *(_text(each, name) for name in METRICS)] for each in facts.models]
    best = set()
    for column, name in enumerate(METRICS, start=1):
        values = [each.values[name] for each in facts.models]
        known = [value for value in values if value is not None]
        best |= {(row, column) for row, value in enumerate(values) if known and value == max(known)}
    sample = "" if facts.num_tested == facts.num_testable else f" (a random sample of {facts.num_testable:,})"
    text = (
        "Popularity shows every user the most bought items. A model that does not beat it is not worth its cost. "
        f"Figures are of held-out test actions of {facts.num_tested:,} users{sample}, over the whole catalogue. AUC "
        "is the probability that a held-out item is ranked above another item; recall@10 the probability that it is "
        "among the first ten; coverage@10 the share of the catalogue that is among the first ten of some user."
    )
    headings = ("model", *(_TITLES[name] for name in METRICS))
    return [Paragraph(text), DataTable(headings, rows, frozenset(best)), _bars(facts)]


def _text(figures: ModelFigures, name: str) -> str:
    value = figures.values[name]
    if value is None:
        return "–"
    return f"{value:.1%}" if name.startswith("coverage") else f"{value:.3f}"


def _bars(facts: Facts) -> Plot:
    """One panel a metric, one bar a model."""
    from matplotlib.figure import Figure

    names = [name for name in METRICS if all(each.values[name] is not None for each in facts.models)]
    figure = Figure(figsize=(8.0, 0.9 + 0.28 * len(facts.models)), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for panel, name in zip(panels, names, strict=True):
        style(panel)
        for place, each in enumerate(facts.models):
            panel.barh(place, each.values[name] or 0.0, color=SECOND if place else INK, height=0.65)
        panel.set_title(_TITLES[name], color=INK, fontsize=9)
        panel.set_xlim(left=0)
        panel.locator_params(axis="x", nbins=4)
    panels[0].set_ylim(len(facts.models) - 0.5, -0.5)
    panels[0].set_yticks(range(len(facts.models)), ["popularity", *map(str, range(1, len(facts.models)))])
    labels = [each.name for each in facts.models[1:]]
    panels[0].set_yticks(
        range(len(facts.models)), ["popularity", "this run", *(f"run {n}" for n in range(2, len(labels) + 1))]
    )
    return Plot(svg_uri(figure), "figures of the models as bars")


def learning(facts: Facts) -> list[Block]:
    """Loss and validation metric of each epoch."""
    history = facts.history
    if history.height < 2 or "loss" not in history.columns:
        return []
    figure, left = axes(size=(8.0, 2.8))
    left.plot(history["epoch"] + 1, history["loss"], color=SECOND)
    left.set_xlabel("epoch", color=INK)
    left.set_ylabel("training loss", color=SECOND)
    text = f"Trained for {history.height} epochs in {facts.run.manifest.training_seconds:,.0f} s."
    title, found = facts.validations
    if found.height:
        right = left.twinx()
        style(right)
        right.plot(found["epoch"] + 1, found["value"], color=ACCENT, marker="o", markersize=4)
        right.set_ylabel(title, color=ACCENT)
        best = found.row(int(found["value"].arg_max() or 0), named=True)
        text += f" Kept: epoch {int(best['epoch']) + 1}, whose {title} of {best['value']:.4f} is best."
    return [Plot(svg_uri(figure), f"loss and {title} of each epoch"), Paragraph(text)]


def cold_items(facts: Facts) -> list[Block]:
    """Held-out actions on cold items that the run ranked high for their user."""
    ranks, counts = facts.ranks, facts.run.interactions.training_counts
    cold = counts[ranks.item_ids] < COLD_THRESHOLD
    if not cold.any():
        return []
    position = ranks.num_higher + ranks.num_equal // 2 + 1
    order = np.flatnonzero(cold)[np.argsort(position[cold], kind="stable")]
    found = int((position[cold] <= _FOUND_RANK).sum())
    text = (
        f"{int(cold.sum()):,} of the held-out actions are on cold items, which counting can hardly find. The run ranks "
        f"{found:,} of them among the first {_FOUND_RANK} for their user. The best:"
    )
    _, first = np.unique(ranks.item_ids[order], return_index=True)
    shown = order[np.sort(first)][:_COLD_SHOWN]
    ids = facts.run.user_ids
    extra = [
        [f"rank {position[row]:,} for {ids[ranks.user_ids[row]]}", _actions(int(counts[ranks.item_ids[row]]))]
        for row in shown
    ]
    return [Paragraph(text), Gallery("", item_tiles(facts, ranks.item_ids[shown], extra))]


def _actions(count: int) -> str:
    return f"{count:,} training action" + "s" * (count != 1)


def settings(facts: Facts) -> list[Block]:
    """What was trained on what, to repeat it."""
    about, data = facts.run.manifest, facts.dataset.manifest
    rows = [
        ("run", f"{facts.run.path.resolve().name}, model {about.model}, seed {facts.run.config.seed}"),
        ("dataset", f"{data.name}, fingerprint {data.fingerprint}, split {data.split}, seed {data.seed}"),
        ("images", f"{data.image_size[0]}x{data.image_size[1]}, {data.fit}"),
        ("made by", f"tfdvbpr {about.library_version}, {about.created}"),
    ]
    if facts.gan is not None:
        gan = facts.gan
        seconds = gan.manifest.training_seconds
        rows.append(("GAN", f"{gan.path.resolve().name}, seed {gan.config.seed}, trained for {seconds:,.0f} s"))
    return [DataTable(("", ""), rows, wide=True)]


REPORT_SECTIONS: Mapping[str, tuple[str, Section]] = MappingProxyType(
    {
        "bar": ("Does it beat popularity?", bar),
        "users": ("What users see", users),
        "cold-items": ("New and rarely bought items it found", cold_items),
        "designs": ("Generated designs", designs),
        "long-tail": ("How sales spread over the catalogue", long_tail),
        "health": ("The data", health),
        "learning": ("Training", learning),
        "settings": ("How it was made", settings),
    }
)
