"""Compares runs on one split: intervals, paired tests over users, and tables that mark what is significant."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
import polars as pl

from tfdvbpr.errors import ConfigError, RunError
from tfdvbpr.evaluation.ranking.evaluate import Evaluation, compute_metrics, metric_text
from tfdvbpr.evaluation.ranking.metrics import find_metric, metric_title
from tfdvbpr.evaluation.ranking.significance import Values, holm, percentile_interval, resampled_means, wilcoxon
from tfdvbpr.files import write_csv
from tfdvbpr.fonts import plot_fonts, plot_text
from tfdvbpr.run import Run
from tfdvbpr.run.names import distinct_names, run_title
from tfdvbpr.text import markdown as markdown_text

DEFAULT_METRICS = ("auc", "auc_cold", "recall@10", "ndcg@10")
ALPHA = 0.05
_INK = "#26323a"
_ACCENT = "#b0503c"
_PANEL_INCHES = 2.9
_MOST_NAMED = 3  # folders, and values, in a label
_LINE = 28  # characters of a label's line in a plot
_CHARACTER_INCHES, _LINE_INCHES = 0.085, 0.17


@dataclass(frozen=True)
class Comparison:
    """Metrics of several models on one split, and a test of every pair of them.

    Attributes:
        dataset: its name.
        split: "validation" or "test".
        models: labels, in the order given.
        metrics: their names, in the order given.
        table: a row a model and metric: `model`, `metric`, `seeds` (number of runs), `users`, `mean`, `low`, `high`
            (95 % interval over users, of the mean over seeds), `seed_sd` (standard deviation of the runs' means, null
            with one run), `best` (better than every other model with an adjusted p-value below 0.05).
        pairs: a row a metric and pair: `metric`, `first`, `second`, `users`, `difference`, `low`, `high` (paired
            bootstrap), `p_value` (Wilcoxon's signed-rank test), `adjusted` (Holm, over all rows of this table) and
            `winner` (the model that mean and ranks both favour, where `adjusted` is below 0.05; else null).
    """

    dataset: str
    split: str
    models: tuple[str, ...]
    metrics: tuple[str, ...]
    table: pl.DataFrame
    pairs: pl.DataFrame

    def cell(self, model: str, metric: str) -> dict[str, Any]:
        """The row of `table` of a model and a metric."""
        return self.table.row(by_predicate=(pl.col("model") == model) & (pl.col("metric") == metric), named=True)


def compare_runs(
    groups: Mapping[str, Sequence[Run]],
    *,
    split: str = "test",
    metrics: Sequence[str] = DEFAULT_METRICS,
) -> Comparison:
    """Evaluates every run and compares the groups, writing nothing.

    The runs of a group are one model trained with several seeds: a user's value is the mean over them before anything
    is tested. Arguments and errors are those of `tfdvbpr.compare`.
    """
    names = checked_metrics(metrics)
    _check_same([run for runs in groups.values() for run in runs])
    evaluations = {label: [compute_metrics(run, names, split=split) for run in runs] for label, runs in groups.items()}
    return compare_evaluations(evaluations, names)


def compare_evaluations(groups: Mapping[str, Sequence[Evaluation]], metrics: Sequence[str]) -> Comparison:
    """Compares evaluations on one split; arguments as of `compare_runs`."""
    names = checked_metrics(metrics)
    first = next(iter(groups.values()))[0].metrics
    rows: list[dict[str, Any]] = []
    pairs: list[dict[str, Any]] = []
    for name in names:
        values = np.stack([_over_seeds(group, name) for group in groups.values()], axis=1)
        resampled = resampled_means(values) if len(values) else values
        pairs += _pair_rows(name, tuple(groups), values, resampled)
        rows += [
            _table_row(name, label, group, values[:, column], resampled[:, column])
            for column, (label, group) in enumerate(groups.items())
        ]
    for row, adjusted in zip(pairs, holm([row["p_value"] for row in pairs]), strict=True):
        row["adjusted"] = float(adjusted)
        row["winner"] = row["winner"] if adjusted < ALPHA else None
    for row in rows:
        row["best"] = _is_best(row, pairs)
    return Comparison(
        first["dataset"],
        first["split"],
        tuple(groups),
        names,
        pl.DataFrame(rows, _TABLE),
        pl.DataFrame(pairs, _PAIRS),
    )


_TABLE = {
    **dict.fromkeys(("model", "metric"), pl.String),
    **dict.fromkeys(("seeds", "users"), pl.Int64),
    **dict.fromkeys(("mean", "low", "high", "seed_sd"), pl.Float64),
    "best": pl.Boolean,
}
_PAIRS = {
    **dict.fromkeys(("metric", "first", "second"), pl.String),
    "users": pl.Int64,
    **dict.fromkeys(("difference", "low", "high", "p_value", "adjusted"), pl.Float64),
    "winner": pl.String,
}


def checked_metrics(metrics: Sequence[str]) -> tuple[str, ...]:
    """The names without repetitions; refuses unknown ones and those without a value for each user."""
    if not metrics:
        raise ConfigError("`metrics` must name at least one. Received none.")
    for name in metrics:
        if not find_metric(name)[0].per_user:
            raise ConfigError(f"A compared metric must have a value for each user. Received {name!r}. Leave it out.")
    return tuple(dict.fromkeys(metrics))


def _check_same(runs: Sequence[Run]) -> None:
    """Refuses runs of different datasets or splits."""
    if not runs:
        raise RunError("A comparison must have at least one run. Received none.")
    first, expected = runs[0], runs[0].interactions
    for run in runs[1:]:
        about, other = first.manifest, run.manifest
        if about.dataset_fingerprint != other.dataset_fingerprint:
            raise RunError(
                f"Runs must be of one dataset to be compared. {first.path} is of {about.dataset} "
                f"({about.dataset_fingerprint}), {run.path} of {other.dataset} ({other.dataset_fingerprint}). "
                "Train them on the same prepared dataset."
            )
        own = run.interactions
        if not all(
            np.array_equal(getattr(expected, name), getattr(own, name)) for name in ("user_ids", "item_ids", "splits")
        ):
            raise RunError(
                f"Runs must hold out the same actions to be compared. {first.path} and {run.path} do not. "
                "Train them on the same prepared dataset."
            )


def _over_seeds(group: Sequence[Evaluation], name: str) -> Values:
    """float64 [U]: each user's mean over the runs of a group, users without the value left out."""
    columns = [evaluation.per_user[name].drop_nulls().to_numpy() for evaluation in group]
    means: Values = np.mean(columns, axis=0)
    return means


def _pair_rows(name: str, labels: Sequence[str], values: Values, resampled: Values) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    sign = -1 if find_metric(name)[0].higher_is_better is False else 1
    for first, second in combinations(range(len(labels)) if len(values) else (), 2):
        difference = values[:, first] - values[:, second]
        interval = percentile_interval(float(difference.mean()), resampled[:, first] - resampled[:, second])
        test = wilcoxon(values[:, first], values[:, second])
        favoured = sign * test.direction if test.direction * interval.mean > 0 else 0
        rows.append(
            {
                "metric": name,
                "first": labels[first],
                "second": labels[second],
                "users": len(values),
                "difference": interval.mean,
                "low": interval.low,
                "high": interval.high,
                "p_value": test.p_value,
                "winner": {1: labels[first], -1: labels[second], 0: None}[favoured],
            }
        )
    return rows


def _table_row(name: str, label: str, group: Sequence[Evaluation], values: Values, resampled: Values) -> dict[str, Any]:
    row: dict[str, Any] = {"model": label, "metric": name, "seeds": len(group), "users": len(values)}
    if not len(values):
        return row
    interval = percentile_interval(float(values.mean()), resampled)
    means = [float(evaluation.per_user[name].drop_nulls().to_numpy().mean()) for evaluation in group]
    spread = float(np.std(means, ddof=1)) if len(means) > 1 else None
    return {**row, "mean": interval.mean, "low": interval.low, "high": interval.high, "seed_sd": spread}


def _is_best(row: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the row's model wins every pair it is in; False where neither direction of the metric is better."""
    if find_metric(row["metric"])[0].higher_is_better is None:
        return False
    winners = [
        pair["winner"]
        for pair in pairs
        if pair["metric"] == row["metric"] and row["model"] in (pair["first"], pair["second"])
    ]
    return bool(winners) and all(winner == row["model"] for winner in winners)


def group_by_seed(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Groups runs that differ in nothing but the seed.

    A label has the names of the folders, the model and values that differ from those of other groups of this model.
    """
    names = dict(zip(map(id, runs), distinct_names([run.path for run in runs]), strict=True))
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(json.dumps(run.config.model_dump(mode="json", exclude={"seed"})), []).append(run)
    labelled: dict[str, list[Run]] = {}
    configs = [json.loads(key) for key in groups]
    for config, group in zip(configs, groups.values(), strict=True):
        others = [other for other in configs if other["model"] == config["model"]]
        different = [key for key, value in config.items() if any(other[key] != value for other in others)]
        folders = [names[id(run)] for run in group]
        more = len(folders) - _MOST_NAMED
        name = ", ".join(folders[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        values = [f"{key}={config[key]}" for key in different]
        shown = [*values[:_MOST_NAMED], *["…"] * (len(values) > _MOST_NAMED)]
        labelled[run_title(name, ", ".join([config["model"], *shown]))] = group
    return labelled


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Writes comparison.csv (a row a model and metric), pairs.csv, comparison.md and comparison.png into a folder."""
    write_csv(comparison.table, folder / "comparison.csv")
    write_csv(comparison.pairs, folder / "pairs.csv")
    (folder / "comparison.md").write_text(markdown(comparison), encoding="utf-8")
    with plot_fonts(comparison.models):
        _plot(comparison).savefig(folder / "comparison.png", dpi=150)


def markdown(comparison: Comparison) -> str:
    """The table with its notes."""
    return f"{markdown_table(*table_rows(comparison))}\n\n{notes(comparison)}\n"


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, the first column aligned to the left, the others to the right.

    Args:
        headings: text.
        rows: text in the first column, Markdown in the others.
    """
    lines = [f"| {' | '.join(map(markdown_text, headings))} |", f"|---|{'---:|' * (len(headings) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join([markdown_text(first), *others])} |" for first, *others in rows)])


def notes(comparison: Comparison) -> str:
    """How the table was computed, in words."""
    count = comparison.pairs.height
    users = max(comparison.table["users"].to_list())
    return (
        f"{markdown_text(comparison.dataset)}, {comparison.split}: means over {users} users (of those with such an "
        "item for cold and warm), in brackets the 95 % bootstrap interval over users; ± is the standard deviation over "
        f"seeds. Bold: better than every other model by Wilcoxon's signed-rank test over users, p < 0.05 after "
        f"Holm's correction over the {count} {'pair' if count == 1 else 'pairs'} of the table."
    )


def table_rows(comparison: Comparison, *, bold: str = "**{}**") -> tuple[list[str], list[list[str]]]:
    """Headings and rows of text: a model a row, its means (`bold` the best), spread over seeds, interval over users."""

    def text(row: Mapping[str, Any]) -> str:
        mean = metric_text(row["metric"], row["mean"])
        if row["mean"] is None:
            return mean
        low, high = (metric_text(row["metric"], row[end]) for end in ("low", "high"))
        spread = "" if row["seed_sd"] is None else f" ± {metric_text(row['metric'], row['seed_sd'])}"
        return f"{bold.format(mean) if row['best'] else mean}{spread} [{low}, {high}]"

    rows = []
    for model in comparison.models:
        cells = [comparison.cell(model, metric) for metric in comparison.metrics]
        rows.append([model, str(cells[0]["seeds"]), *map(text, cells)])
    return ["model", "seeds", *map(metric_title, comparison.metrics)], rows


def _plot(comparison: Comparison) -> Any:
    """The figure; within `plot_fonts` of the models' names."""
    from matplotlib.figure import Figure

    count = len(comparison.metrics)
    labels = [wrap(plot_text(model), _LINE) or [""] for model in comparison.models]
    height = 0.9 + sum(max(0.32, 0.12 + _LINE_INCHES * len(lines)) for lines in labels)
    left = 0.4 + _CHARACTER_INCHES * max(len(line) for lines in labels for line in lines)
    figure = Figure(figsize=(left + _PANEL_INCHES * count, height), layout="constrained")
    panels = figure.subplots(1, count, sharey=True, squeeze=False)[0]
    positions = list(range(len(comparison.models)))
    for panel, metric in zip(panels, comparison.metrics, strict=True):
        rows = comparison.table.filter((pl.col("metric") == metric) & pl.col("mean").is_not_null())
        for row in rows.iter_rows(named=True):
            position = comparison.models.index(row["model"])
            # Rounding may put an end of an interval of no width on the other side of the mean.
            ends = [[max(row["mean"] - row["low"], 0.0)], [max(row["high"] - row["mean"], 0.0)]]
            colour = _ACCENT if row["best"] else _INK
            panel.errorbar([row["mean"]], [position], xerr=ends, fmt="o", markersize=4, capsize=3, color=colour)
        panel.set_title(metric_title(metric), fontsize=10, color=_INK)
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(positions, ["\n".join(lines) for lines in labels])
    panels[0].set_ylim(len(positions) - 0.5, -0.5)
    return figure
