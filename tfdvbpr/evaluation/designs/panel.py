"""A blind panel: people choose between a design and another image for a user; the page does not say which is which.

The pairs and their key are made of an evaluation; the choices of people are tested with the key.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import stats

from tfdvbpr.data.interactions import Split
from tfdvbpr.errors import SourceError
from tfdvbpr.evaluation.designs.baselines import RANDOM_G, RETRIEVED
from tfdvbpr.evaluation.designs.evaluate_designs import DesignEvaluation
from tfdvbpr.evaluation.ranking.significance import LEVEL
from tfdvbpr.text import shortened

BASELINES = (RANDOM_G, RETRIEVED)
SIDES = ("left", "right")
_LIKED = 6
_KEY_COLUMNS = {
    "pair": pl.Int64,
    "user_id": pl.String,
    "category": pl.String,
    "left": pl.String,
    "right": pl.String,
}
_CHOICE_COLUMNS = ("pair", "choice")
_MOST_BYTES = 1 << 20  # of a table of choices
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pair:
    """Two images for a user, of which one is a design.

    Attributes:
        user_id: whose training actions are shown.
        category: of both images.
        liked: rows of the dataset's items, the latest training actions of the user, those of the category first.
        images: uint8 [2, H, W, 3], left and right.
        kinds: what they are, left and right: labels of the evaluation's table.
    """

    user_id: str
    category: str
    liked: list[int]
    images: npt.NDArray[np.uint8]
    kinds: tuple[str, str]


def panel_pairs(evaluation: DesignEvaluation, count: int, *, seed: int = 0) -> list[Pair]:
    """Pairs of as many different users as there are, a baseline as often as the other, sides at random.

    The designs are those of the η nearest the default. The best real item is left out of what the user likes.

    Args:
        evaluation: images of designs, random images and best real items.
        count: how many pairs; where there are fewer requests, a warning says so, and there are as many.
        seed: of users, baselines and sides.
    """
    requests, run = evaluation.requests, evaluation.run
    if count > len(requests):
        _log.warning("The panel has %d pairs, one for each request. %d need more users.", len(requests), count)
        count = len(requests)
    generator = np.random.default_rng((seed, 21))
    order = generator.permutation(len(requests))
    _, first = np.unique(requests.users[order], return_index=True)  # one of each user, before a second of any
    chosen = np.concatenate([order[np.sort(first)], np.delete(order, first)])[:count]
    design = evaluation.default_designs
    found = []
    for place, number in enumerate(chosen):
        pair = [design, BASELINES[place % len(BASELINES)]]
        if generator.random() < 0.5:
            pair.reverse()
        user = int(requests.users[number])
        found.append(
            Pair(
                run.user_ids[user],
                requests.categories[number],
                _liked(evaluation, int(number)),
                np.stack([evaluation.images[kind].images[number] for kind in pair]),
                (pair[0], pair[1]),
            )
        )
    return [found[number] for number in generator.permutation(count)]


def _liked(evaluation: DesignEvaluation, number: int) -> list[int]:
    """Rows of the dataset's items, without those that look like the best real item of the request."""
    run, dataset, requests = evaluation.run, evaluation.photos.dataset, evaluation.requests
    latest = run.seen_items(int(requests.users[number]), Split.TRAIN)[::-1]
    rows = dataset.items.indices([run.items.item_ids[item] for item in latest])
    own = dataset.items.category_ids[rows] == dataset.items.category_id(requests.categories[number])
    rows = np.concatenate([rows[own], rows[~own]])[: _LIKED + 1]
    best = evaluation.images[RETRIEVED].images[number]
    others = [int(row) for row, image in zip(rows, dataset.images.read(rows), strict=True) if (image != best).any()]
    return others[:_LIKED]


def key_table(pairs: Sequence[Pair]) -> pl.DataFrame:
    """pair (from 1), user_id, category, left and right: what the images are."""
    rows = [[number, one.user_id, one.category, *one.kinds] for number, one in enumerate(pairs, 1)]
    return pl.DataFrame(rows, schema=_KEY_COLUMNS, orient="row")


@dataclass(frozen=True)
class PanelResult:
    """How often designs were chosen, against one baseline.

    Attributes:
        baseline: a label of the evaluation's table.
        pairs: of a design and the baseline.
        choices: of all people, one a person and pair, where they could say.
        undecided: where they could not.
        design_share: of the choices, which chose the design; NaN without choices.
        low: end of the 95 % interval of the share of pairs below.
        high: the other end.
        pairs_won: pairs in which more people chose the design than the other.
        pairs_lost: the other way round; pairs that are even count as neither.
        p_value: two-sided, of the pairs won and lost, under even chances.
    """

    baseline: str
    pairs: int
    choices: int
    undecided: int
    design_share: float
    low: float
    high: float
    pairs_won: int
    pairs_lost: int
    p_value: float


