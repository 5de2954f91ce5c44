"""Options of designing and tailoring, checked before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from tfdvbpr.errors import ConfigError
from tfdvbpr.suggestions import nearest

Options = TypeVar("Options", "DesignOptions", "TailorOptions")


@dataclass(frozen=True)
class DesignOptions:
    """Options of gradient ascent on latents. docs/results/images/index.md has what the defaults were chosen by.

    Attributes:
        num_candidates: random latents z ~ N(0, I), of which the most preferred become a request's starts; see
            `Candidates`.
        num_starts: latents per request from which the ascent starts.
        num_steps: steps of Adam.
        learning_rate: of Adam, on z alone; its state is fresh for every request, which the authors' is not.
        realism_weight: η.
    """

    num_candidates: int = 256
    num_starts: int = 16
    num_steps: int = 20
    learning_rate: float = 0.05
    realism_weight: float = 0.2

    def __post_init__(self) -> None:
        for name in ("num_candidates", "num_starts", "num_steps"):
            check_count(name, getattr(self, name))
        check_weight("learning_rate", self.learning_rate, above_zero=True)
        check_weight("realism_weight", self.realism_weight)
        _check_starts(self)


@dataclass(frozen=True)
class TailorOptions:
    """Options of GAN inversion and of the ascent from the inverted latents.

    Attributes:
        num_candidates: random latents per item among which the descent's starts are chosen.
        num_starts: candidates per item, the nearest ones, from which the descent starts.
        invert_steps: steps of Adam toward the item.
        num_steps: steps of Adam toward the user's preference.
        realism_weight: η.
    """

    num_candidates: int = 64
    num_starts: int = 4
    invert_steps: int = 120
    num_steps: int = 40
    realism_weight: float = 1.0

    def __post_init__(self) -> None:
        for name in ("num_candidates", "num_starts", "invert_steps", "num_steps"):
            check_count(name, getattr(self, name))
        check_weight("realism_weight", self.realism_weight)
        _check_starts(self)


def parse_options(kind: type[Options], settings: Sequence[str]) -> Options:
    """Options from KEY=VALUE strings; what is left out keeps its default.

    Raises:
        ConfigError: if a key is unknown or a value is out of range; the message names the nearest key.
    """
    defaults = kind()
    known: dict[str, type[int] | type[float]] = {
        field.name: type(getattr(defaults, field.name)) for field in fields(kind)
    }
    values: dict[str, Any] = {}
    for setting in settings:
        key, separator, text = setting.partition("=")
        key = key.strip().replace("-", "_")
        if not separator:
            raise ConfigError(f"--set takes KEY=VALUE. Received {setting!r}.")
        if key not in known:
            near = "".join(f" Nearest: {name!r}." for name in nearest(key, known, count=1))
            raise ConfigError(f"--set must name one of {', '.join(known)}. Received {key!r}.{near}")
        try:
            values[key] = known[key](text)
        except ValueError:
            number = "a whole number" if known[key] is int else "a number"
            raise ConfigError(f"`{key}` must be {number}. Received {text!r}.") from None
    return kind(**values)


def check_count(name: str, value: int) -> None:
    """Refuses a number that is not a whole number of at least 1."""
    if isinstance(value, bool) or value != int(value) or value < 1:
        raise ConfigError(f"`{name}` must be at least 1. Received {value}.")


def _check_starts(options: DesignOptions | TailorOptions) -> None:
    if options.num_starts > options.num_candidates:
        raise ConfigError(
            f"`num_starts` must be at most num_candidates={options.num_candidates}. Received {options.num_starts}."
        )


def check_num_designs(num_designs: int, num_starts: int) -> None:
    """Refuses more designs than starts."""
    check_count("num_designs", num_designs)
    if num_designs > num_starts:
        raise ConfigError(f"`num_designs` must be at most num_starts={num_starts}. Received {num_designs}.")


def check_weight(name: str, value: float, *, above_zero: bool = False) -> None:
    """Refuses NaN, infinity and negative numbers."""
    if not math.isfinite(value):
        raise ConfigError(f"`{name}` must be a finite number. Received {value}.")
    if value < 0 or (above_zero and value == 0):
        raise ConfigError(f"`{name}` must {'be above 0' if above_zero else 'not be negative'}. Received {value}.")
