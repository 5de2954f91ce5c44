"""What an exported model may be given, checked before anything is loaded. Plain Python."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, get_args

from tfdvbpr.errors import ConfigError, check_choice
from tfdvbpr.text import shortened

# brute-force: exact, one matrix product with the catalogue. scann: approximate, its recall is measured.
Retrieval = Literal["brute-force", "scann"]
# Bits of a number of an item embedding: 32, 16 (about 3 digits), or 8 with a 32-bit scale an item.
Quantize = Literal["none", "bfloat16", "int8"]

MAX_PIXELS = 50_000_000  # of an image in a request; larger ones are refused before they are decoded
MAX_FILTERS = 32  # of a model, and columns of `filters`
MAX_LIKED_ITEMS = 256  # columns of `liked_item_ids`
NUM_NEAREST = 3  # real items named for each design
MAX_STEPS = 200  # gradient steps of a design request, since a step is many milliseconds of work
# The history of an ascent has a number a step, for which memory is allocated first: that must not end the server.
HIGHEST_MAX_STEPS = 1_000_000


@dataclass(frozen=True)
class ScannOptions:
    """How ScaNN partitions and searches. 0 takes a value that follows the catalogue's size.

    Attributes:
        num_leaves: partitions of the catalogue; 0 is about √num_items.
        num_leaves_to_search: partitions that a query searches; 0 is a twentieth of them.
        num_reordering_candidates: items that are scored exactly at the end, and the most that an approximate answer may
            hold together with what it leaves out; 0 is 1,000.
    """

    num_leaves: int = 0
    num_leaves_to_search: int = 0
    num_reordering_candidates: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 0:
                raise ConfigError(f"`{name}` must be 0 (to follow the catalogue) or more. Received {value}.")

    def resolved(self, num_items: int) -> ScannOptions:
        """The same with numbers in the place of zeros, none above the number of items."""
        leaves = min(self.num_leaves or max(1, round(num_items**0.5)), num_items)
        return ScannOptions(
            num_leaves=leaves,
            num_leaves_to_search=min(self.num_leaves_to_search or max(1, round(leaves / 20)), leaves),
            num_reordering_candidates=min(self.num_reordering_candidates or 1000, num_items),
        )


@dataclass(frozen=True)
class RecommenderOptions:
    """How a recommender is exported.

    Attributes:
        retrieval: "brute-force" or "scann".
        quantize: "none", "bfloat16" or "int8", of the item embeddings.
        scann: of the retrieval "scann".
        max_k: the most items a row of an answer gets, so that one row cannot blow up the batch it is in.
        filters: pairs of a name and an expression over the columns of items.csv, such as ("cheap", "price < 50"); see
            `tfdvbpr.data.filters`. A request names those that its items must pass.
    """

    retrieval: Retrieval = "brute-force"
    quantize: Quantize = "none"
    scann: ScannOptions = field(default_factory=ScannOptions)
    max_k: int = 1000
    filters: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        check_choice("retrieval", self.retrieval, get_args(Retrieval))
        check_choice("quantize", self.quantize, get_args(Quantize))
        names = [name for name, _ in self.filters]
        if len(names) > MAX_FILTERS or len(set(names)) < len(names):
            raise ConfigError(
                f"`filters` must be at most {MAX_FILTERS}, each with a name of its own. Received {len(names)}."
            )
        for name in names:
            if not re.fullmatch(r"\w[\w.-]{0,63}", name):
                raise ConfigError(
                    "A filter's name must be 1 to 64 letters, digits, `_`, `.` and `-`. "
                    f"Received {shortened(name, 80)!r}."
                )
        if self.max_k < 1:
            raise ConfigError(f"`max_k` must be 1 or more. Received {self.max_k}.")
