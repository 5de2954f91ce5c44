"""Whether a run should be shipped, and why: RULES, each of which finds a reason or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from tfdvbpr.reporting.facts import Facts, K

Level = Literal["stop", "caution", "good"]

MIN_TESTED = 200  # fewer users give wide intervals
_COLD_CHANCE = 0.55
_THIN_COVERAGE = 0.02
_DUPLICATES = 0.1
_LOST = 0.05


@dataclass(frozen=True)
class Reason:
    """What speaks for or against shipping.

    Attributes:
        level: "stop" forbids it, "caution" is to be known, "good" speaks for it.
        text: one sentence without a full stop.
        advice: what to try next, a sentence; "" where nothing is to be done.
    """

    level: Level
    text: str
    advice: str = ""


@dataclass(frozen=True)
class Verdict:
    """The conclusion of a report.

    Attributes:
        level: that of its worst reason.
        headline: in a few words.
        reasons: worst first.
    """

    level: Level
    headline: str
    reasons: tuple[Reason, ...]

    @property
    def next_steps(self) -> list[str]:
        """What to try next, in the order of the reasons."""
        return [each.advice for each in self.reasons if each.advice]


Rule = Callable[[Facts], Reason | None]


_FOR_THE_TOP = (
    "Try a model for the top of the list: tfdvbpr train DATASET --model ease (or ials, bpr-mf, hybrid-dvbpr), then "
    "this report with --compare."
)
_FOR_THE_ORDER = "Train longer, or with a pretrained backbone: tfdvbpr train DATASET --preset pretrained."


def _recall(facts: Facts) -> Reason | None:
    return _beside_popularity(facts, f"recall@{K}", f"recall@{K}", _FOR_THE_TOP)


def _auc(facts: Facts) -> Reason | None:
    return _beside_popularity(facts, "auc", "ordering the catalogue (AUC)", _FOR_THE_ORDER)


def _beside_popularity(facts: Facts, metric: str, what: str, advice: str) -> Reason | None:
    """Better, worse, or neither is shown: the interval of the difference over the same users has both signs."""
    ours, bar, gain = facts.model.values[metric], facts.popularity.values[metric], facts.gain(metric)
    if ours is None or bar is None or gain is None:
        return None
    figures = (
        f"{ours:.3f}, popularity {bar:.3f}; difference {gain.mean:+.3f}, "
        f"95 % interval {gain.low:+.3f} to {gain.high:+.3f}"
    )
    if gain.high < 0:
        return Reason("stop", f"it is worse than popularity at {what}: {figures}", advice)
    if gain.low <= 0:
        return Reason("caution", f"it is not shown to be better than popularity at {what}: {figures}", advice)
    return Reason("good", f"it is better than popularity at {what}: {figures}")


def _one_action_users(facts: Facts) -> Reason | None:
    share = facts.one_action_share
    if share <= 0.5:
        return None
    return Reason(
        "stop",
        f"more than half of the users have one action ({share:.0%}), so that little is known of their preferences",
        "Collect more actions a user (views and carts beside purchases), over a longer time, or prepare with "
        "--min-user-actions 3 to see what the model does for users that come back.",
    )


def _tested_users(facts: Facts) -> Reason | None:
    if facts.num_testable >= MIN_TESTED:
        return None
    return Reason(
        "caution",
        f"only {facts.num_testable:,} users could be tested, so that every figure here is uncertain",
        f"Gather actions until at least {MIN_TESTED} users have three or more.",
    )


def _cold(facts: Facts) -> Reason | None:
    ours, bar = facts.model.values["auc_cold"], facts.popularity.values["auc_cold"]
    if ours is None or bar is None:
        return None
    text = f"AUC of new and rarely bought items {ours:.3f}, popularity {bar:.3f}"
    if ours < _COLD_CHANCE:
        return Reason(
            "caution",
            f"it finds new and rarely bought items hardly better than chance ({text})",
            "For new items take a model that learns from photos: tfdvbpr train DATASET --preset pretrained --set "
            "popularity_offset=1.",
        )
    return Reason("good", f"it finds new and rarely bought items ({text})") if ours > bar else None


def _coverage(facts: Facts) -> Reason | None:
    ours = facts.model.values[f"coverage@{K}"] or 0.0
    possible = min(1.0, K * facts.num_tested / len(facts.run.items))
    if ours >= _THIN_COVERAGE * possible:
        return None
    return Reason(
        "caution",
        f"its lists show {ours:.1%} of the catalogue alone",
        "Set popularity_offset=1 in training, which keeps popularity out of the scores.",
    )


def _unfinished(facts: Facts) -> Reason | None:
    title, found = facts.validations
    if found.height < 2 or found["value"].arg_max() != found.height - 1:
        return None
    epochs = int(found["epoch"][-1]) + 1
    return Reason(
        "caution",
        f"the best {title} is that of the last epoch ({epochs}), so that longer training may help",
        f"Train longer: tfdvbpr train DATASET ... --set epochs={2 * epochs}.",
    )


def _left_out(facts: Facts) -> Reason | None:
    about = facts.dataset.manifest
    share = about.num_quarantined / max(about.num_quarantined + about.num_items + about.num_interactions, 1)
    if share <= _LOST:
        return None
    return Reason(
        "caution",
        f"{about.num_quarantined:,} rows of the source were left out ({share:.0%})",
        f"Read {facts.dataset.path / 'quarantine.csv'}, repair the source and prepare it again.",
    )


def _duplicates(facts: Facts) -> Reason | None:
    about = facts.dataset.manifest
    number = about.num_duplicate_items or 0
    if about.duplicates == "merge" or number <= _DUPLICATES * about.num_items:
        return None
    return Reason(
        "caution",
        f"{number:,} of {about.num_items:,} items have the photo of an earlier one",
        f"Read {facts.dataset.path / 'duplicates.csv'}; where they are one product, prepare with --duplicates merge.",
    )


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "recall": _recall,
        "auc": _auc,
        "one-action users": _one_action_users,
        "tested users": _tested_users,
        "cold items": _cold,
        "coverage": _coverage,
        "unfinished training": _unfinished,
        "left out": _left_out,
        "duplicates": _duplicates,
    }
)
_HEADLINES: Mapping[Level, str] = MappingProxyType(
    {
        "stop": "Do not ship",
        "caution": "Try it on some users first",
        "good": "Ready for a test with real users",
    }
)


def verdict(facts: Facts) -> Verdict:
    """What all rules find together; a figure on held-out actions never replaces a test with real users."""
    order = list(_HEADLINES)
    found = [reason for rule in RULES.values() if (reason := rule(facts)) is not None]
    reasons = tuple(sorted(found, key=lambda reason: order.index(reason.level)))
    level = reasons[0].level if reasons else "good"
    return Verdict(level, _HEADLINES[level], reasons)
