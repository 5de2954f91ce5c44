"""Training batches: the paper's triplets, and shared-item batches that encode each item once.

A step is a function of (seed, epoch, step). It is planned for all replicas at once (ids, and how each picture is to be
changed), then cut into equal parts, one a replica; pictures are read for the wanted parts alone. So the same global
batch is met however many replicas share it, an interrupted epoch goes on at any step without reading what went before,
and a worker decodes nothing but its own share.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.images import apply_changes, draw_changes
from tfdvbpr.data.interactions import Interactions
from tfdvbpr.data.samplers import SAMPLERS

Batch = Mapping[str, npt.NDArray[np.generic]]


class ReadImages(Protocol):
    """uint8 [N, H, W, 3] of item rows, int [N]; or float32 [N, F], what a network has seen of them already."""

    def __call__(self, items: npt.NDArray[np.int32]) -> npt.NDArray[np.generic]:
        """Reads the pictures."""
        ...


@dataclass(frozen=True)
class Augmentation:
    """Random changes to training pictures; see `images.augment`."""

    flip: bool = False
    max_shift: int = 0


@dataclass(frozen=True)
class BatchSource:
    """What both batchings draw from.

    Attributes:
        interactions: training actions are used, nothing else.
        read_images: pictures of item rows, or None for a model that sees none.
        augmentation: random changes to the pictures.
        seed: with the epoch, decides every draw.
        num_replicas: parts of a global batch.
    """

    interactions: Interactions
    read_images: ReadImages | None
    augmentation: Augmentation
    seed: int
    num_replicas: int

    def changes(self, count: int, generator: np.random.Generator) -> npt.NDArray[np.int32]:
        """int32 [N, 3]: how each of `count` pictures is to be changed; see `images.draw_changes`."""
        flip, max_shift = self.augmentation.flip, self.augmentation.max_shift
        return draw_changes(generator, count, flip=flip, max_shift=max_shift)

    def images(self, items: npt.NDArray[np.int32], changes: npt.NDArray[np.int32]) -> npt.NDArray[np.generic]:
        """Augmented uint8 [N, H, W, 3]; [N, 0] for a model that sees no pictures; float32 [N, F] as it was read."""
        if self.read_images is None:
            return np.zeros((len(items), 0), np.uint8)
        pictures = self.read_images(items)
        if pictures.dtype != np.uint8:
            return pictures
        max_shift = self.augmentation.max_shift
        return apply_changes(pictures.astype(np.uint8, copy=False), changes, max_shift=max_shift)


def epoch_generator(seed: int, epoch: int) -> np.random.Generator:
    """What decides the order of an epoch."""
    return np.random.default_rng((seed, epoch))


def step_generator(seed: int, epoch: int, step: int) -> np.random.Generator:
    """What decides everything else of one step, so that none before it has to be drawn."""
    return np.random.default_rng((seed, epoch, 1 + step))  # (seed, epoch, 0) would be the epoch's


def cut_into_parts(
    batch: dict[str, npt.NDArray[np.generic]], num_replicas: int, replicas: Sequence[int] | None = None
) -> list[Batch]:
    """Equal parts of the leading dimension, one for each of the wanted replicas, or for all of them."""
    pieces = {name: np.split(array, num_replicas) for name, array in batch.items()}
    wanted = range(num_replicas) if replicas is None else replicas
    return [{name: arrays[replica] for name, arrays in pieces.items()} for replica in wanted]


class SharedItemBatches:
    """M items a step, each encoded once; every training action on them is ranked against the other drawn items.

    An epoch draws each item that has a training action once, in random order. An item without one is never drawn: it
    could only ever be a negative, and the network would learn to push down exactly the items that are new.

    Each part holds: `item_ids` int32 [M/R], `images` uint8 [M/R, H, W, 3], `user_ids` int32 [P/R], `positive_index`
    int32 [P/R] into the global M, `positive_item_ids` int32 [P/R], `weights` float32 [P/R] (0 on padding),
    `is_negative` bool [P/R, M], `total_weight` float32 [1].

    Args:
        source: what to draw from.
        global_batch_size: M; rounded down to a multiple of the replicas and to the items there are.
        max_pairs: P is padded to a fixed size of at most this many; more actions are thinned at random.
        item_balance: β, in [0, 1]. An action weighs (training actions on its item)^-β: 0 counts every action the same,
            1 every item, so that nothing is learnt about what is popular and all about who likes what.
    """

    def __init__(
        self, source: BatchSource, *, global_batch_size: int, max_pairs: int, item_balance: float = 0.0
    ) -> None:
        self._source = source
        self._action_weights = np.maximum(source.interactions.training_counts, 1).astype(np.float32) ** -item_balance
        self._columns = source.interactions.training_matrix.tocsc()
        self._drawable = np.flatnonzero(source.interactions.training_counts > 0).astype(np.int32)
        replicas = source.num_replicas
        self.global_batch_size = min(global_batch_size, len(self._drawable)) // replicas * replicas
        if self.global_batch_size < 2:
            raise ValueError(
                f"`global_batch_size` must leave at least 2 items a step. Received {global_batch_size} with "
                f"{len(self._drawable)} items that have training actions and {replicas} replicas."
            )
        counts = np.sort(source.interactions.training_counts)[::-1]
        most = int(counts[: self.global_batch_size].sum())
        typical = int(2.0 * counts.sum() / len(self._drawable) * self.global_batch_size) + 64
        pairs = max(replicas, min(most, typical, max_pairs))
        self.num_pairs = -(-pairs // replicas) * replicas

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in one pass over the items."""
        return len(self._drawable) // self.global_batch_size

    @property
    def images_per_step(self) -> int:
        """Pictures encoded a step, over all replicas."""
        return self.global_batch_size

    def epoch(self, epoch: int, *, first_step: int = 0, replicas: Sequence[int] | None = None) -> Iterator[list[Batch]]:
        """The steps of one epoch from `first_step`, a part for each of `replicas` (of all, where left out)."""
        order = epoch_generator(self._source.seed, epoch).permutation(self._drawable)
        for step in range(first_step, self.steps_per_epoch):
            generator = step_generator(self._source.seed, epoch, step)
            plan = self._draw(order[step * self.global_batch_size :][: self.global_batch_size], generator)
            yield [self._with_images(part) for part in cut_into_parts(plan, self._source.num_replicas, replicas)]

    def _with_images(self, part: Batch) -> Batch:
        others = {name: array for name, array in part.items() if name != "changes"}
        return {**others, "images": self._source.images(*_ints(part, "item_ids", "changes"))}

    def _draw(self, items: npt.NDArray[np.int32], generator: np.random.Generator) -> dict[str, npt.NDArray[np.generic]]:
        actions = self._columns[:, items].tocoo()
        users, positions = actions.row.astype(np.int32), actions.col.astype(np.int32)
        if len(users) > self.num_pairs:
            chosen = generator.choice(len(users), self.num_pairs, replace=False)
            users, positions = users[chosen], positions[chosen]
        padding = self.num_pairs - len(users)
        is_negative = ~self._source.interactions.training_matrix[users][:, items].toarray()
        weights = is_negative.any(axis=1) * self._action_weights[items[positions]]
        total = np.full(self._source.num_replicas, max(float(weights.sum()), 1e-6), np.float32)
        return {
            "item_ids": items,
            "changes": self._source.changes(len(items), generator),
            "user_ids": np.pad(users, (0, padding)),
            "positive_index": np.pad(positions, (0, padding)),
            "positive_item_ids": items[np.pad(positions, (0, padding))],
            "weights": np.pad(weights, (0, padding)),
            "is_negative": np.pad(is_negative, ((0, padding), (0, 0))),
            "total_weight": total,
        }