def panel_results(key: Path, choices: Sequence[Path]) -> list[PanelResult]:
    """Tests the choices of people, a file each, against the key: a sign test over pairs (Dixon and Mood 1946).

    A pair counts once, by the majority of its choices, since those of several people on the same two images are
    not independent. The interval is Wilson's (1927), of the share of pairs won.

    Args:
        key: a key.csv that was written beside the page.
        choices: tables with the columns pair and choice: left, right, or nothing for "cannot say".

    Raises:
        SourceError: if a file cannot be read, a pair is unknown or there twice, or a choice is none of these.
    """
    kinds = _read_key(key)
    votes: dict[int, list[int]] = {number: [] for number in kinds}
    undecided = dict.fromkeys(kinds, 0)
    for path in choices:
        for number, choice in _read_choices(path, kinds).items():
            if choice:
                chosen = kinds[number][SIDES.index(choice)]
                votes[number].append(1 if chosen not in BASELINES else -1)
            else:
                undecided[number] += 1
    baselines = {number: next(kind for kind in pair if kind in BASELINES) for number, pair in kinds.items()}
    return [
        _result(baseline, [votes[number] for number in own], sum(undecided[number] for number in own))
        for baseline in BASELINES
        if (own := [number for number, name in baselines.items() if name == baseline])
    ]


def _result(baseline: str, votes: list[list[int]], undecided: int) -> PanelResult:
    given = [vote for own in votes for vote in own]
    balance = [sum(own) for own in votes]
    won, lost = sum(each > 0 for each in balance), sum(each < 0 for each in balance)
    share = sum(vote > 0 for vote in given) / len(given) if given else float("nan")
    low, high, p_value = float("nan"), float("nan"), 1.0
    if won + lost:
        test = stats.binomtest(won, won + lost)
        interval = test.proportion_ci(LEVEL, method="wilson")
        low, high, p_value = float(interval.low), float(interval.high), float(test.pvalue)
    return PanelResult(baseline, len(votes), len(given), undecided, share, low, high, won, lost, p_value)


def _read_key(path: Path) -> dict[int, tuple[str, str]]:
    table = _table(path, tuple(_KEY_COLUMNS))
    found: dict[int, tuple[str, str]] = {}
    for row in table.iter_rows(named=True):
        pair = (row["left"], row["right"])
        if sum(kind in BASELINES for kind in pair) != 1:
            raise SourceError(
                f"{path.name} must have one of {', '.join(BASELINES)} in each row. Take the key as it was."
            )
        found[_number(path, row["pair"])] = pair
    return found


def _read_choices(path: Path, known: dict[int, Any]) -> dict[int, str]:
    found: dict[int, str] = {}
    for row in _table(path, _CHOICE_COLUMNS).iter_rows(named=True):
        number, choice = _number(path, row["pair"]), row["choice"] or ""
        if number not in known or number in found:
            kind = "there twice" if number in found else "not in the key"
            raise SourceError(f"{path.name} must have each pair of the key once at most. Pair {number} is {kind}.")
        if choice not in ("", *SIDES):
            raise SourceError(
                f"`choice` in {path.name} must be left, right or nothing. Received {shortened(choice, 40)!r}."
            )
        found[number] = choice
    return found


def _table(path: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    """A CSV file as strings."""
    if not path.is_file():
        raise SourceError(f"There must be a file {path}. There is none.")
    if path.stat().st_size > _MOST_BYTES:
        raise SourceError(f"{path.name} must have at most {_MOST_BYTES:,} bytes. It has {path.stat().st_size:,}.")
    try:
        table = pl.read_csv(path, infer_schema=False)
    except Exception as error:  # polars raises its own tree
        raise SourceError(f"{path.name} must be a CSV file. It cannot be read: {error}.") from None
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise SourceError(f"{path.name} must have the columns {', '.join(columns)}. It lacks {', '.join(missing)}.")
    return table


def _number(path: Path, text: str | None) -> int:
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 9:
        raise SourceError(f"`pair` in {path.name} must be a number. Received {shortened(text or '', 40)!r}.")
    return int(text)
