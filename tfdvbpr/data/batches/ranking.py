"""Batches for ranking losses: the paper's triplets, and shared-item batches that encode each item once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.batches.samplers import SAMPLERS
from tfdvbpr.data.batches.source import Batch, BatchSource, cut_into_parts, epoch_generator, step_generator

Plan = dict[str, npt.NDArray[np.generic]]


class SharedItemBatches:
    """M items a step, each encoded once; every training action on them is ranked against the other items of the step.

    An epoch goes once through the I items with a training action, in random order. An item without one could only ever
    be a negative, and the network would learn to push down exactly the new items.

    Weights are divided by what a step's weights add up to *on average*, not by what they add up to in this step, and
    actions beyond `max_pairs` are made up for by those that stay. So under uniform negatives the gradient of a step is
    an unbiased estimate of that of a triplet objective, which docs/reference/equations.md writes down.

    Each part holds: `item_ids` int32 [M/R], `images` uint8 [M/R, H, W, 3], `random_numbers` float64 [M/R, A],
    `user_ids` int32 [P/R], `positive_index` int32 [P/R] into the global M, `positive_item_ids` int32 [P/R], `weights`
    float32 [P/R] (0 on padding), `is_negative` bool [P/R, M], `total_weight` float32 [1], the divisor of the weights.

    Args:
        source: interactions, images, augmentation, seed.
        global_batch_size: M; rounded down to a multiple of the replicas and to the items there are.
        max_pairs: P is padded to a fixed size of at most this many; more actions are thinned at random.
        item_balance: β, in [0, 1]. An action weighs (training actions on its item)^-β: 0 counts every action the same,
            1 every item, so that the model learns users' preferences and not what is popular.
        sampler: a name in SAMPLERS; "uniform" ranks against all other items of the step.
    """

    def __init__(
        self,
        source: BatchSource,
        *,
        global_batch_size: int,
        max_pairs: int,
        item_balance: float = 0.0,
        sampler: str = "uniform",
    ) -> None:
        self._source = source
        matrix, counts = source.interactions.training_matrix, source.interactions.training_counts
        columns = matrix.tocsc()
        self._starts, self._users = columns.indptr, columns.indices.astype(np.int32, copy=False)
        self._trained = np.flatnonzero(counts > 0).astype(np.int32)
        self._sampler = SAMPLERS[sampler](source.interactions)
        replicas = source.num_replicas
        self.global_batch_size = min(global_batch_size, len(self._trained)) // replicas * replicas
        if self.global_batch_size < 2:
            raise ValueError(
                f"`global_batch_size` must leave at least 2 items a step. Received {global_batch_size} with "
                f"{len(self._trained)} items that have training actions and {replicas} replicas."
            )
        self._item_weights = np.maximum(counts, 1.0) ** -item_balance
        # Nothing can be ranked below the actions of a user who acted on everything.
        self._user_weights = (np.diff(matrix.indptr) < len(self._trained)).astype(np.float64)
        whole = float(self._user_weights @ (matrix @ self._item_weights))
        self._total = np.float32(max(whole * self.global_batch_size / len(self._trained), 1e-6))
        self.num_pairs = self._fixed_pairs(counts[self._trained], max_pairs)

    def _fixed_pairs(self, counts: npt.NDArray[np.int64], max_pairs: int) -> int:
        """P: what all but unlikely steps have room in, a multiple of the replicas."""
        size, replicas = self.global_batch_size, self._source.num_replicas
        most, typical = int(np.sort(counts)[-size:].sum()), int(2.0 * size * float(counts.mean())) + 64
        pairs = max(replicas, min(most, typical, max_pairs))
        return -(-pairs // replicas) * replicas

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in as many items as have a training action."""
        return len(self._trained) // self.global_batch_size

    @property
    def images_per_step(self) -> int:
        """Images encoded a step, over all replicas."""
        return self.global_batch_size

    def epoch(self, epoch: int, *, first_step: int = 0, replicas: Sequence[int] | None = None) -> Iterator[list[Batch]]:
        """The steps of one epoch from `first_step`, a part for each of `replicas` (of all, where left out)."""
        seed, size = self._source.seed, self.global_batch_size
        order = epoch_generator(seed, epoch).permutation(self._trained)
        for step in range(first_step, self.steps_per_epoch):
            generator = step_generator(seed, epoch, step)
            plan = self.plan(order[step * size : (step + 1) * size], generator)
            yield [self._with_images(part) for part in cut_into_parts(plan, self._source.num_replicas, replicas)]

    def _with_images(self, part: Batch) -> Batch:
        return {**part, "images": self._source.images(part["item_ids"].astype(np.int32, copy=False))}

    def plan(self, items: npt.NDArray[np.int32], generator: np.random.Generator) -> Plan:
        """A global batch of the given items, int32 [M], without images; `generator` decides all that is random."""
        users, positions = self._actions_on(items)
        present, rows = np.unique(users, return_inverse=True)
        acted = np.zeros((len(present), len(items)), bool)
        acted[rows, positions] = True
        scale = 1.0
        if len(users) > self.num_pairs:
            scale = len(users) / self.num_pairs
            chosen = np.sort(generator.choice(len(users), self.num_pairs, replace=False))
            users, positions, rows = users[chosen], positions[chosen], rows[chosen]
        padding = self.num_pairs - len(users)
        is_negative = ~acted[rows] & self._sampler.accept(items, items[positions], generator)  # [P, M]
        weights = is_negative.any(axis=1) * self._user_weights[users] * self._item_weights[items[positions]] * scale
        padded = np.pad(positions, (0, padding))
        return {
            "item_ids": items,
            "random_numbers": self._source.random_numbers(len(items), generator),
            "user_ids": np.pad(users, (0, padding)),
            "positive_index": padded,
            "positive_item_ids": items[padded],
            "weights": np.pad(weights, (0, padding)).astype(np.float32),
            "is_negative": np.pad(is_negative, ((0, padding), (0, 0))),
            "total_weight": np.full(self._source.num_replicas, self._total, np.float32),
        }

    def _actions_on(self, items: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Users of every training action on the items, int32, and which of the items it was on, int32."""
        sizes = self._starts[items + 1] - self._starts[items]
        ends = np.cumsum(sizes)
        within = np.arange(ends[-1]) - np.repeat(ends - sizes, sizes)
        users: npt.NDArray[np.int32] = self._users[np.repeat(self._starts[items], sizes) + within]
        return users, np.repeat(np.arange(len(items), dtype=np.int32), sizes)


class TripletBatches:
    """The paper's (u, i, j): u uniform over users, i uniform over u's training items, j from a negative sampler.

    An epoch is as many triplets as there are training actions. Each part holds `user_ids`, `positive_item_ids` int32
    [B/R], `negative_item_ids` int32 [B/R, N], `positive_images` uint8 [B/R, H, W, 3] and `negative_images` uint8
    [B/R, N, H, W, 3]; with anchors also `anchor_item_ids` int32 [B/R] and `anchor_images` uint8 [B/R, H, W, 3]; and of
    each kind random numbers for the augmentation, `positive_random_numbers` float64 [B/R, A] and so on.

    Args:
        source: interactions, images, augmentation, seed.
        global_batch_size: triplets a step, B; rounded down to a multiple of the replicas.
        sampler: a name in SAMPLERS.
        num_negatives: N, negatives a positive; the paper has 1.
        anchors: also sample another training item of u, uniformly; users with a single one are left out then.
    """

    def __init__(
        self,
        source: BatchSource,
        *,
        global_batch_size: int,
        sampler: str,
        num_negatives: int = 1,
        anchors: bool = False,
    ) -> None:
        self._source = source
        self._matrix = source.interactions.training_matrix
        least = 2 if anchors else 1
        self._active = np.flatnonzero(np.diff(self._matrix.indptr) >= least).astype(np.int32)
        self._sampler = SAMPLERS[sampler](source.interactions)
        self._sampler.check_users()
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
        """Images encoded a step, over all replicas."""
        return (1 + self._num_negatives + self._anchors) * self.global_batch_size

    def epoch(self, epoch: int, *, first_step: int = 0, replicas: Sequence[int] | None = None) -> Iterator[list[Batch]]:
        """The steps of one epoch from `first_step`, a part for each of `replicas` (of all, where left out)."""
        for step in range(first_step, self.steps_per_epoch):
            plan = self._plan(step_generator(self._source.seed, epoch, step))
            yield [self._with_images(part) for part in cut_into_parts(plan, self._source.num_replicas, replicas)]

    def _with_images(self, part: Batch) -> Batch:
        whole = dict(part)
        for name in ("positive", "negative", "anchor")[: 2 + self._anchors]:
            items = part[f"{name}_item_ids"].astype(np.int32, copy=False)
            images = self._source.images(items.reshape(-1))
            whole[f"{name}_images"] = images.reshape(*items.shape, *images.shape[1:])
        return whole

    def _plan(self, generator: np.random.Generator) -> Plan:
        starts, sizes = self._matrix.indptr[:-1], np.diff(self._matrix.indptr)
        users = generator.choice(self._active, self.global_batch_size)
        offsets = (generator.random(len(users)) * sizes[users]).astype(np.int64)
        positives = self._matrix.indices[starts[users] + offsets].astype(np.int32)
        each = self._num_negatives
        negatives = self._sampler.sample(users.repeat(each), positives.repeat(each), generator)
        positive_numbers = self._source.random_numbers(len(users), generator)
        negative_numbers = self._source.random_numbers(len(negatives), generator)
        batch: Plan = {
            "user_ids": users,
            "positive_item_ids": positives,
            "positive_random_numbers": positive_numbers,
            "negative_item_ids": negatives.reshape(-1, each),
            "negative_random_numbers": negative_numbers.reshape(len(users), each, -1),
        }
        if self._anchors:
            others = (offsets + 1 + (generator.random(len(users)) * (sizes[users] - 1)).astype(np.int64)) % sizes[users]
            batch["anchor_item_ids"] = self._matrix.indices[starts[users] + others].astype(np.int32)
            batch["anchor_random_numbers"] = self._source.random_numbers(len(users), generator)
        return batch