class TripletBatches:
    """The paper's (u, i, j): u uniform over users, i uniform over u's training items, j from a negative sampler.

    An epoch is as many triplets as there are training actions. Each part holds `user_ids`, `positive_item_ids` int32
    [B/R], `negative_item_ids` int32 [B/R, N], `positive_images` uint8 [B/R, H, W, 3] and `negative_images` uint8
    [B/R, N, H, W, 3]; with anchors also `anchor_item_ids` int32 [B/R] and `anchor_images` uint8 [B/R, H, W, 3].

    Args:
        source: what to draw from.
        global_batch_size: triplets a step, B; rounded down to a multiple of the replicas.
        sampler: a name in SAMPLERS.
        num_negatives: N, negatives a positive; the paper has 1.
        popularity_power: α of the popularity sampler.
        anchors: also draw another training item of u, uniformly; users with a single one are left out then.
    """

    def __init__(
        self,
        source: BatchSource,
        *,
        global_batch_size: int,
        sampler: str,
        num_negatives: int = 1,
        popularity_power: float = 0.75,
        anchors: bool = False,
    ) -> None:
        self._source = source
        self._matrix = source.interactions.training_matrix
        least = 2 if anchors else 1
        self._active = np.flatnonzero(np.diff(self._matrix.indptr) >= least).astype(np.int32)
        self._sample = SAMPLERS[sampler].make(source.interactions, popularity_power)
        self._num_negatives = num_negatives
        self._anchors = anchors
        total = self._matrix.nnz if len(self._active) else 0
        self.global_batch_size = min(global_batch_size, total) // source.num_replicas * source.num_replicas
        if self.global_batch_size < 1:
            raise ValueError(
                f"`global_batch_size` must leave a triplet a replica. Received {global_batch_size} with {total} "
                f"training actions of users with at least {least} and {source.num_replicas} replicas."
            )

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in as many triplets as there are training actions."""
        return int(self._matrix.nnz) // self.global_batch_size

    @property
    def images_per_step(self) -> int:
        """Pictures encoded a step, over all replicas."""
        return (1 + self._num_negatives + self._anchors) * self.global_batch_size

    def epoch(self, epoch: int, *, first_step: int = 0, replicas: Sequence[int] | None = None) -> Iterator[list[Batch]]:
        """The steps of one epoch from `first_step`, a part for each of `replicas` (of all, where left out)."""
        for step in range(first_step, self.steps_per_epoch):
            plan = self._draw(step_generator(self._source.seed, epoch, step))
            yield [self._with_images(part) for part in cut_into_parts(plan, self._source.num_replicas, replicas)]

    def _with_images(self, part: Batch) -> Batch:
        whole = {name: array for name, array in part.items() if not name.endswith("changes")}
        for name in ("positive", "negative", "anchor")[: 2 + self._anchors]:
            items, changes = _ints(part, f"{name}_item_ids", f"{name}_changes")
            images = self._source.images(items.reshape(-1), changes.reshape(-1, 3))
            whole[f"{name}_images"] = images.reshape(*items.shape, *images.shape[1:])
        return whole

    def _draw(self, generator: np.random.Generator) -> dict[str, npt.NDArray[np.generic]]:
        starts, sizes = self._matrix.indptr[:-1], np.diff(self._matrix.indptr)
        users = generator.choice(self._active, self.global_batch_size)
        offsets = (generator.random(len(users)) * sizes[users]).astype(np.int64)
        positives = self._matrix.indices[starts[users] + offsets].astype(np.int32)
        each = self._num_negatives
        negatives = self._sample(users.repeat(each), positives.repeat(each), generator)
        batch: dict[str, npt.NDArray[np.generic]] = {
            "user_ids": users,
            "positive_item_ids": positives,
            "positive_changes": self._source.changes(len(users), generator),
            "negative_item_ids": negatives.reshape(-1, each),
            "negative_changes": self._source.changes(len(negatives), generator).reshape(-1, each, 3),
        }
        if self._anchors:
            others = (offsets + 1 + (generator.random(len(users)) * (sizes[users] - 1)).astype(np.int64)) % sizes[users]
            batch["anchor_item_ids"] = self._matrix.indices[starts[users] + others].astype(np.int32)
            batch["anchor_changes"] = self._source.changes(len(users), generator)
        return batch


def _ints(part: Batch, *names: str) -> list[npt.NDArray[np.int32]]:
    return [part[name].astype(np.int32, copy=False) for name in names]
