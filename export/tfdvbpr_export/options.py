"""What an exported recommender may be told; plain Python."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tfdvbpr.errors import ConfigError, check_choice

Retrieval = Literal["brute-force", "scann"]
RETRIEVAL: dict[Retrieval, str] = {
    "brute-force": "exact: one matrix product with the whole catalogue",
    "scann": "approximate: ScaNN's tree and hashes; its recall is measured and written down",
}
Quantize = Literal["none", "bfloat16", "int8"]
QUANTIZE: dict[Quantize, str] = {
    "none": "32 bits a number",
    "bfloat16": "16 bits a number, about 3 digits",
    "int8": "8 bits a number, and a 32-bit scale an item",
}


@dataclass(frozen=True)
class ScannOptions:
    """How ScaNN partitions and searches. 0 takes a value that follows the catalogue's size.

    Attributes:
        num_leaves: parts the catalogue is cut into; 0 is about √num_items.
        num_leaves_to_search: parts a query looks into; 0 is a twentieth of them.
        num_reordering_candidates: items that are scored exactly at the end, and the most that an approximate answer may
            hold together with what it leaves out; 0 is 1,000.
        dimensions_per_block: numbers that share a hash; more are faster and coarser.
    """

    num_leaves: int = 0
    num_leaves_to_search: int = 0
    num_reordering_candidates: int = 0
    dimensions_per_block: int = 2

    def __post_init__(self) -> None:
        for name in ("num_leaves", "num_leaves_to_search", "num_reordering_candidates"):
            if getattr(self, name) < 0:
                raise ConfigError(
                    f"`{name}` must be 0 (to follow the catalogue) or more. Received {getattr(self, name)}."
                )
        if self.dimensions_per_block < 1:
            raise ConfigError(f"`dimensions_per_block` must be 1 or more. Received {self.dimensions_per_block}.")

    def resolved(self, num_items: int) -> ScannOptions:
        """With numbers in the place of zeros, and none above what the catalogue has."""
        leaves = min(self.num_leaves or max(1, round(num_items**0.5)), num_items)
        return ScannOptions(
            num_leaves=leaves,
            num_leaves_to_search=min(self.num_leaves_to_search or max(1, round(leaves / 20)), leaves),
            num_reordering_candidates=min(self.num_reordering_candidates or 1000, num_items),
            dimensions_per_block=self.dimensions_per_block,
        )


@dataclass(frozen=True)
class RecommenderOptions:
    """How a recommender is exported.

    Attributes:
        retrieval: a name in RETRIEVAL.
        quantize: a name in QUANTIZE; of the item embeddings.
        scann: of the retrieval "scann".
        max_k: the most items a row of an answer gets, so that one row cannot blow up the batch it is in.
        max_liked: the most liked items a row of a request may name.
        max_pixels: pictures with more are refused before they are decoded.
    """

    retrieval: Retrieval = "brute-force"
    quantize: Quantize = "none"
    scann: ScannOptions = field(default_factory=ScannOptions)
    max_k: int = 1000
    max_liked: int = 256
    max_pixels: int = 50_000_000

    def __post_init__(self) -> None:
        for name, known in (("retrieval", list(RETRIEVAL)), ("quantize", list(QUANTIZE))):
            check_choice(name, getattr(self, name), known)
        for name in ("max_k", "max_liked", "max_pixels"):
            if getattr(self, name) < 1:
                raise ConfigError(f"`{name}` must be 1 or more. Received {getattr(self, name)}.")


# A request's history has a number a step, for which room is made before the first: that must not end the server.
MOST_STEPS = 1_000_000


@dataclass(frozen=True)
class DesignerLimits:
    """What one request to a designer may ask for at most, since a step is many milliseconds of work.

    Attributes:
        max_steps: of the ascent, at most MOST_STEPS; a request for more gets so many.
        max_liked: the most liked items a row of a request may name.
        num_nearest: real items told for each picture.
        max_pixels: pictures with more are refused before they are decoded.
    """

    max_steps: int = 200
    max_liked: int = 256
    num_nearest: int = 3
    max_pixels: int = 50_000_000

    def __post_init__(self) -> None:
        for name in ("max_steps", "max_liked", "num_nearest", "max_pixels"):
            if getattr(self, name) < 1:
                raise ConfigError(f"`{name}` must be 1 or more. Received {getattr(self, name)}.")
        if self.max_steps > MOST_STEPS:
            raise ConfigError(f"`max_steps` must be {MOST_STEPS:,} or less. Received {self.max_steps:,}.")
