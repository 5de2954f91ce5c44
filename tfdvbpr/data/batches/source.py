"""What batches are sampled from, what decides their random numbers, and how a global batch is cut for its replicas.

A step is a function of (seed, epoch, step). It is planned for all replicas at once (ids and random numbers), then cut
into equal parts, one a replica; images are read for the wanted parts alone. So the global batch does not depend on the
number of replicas, an interrupted epoch resumes at any step without reading what went before, and a worker decodes only
its own part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.images.augmentation import draw_random_numbers
from tfdvbpr.data.interactions import Interactions

Batch = Mapping[str, npt.NDArray[np.generic]]


ReadImages = Callable[[npt.NDArray[np.int32]], npt.NDArray[np.generic]]
"""From item rows, int32 [N], to images uint8 [N, H, W, 3] or to features float32 [N, F] of a frozen network."""


@dataclass(frozen=True)
class BatchSource:
    """What both batchings sample from.

    Attributes:
        interactions: training actions are used, nothing else.
        read_images: images of item rows, or None for a model without images.
        augmentation: names in AUGMENTATIONS.
        seed: with the epoch and the step, decides all that is random.
        num_replicas: parts of a global batch.
    """

    interactions: Interactions
    read_images: ReadImages | None
    augmentation: tuple[str, ...]
    seed: int
    num_replicas: int

    def random_numbers(self, count: int, generator: np.random.Generator) -> npt.NDArray[np.float64]:
        """float64 [N, A] in [0, 1): what the augmentation of `count` images needs."""
        return draw_random_numbers(generator, count, self.augmentation)

    def images(self, items: npt.NDArray[np.int32]) -> npt.NDArray[np.generic]:
        """uint8 [N, H, W, 3] or float32 [N, F]; uint8 [N, 0] for a model without images."""
        if self.read_images is None:
            return np.zeros((len(items), 0), np.uint8)
        return self.read_images(items)


def epoch_generator(seed: int, epoch: int) -> np.random.Generator:
    """The generator of an epoch's order."""
    return np.random.default_rng((seed, epoch))


def step_generator(seed: int, epoch: int, step: int) -> np.random.Generator:
    """The generator of everything else of one step, so that no earlier step has to be planned."""
    return np.random.default_rng((seed, epoch, 1 + step))  # (seed, epoch, 0) would be the epoch's


def cut_into_parts(
    batch: dict[str, npt.NDArray[np.generic]], num_replicas: int, replicas: Sequence[int] | None = None
) -> list[Batch]:
    """Equal parts of the leading dimension, one for each of the wanted replicas, or for all of them."""
    pieces = {name: np.split(array, num_replicas) for name, array in batch.items()}
    wanted = range(num_replicas) if replicas is None else replicas
    return [{name: arrays[replica] for name, arrays in pieces.items()} for replica in wanted]
