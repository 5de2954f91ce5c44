"""How a source becomes a prepared dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from tfdvbpr.data import DateOrder, DuplicateHandling, ImageFit, SplitKind
from tfdvbpr.data.images.decoding import MAX_PIXELS
from tfdvbpr.data.interactions import SPLITS
from tfdvbpr.data.preparation.health import HEALTH_CHECKS
from tfdvbpr.errors import ConfigError, check_choice

_MIN_IMAGE_SIDE = 16


@dataclass(frozen=True)
class PrepareOptions:
    """How a source becomes a prepared dataset.

    Attributes:
        image_size: (height, width) of the decoded images, in pixels.
        fit: what happens to an image of another shape: "pad", "crop" or "squash".
        max_pixels: larger images are quarantined without being decoded.
        max_cache_bytes: the decoded uint8 cache is written if it fits into this many bytes.
        seed: of the split and of the withheld items.
        withhold_items: fraction of the items kept out of training altogether.
        split: a name in SPLITS; left out, the source's own split if it has one, else "leave-one-out".
        validation_fraction: part of the actions that `split="time"` validates on.
        test_fraction: part of the actions, the latest, that `split="time"` tests on.
        min_user_actions: users with fewer are left out; together with `min_item_actions` until nothing changes.
        min_item_actions: items with fewer are left out of the catalogue; 1 leaves out those without any.
        duplicates: items with the same image are only reported ("keep"), or their actions moved onto the first
            of them ("merge").
        date_order: of day and month in dates such as 03/04/2024, "mdy" or "dmy"; left out, what the dates say.
        max_loss: the largest share of the rows of a table that may be lost, in [0, 1], filters and repetitions aside.
        allow: names of HEALTH_CHECKS whose errors do not end the preparation.
    """

    image_size: tuple[int, int] = (64, 64)
    fit: ImageFit = "pad"
    max_pixels: int = MAX_PIXELS
    max_cache_bytes: int = 8 << 30
    seed: int = 0
    withhold_items: float = 0.0
    split: SplitKind | None = None
    validation_fraction: float = 0.1
    test_fraction: float = 0.1
    min_user_actions: int = 0
    min_item_actions: int = 0
    duplicates: DuplicateHandling = "keep"
    date_order: DateOrder | None = None
    max_loss: float = 0.05
    allow: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if min(self.image_size) < _MIN_IMAGE_SIDE:
            raise ConfigError(f"`image_size` must be at least 16x16 pixels. Received {self.image_size}.")
        check_choice("fit", self.fit, get_args(ImageFit))
        if not 0.0 <= self.withhold_items < 1.0:
            raise ConfigError(f"`withhold_items` must be in [0, 1). Received {self.withhold_items}.")
        if self.split is not None:
            check_choice("split", self.split, SPLITS)
        check_choice("duplicates", self.duplicates, get_args(DuplicateHandling))
        if self.date_order is not None:
            check_choice("date_order", self.date_order, get_args(DateOrder))
        fractions = (self.validation_fraction, self.test_fraction)
        if not (min(fractions) >= 0.0 and sum(fractions) < 1.0):
            raise ConfigError(
                "`validation_fraction` and `test_fraction` must be at least 0 and together less than 1. "
                f"Received {fractions[0]} and {fractions[1]}."
            )
        if not 0.0 <= self.max_loss <= 1.0:
            raise ConfigError(f"`max_loss` must be in [0, 1]. Received {self.max_loss}.")
        for each in self.allow:
            check_choice("allow", each, HEALTH_CHECKS)
        for name in ("min_user_actions", "min_item_actions"):
            if getattr(self, name) < 0:
                raise ConfigError(f"`{name}` must be at least 0. Received {getattr(self, name)}.")
