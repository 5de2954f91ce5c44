"""What a GAN sees in each step: real pictures with their categories, latents, and random numbers for all else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from tfdvbpr.config import GanConfig
from tfdvbpr.data.batches.source import Batch, cut_into_parts, epoch_generator, step_generator
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.augmentation import num_random_numbers
from tfdvbpr.errors import ConfigError
from tfdvbpr.training.gan.categories import plan_categories
from tfdvbpr.training.gan.reconstruction import PERIOD

Floats = npt.NDArray[np.float32]


class PictureBatches:
    """Pictures of the catalogue by their categories' shares, with fresh latents.

    An epoch has as many pictures as the trained categories have. Within a category each is met equally often, to one;
    at `category_power` 1 that is every picture once.

    Each part holds `item_ids` int32 [B/R], `images` uint8 [B/R, H, W, 3], `category_ids` int32 [B/R], `other_ids` int32
    [B/R], each a wrong category for the picture, `fake_ids` int32 [B/R], what is to be generated (the pictures'
    categories or, where variety is asked for, every second one of them twice in a row), `latents` float32
    [B/R, latent_dim], `real_draws` and `fake_draws` float32 [B/R, A] in [0, 1) for the augmentation, and `noise_seeds`
    int32 [B/R, 2].

    Args:
        dataset: whose pictures are drawn.
        config: batch size, latent length, categories' rule, flips, augmentation, seed.
        num_replicas: parts of a global batch.

    Raises:
        ConfigError: as `plan_categories`, or if a replica would be left without a picture.
    """

    def __init__(self, dataset: PreparedDataset, config: GanConfig, *, num_replicas: int) -> None:
        self._dataset = dataset
        self._config = config
        self._num_replicas = num_replicas
        self.categories = plan_categories(dataset, config)
        drawn_as = self.categories.drawn_as[dataset.items.category_ids]
        self._items = np.flatnonzero(drawn_as >= 0).astype(np.int32)
        self._category_ids = drawn_as
        unit = num_replicas * (PERIOD if config.reconstruction_weight else 2 if config.draws_pairs else 1)
        self.global_batch_size = min(config.global_batch_size, len(self._items)) // unit * unit
        if self.global_batch_size < unit:
            raise ConfigError(
                "`global_batch_size` must leave a picture a replica, two with `variety_weight` or "
                "`shape_variety_weight`, four with `reconstruction_weight`. "
                f"Received {config.global_batch_size} with {len(self._items)} items and {num_replicas} replicas."
            )

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in as many pictures as there are."""
        return len(self._items) // self.global_batch_size

    @property
    def images_per_step(self) -> int:
        """Real pictures a step, over all replicas."""
        return self.global_batch_size

    def epoch(self, epoch: int, *, first_step: int = 0, replicas: Sequence[int] | None = None) -> Iterator[list[Batch]]:
        """The steps of one epoch from `first_step`, a part for each of `replicas` (of all, where left out)."""
        config, size = self._config, self.global_batch_size
        order = self._order(epoch_generator(config.seed, epoch))
        for step in range(first_step, self.steps_per_epoch):
            generator = step_generator(config.seed, epoch, step)
            items = order[step * size : (step + 1) * size]
            category_ids = self._category_ids[items]
            draws = (2, size, num_random_numbers(config.augmentation))
            plan: dict[str, npt.NDArray[np.generic]] = {
                "item_ids": items,
                "mirrored": (generator.random(size) < 0.5) & config.flip,
                "category_ids": category_ids,
                "other_ids": self._others(category_ids, generator),
                "fake_ids": category_ids[np.arange(size) // 2 * 2] if config.draws_pairs else category_ids,
                "latents": generator.standard_normal((size, config.latent_dim)).astype(np.float32),
                **dict(zip(("real_draws", "fake_draws"), generator.random(draws, np.float32), strict=True)),
                "noise_seeds": generator.integers(0, 2**30, (size, 2), np.int32),
            }
            yield [self._with_images(part) for part in cut_into_parts(plan, self._num_replicas, replicas)]

    def _order(self, generator: np.random.Generator) -> npt.NDArray[np.int32]:
        """Systematic sampling: what is expected n times, picture or category, comes ⌊n⌋ or ⌈n⌉ times."""
        category_ids = self._category_ids[self._items]
        pooled = np.bincount(category_ids, minlength=len(self.categories.shares))
        shuffled = generator.permutation(len(self._items))
        shuffled = shuffled[np.argsort(category_ids[shuffled], kind="stable")]
        ends = np.cumsum((self.categories.shares / np.maximum(pooled, 1))[category_ids][shuffled])
        count = self.steps_per_epoch * self.global_batch_size
        places = (np.arange(count) + generator.random()) / count
        picked = np.minimum(np.searchsorted(ends, places * ends[-1], side="right"), len(ends) - 1)
        order: npt.NDArray[np.int32] = self._items[shuffled[generator.permutation(picked)]]
        return order

    def _others(self, category_ids: npt.NDArray[np.int32], generator: np.random.Generator) -> npt.NDArray[np.int32]:
        """Wrong categories by the same shares, int32 [B]; the right one where there is no other."""
        trained, shares = self.categories.trained, self.categories.shares
        if len(trained) == 1:
            return category_ids
        chances = np.tile(shares[trained], (len(category_ids), 1))
        chances[trained[None] == category_ids[:, None]] = 0.0
        ends = np.cumsum(chances, axis=1)
        marks = generator.random(len(category_ids)) * ends[:, -1]
        return trained[np.minimum((ends <= marks[:, None]).sum(axis=1), len(trained) - 1)]

    def _with_images(self, part: Batch) -> Batch:
        images = self._dataset.images.read(part["item_ids"].astype(np.int32, copy=False))
        images = np.where(part["mirrored"][:, None, None, None], images[:, :, ::-1], images)
        return {**{name: array for name, array in part.items() if name != "mirrored"}, "images": images}

    def fake_inputs(self, generator: np.random.Generator) -> tuple[Floats, npt.NDArray[np.int32]]:
        """A global batch of latents, float32 [B, latent_dim], and categories by their shares, int32 [B]."""
        size = self.global_batch_size
        latents = generator.standard_normal((size, self._config.latent_dim), np.float32)
        trained = self.categories.trained
        return latents, generator.choice(trained, size, p=self.categories.shares[trained])

    def drawn_pictures(self, generator: np.random.Generator, *, most: int) -> Floats:
        """Up to `most` pictures as an epoch has them, by the categories' shares, float32 [N, H, W, 3] in [-1, 1]."""
        return self._floats(self._order(generator)[:most])

    def real_pictures(self, generator: np.random.Generator, *, most: int) -> tuple[Floats, npt.NDArray[np.int32]]:
        """Up to `most` pictures of each trained category, float32 [N, H, W, 3] in [-1, 1], and their ids, int32 [N]."""
        chosen = []
        for category in self.categories.trained:
            of = np.flatnonzero(self._category_ids == category)
            chosen.append(generator.permutation(of)[:most])
        items = np.sort(np.concatenate(chosen)).astype(np.int32)
        return self._floats(items), self._category_ids[items]

    def _floats(self, items: npt.NDArray[np.int32]) -> Floats:
        return self._dataset.images.read(items).astype(np.float32) / np.float32(127.5) - np.float32(1.0)
