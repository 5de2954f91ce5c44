"""What design and tailoring can be told, checked before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from tfdvbpr.errors import ConfigError, check_choice

LatentKind = Literal["auto", "gaussian", "bounded"]
LATENTS = ("auto", "gaussian", "bounded")


@dataclass(frozen=True)
class Smoothing:
    """How Φ's input is changed at every step of the ascent, so that a gain must outlive the change.

    Every row of a step is changed alike, and a step always the same way, so no answer depends on its neighbours.

    Attributes:
        max_shift: pixels, each way and each axis, drawn anew every step; the border is repeated.
        flip: mirrored at every other step, by chance.
        noise_stddev: of Gaussian noise on the pixels, which lie in [-1, 1].
        blur_stddev: of a Gaussian blur, in pixels; 0 for none.
    """

    max_shift: int = 0
    flip: bool = False
    noise_stddev: float = 0.0
    blur_stddev: float = 0.0


SMOOTHINGS: Mapping[str, Smoothing] = MappingProxyType(
    {
        "none": Smoothing(),
        "augment": Smoothing(max_shift=3, flip=True, noise_stddev=0.1),
        "blur": Smoothing(blur_stddev=1.0),
        "augment-and-blur": Smoothing(max_shift=3, flip=True, noise_stddev=0.1, blur_stddev=1.0),
    }
)


@dataclass(frozen=True)
class DesignOptions:
    """How far and from where to climb. Defaults follow the authors' code, but for the number of steps (theirs: 10).

    Attributes:
        num_starts: latents a request begins from.
        num_steps: steps of Adam.
        learning_rate: of Adam, on z alone; its state is fresh for every request, which the authors' is not.
        initial_stddev: z₀ ~ N(0, σ²); of bounded latents, of what tanh is taken of.
        realism_weight: η.
        num_designs: how many of the starts' ends are kept, by objective and diversity; left out, all of them.
        diversity: how much being unlike the designs already kept counts beside the objective: a design a mean distance
            away is worth so many standard deviations of the objective. 0 keeps the best whatever they look like.
        latents: "gaussian": z is free. "bounded": z = tanh of what is free. "auto": as the generator was trained.
        norm_prior_weight: weight of ½‖z‖²/L in the objective, for Gaussian latents; L makes it the log-density.
        smoothing: a name in SMOOTHINGS.
        chunk_rows: starts that are ascended together; bounds the memory, whatever is asked for.
    """

    num_starts: int = 16
    num_steps: int = 40
    learning_rate: float = 0.05
    initial_stddev: float = 0.5
    realism_weight: float = 1.0
    num_designs: int | None = None
    diversity: float = 0.5
    latents: LatentKind = "auto"
    norm_prior_weight: float = 0.0
    smoothing: str = "none"
    chunk_rows: int = 64

    def __post_init__(self) -> None:
        for name in ("num_starts", "num_steps", "chunk_rows"):
            check_count(name, getattr(self, name))
        for name in ("learning_rate", "initial_stddev"):
            check_weight(name, getattr(self, name), above_zero=True)
        for name in ("realism_weight", "diversity", "norm_prior_weight"):
            check_weight(name, getattr(self, name))
        if self.num_designs is not None:
            check_num_designs(self.num_designs, self.num_starts)
        check_choice("latents", self.latents, LATENTS)
        check_choice("smoothing", self.smoothing, SMOOTHINGS)
        if self.latents == "bounded" and self.norm_prior_weight:
            raise ConfigError(
                "`norm_prior_weight` is for Gaussian latents, and must be 0 with bounded ones. "
                f"Received {self.norm_prior_weight}."
            )


@dataclass(frozen=True)
class TailorOptions:
    """How an item's latent is found, and how far from it a tailored one may go.

    Attributes:
        num_candidates: random latents of the item's category that are looked at first.
        num_starts: the nearest of them, from which the descent begins.
        invert_steps: steps of Adam toward the item.
        invert_learning_rate: its step size, falling along a cosine to a tenth.
        pixel_weight: of the mean squared difference of pixels beside the perceptual distance.
        latent_weight: of ½‖z‖²/L (of the free variable where latents are bounded) while the latent is sought.
        num_steps: steps of Adam toward the user.
        learning_rate: its step size.
        realism_weight: η.
        distance_weight: of the distance between the tailored picture and the reconstruction, in units of the mean
            distance between random pictures of the category and the item.
        latents: as of `DesignOptions`.
        smoothing: a name in SMOOTHINGS, on Φ's input.
        chunk_rows: rows that are ascended together.
    """

    num_candidates: int = 64
    num_starts: int = 4
    invert_steps: int = 120
    invert_learning_rate: float = 0.1
    pixel_weight: float = 1.0
    latent_weight: float = 0.01
    num_steps: int = 40
    learning_rate: float = 0.05
    realism_weight: float = 1.0
    distance_weight: float = 4.0
    latents: LatentKind = "auto"
    smoothing: str = "none"
    chunk_rows: int = 64

    def __post_init__(self) -> None:
        for name in ("num_candidates", "num_starts", "invert_steps", "num_steps", "chunk_rows"):
            check_count(name, getattr(self, name))
        for name in ("invert_learning_rate", "learning_rate"):
            check_weight(name, getattr(self, name), above_zero=True)
        for name in ("pixel_weight", "latent_weight", "realism_weight", "distance_weight"):
            check_weight(name, getattr(self, name))
        check_choice("latents", self.latents, LATENTS)
        check_choice("smoothing", self.smoothing, SMOOTHINGS)
        if self.num_starts > self.num_candidates:
            raise ConfigError(
                f"`num_starts` must be at most num_candidates={self.num_candidates}. Received {self.num_starts}."
            )


def check_count(name: str, value: int) -> None:
    """Refuses what is no whole number of at least 1.

    Raises:
        ConfigError: naming the value.
    """
    if isinstance(value, bool) or value != int(value) or value < 1:
        raise ConfigError(f"`{name}` must be at least 1. Received {value}.")


def check_num_designs(num_designs: int, num_starts: int) -> None:
    """Refuses more designs than starts.

    Raises:
        ConfigError: naming both.
    """
    check_count("num_designs", num_designs)
    if num_designs > num_starts:
        raise ConfigError(f"`num_designs` must be at most num_starts={num_starts}. Received {num_designs}.")


def check_weight(name: str, value: float, *, above_zero: bool = False) -> None:
    """Refuses NaN, infinity and what is below 0.

    Raises:
        ConfigError: naming the value.
    """
    if not math.isfinite(value):
        raise ConfigError(f"`{name}` must be a finite number. Received {value}.")
    if value < 0 or (above_zero and value == 0):
        raise ConfigError(f"`{name}` must {'be above 0' if above_zero else 'not be negative'}. Received {value}.")
