"""Batches of a GAN: which categories are trained, and each step's real images, latents and random numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tfdvbpr.config import GanConfig
from tfdvbpr.data.batches.source import Batch, cut_into_parts, epoch_generator, step_generator
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.augmentation import num_random_numbers
from tfdvbpr.errors import ConfigError

Floats = npt.NDArray[np.float32]

PULLED = slice(1, None, 2)
LATENT_NOISE = 0.1  # standard deviation around a pulled latent
_SHORTEST_EPOCH = 100  # steps, with a budget of steps
_MOST_NAMED = 12


@dataclass(frozen=True)
class CategoryPlan:
    """Which categories of a dataset are trained, and how often each is sampled.

    Attributes:
        names: of the dataset's categories, in the order of their ids.
        counts: int64 [N], images of each.
        trained_as: int32 [N], the id each is trained and generated as: its own, that of the largest merged one, or -1
            where it is left out.
        probabilities: float64 [N], how often each id is sampled; they sum to 1.
        small: ids with too few images, largest first.
    """

    names: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    trained_as: npt.NDArray[np.int32]
    probabilities: npt.NDArray[np.float64]
    small: tuple[int, ...]

    @property
    def counts_trained(self) -> npt.NDArray[np.int64]:
        """int64 [N], images that are trained as each id."""
        kept = self.trained_as >= 0
        return np.bincount(self.trained_as[kept], self.counts[kept], len(self.names)).astype(np.int64)

    @property
    def trained(self) -> npt.NDArray[np.int32]:
        """Ids that are sampled."""
        return np.flatnonzero(self.probabilities).astype(np.int32)

    def notes(self, config: GanConfig) -> Iterator[str]:
        """A line where small categories are left out or merged."""
        if self.small and config.small_categories != "refuse":
            what = "left out" if config.small_categories == "leave-out" else "merged into one"
            yield f"Categories with fewer than {config.min_category_images} images are {what}: {self.small_names()}."

    def small_names(self) -> str:
        """Names and numbers of images of the small categories, for an error or a log line."""
        named = [f"{self.names[number]} ({self.counts[number]})" for number in self.small]
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        return ", ".join(named[:_MOST_NAMED]) + more


def plan_categories(dataset: PreparedDataset, config: GanConfig) -> CategoryPlan:
    """Applies `min_category_images`, `small_categories` and `category_power` to a dataset.

    A category is sampled with a probability in proportion to (its images)^power: 1 is as they come, 0 all equally.

    Raises:
        ConfigError: if there are small categories and they are refused, or no category is left.
    """
    names = dataset.manifest.categories
    counts = np.bincount(dataset.items.category_ids, minlength=len(names))
    few = (counts < config.min_category_images) & (counts > 0)
    trained_as = np.where(counts > 0, np.arange(len(names)), -1).astype(np.int32)
    small = tuple(int(number) for number in np.flatnonzero(few)[np.argsort(-counts[few], kind="stable")])
    if small and config.small_categories == "refuse":
        listed = CategoryPlan(names, counts, trained_as, np.zeros(len(names)), small).small_names()
        raise ConfigError(
            f"Every category must have at least {config.min_category_images} images. Fewer have {listed}. "
            "Set small_categories=leave-out or merge, or a lower min_category_images."
        )
    if small:
        together = counts[list(small)].sum()
        merges = config.small_categories == "merge" and together >= config.min_category_images
        trained_as[list(small)] = small[0] if merges else -1
    plan = CategoryPlan(names, counts, trained_as, np.zeros(len(names)), small)
    pooled = plan.counts_trained
    if not pooled.any():
        raise ConfigError(
            f"A category must have at least {config.min_category_images} images. The largest of {dataset.path} has "
            f"{counts.max()}. Set a lower min_category_images."
        )
    weights = np.where(pooled > 0, np.maximum(pooled, 1.0) ** config.category_power, 0.0)
    return replace(plan, probabilities=weights / weights.sum())


def budget(config: GanConfig, whole_batches: int) -> tuple[int, int]:
    """The number of epochs and the steps of each.

    With `steps`, an epoch is about one pass over the images, but a hundred steps at least. Without, there are `epochs`
    of as many whole batches as there are in one pass.
    """
    if not config.steps:
        return config.epochs, whole_batches
    epochs = max(1, round(config.steps / max(whole_batches, _SHORTEST_EPOCH)))
    return epochs, -(-config.steps // epochs)


class GanBatches:
    """Real images, sampled by their categories' probabilities, with latents for as many generated ones.

    An epoch has as many images as the trained categories have. Within a category each image comes equally often, to
    one; at `category_power` 1 that is every image once.

    Each part holds `item_ids` int32 [B/R], `images` uint8 [B/R, H, W, 3], `category_ids` int32 [B/R], also those to
    generate, `other_ids` int32 [B/R], each a wrong category for the image, `latents` float32 [B/R, latent_dim], and
    `real_draws` and `fake_draws` float32 [B/R, A] in [0, 1) for the augmentation.

    With `pull_weight` the odd rows (`PULLED`) are those whose samples are pulled toward the row's photo: their latents
    are near the photo's of `pulled_latents`, and their image is augmented as the photo is.

    Attributes:
        categories: see `CategoryPlan`.
        global_batch_size: images a step over all replicas.
        pulled_latents: float32 [num_items, latent_dim], set by `LatentPool` at the beginning of an epoch.
        epochs: see `budget`.

    Raises:
        ConfigError: as `plan_categories`, or if a replica would be left without an image.
    """

    def __init__(self, dataset: PreparedDataset, config: GanConfig, *, num_replicas: int) -> None:
        self._dataset = dataset
        self._config = config
        self._num_replicas = num_replicas
        self.categories = plan_categories(dataset, config)
        trained_as = self.categories.trained_as[dataset.items.category_ids]
        self._items = np.flatnonzero(trained_as >= 0).astype(np.int32)
        self._category_ids = trained_as
        self._pulls = config.pull_weight > 0
        self.pulled_latents = np.zeros(
            (len(dataset.items.category_ids) if self._pulls else 0, config.latent_dim), np.float32
        )
        unit = num_replicas * (2 if self._pulls else 1)
        self.global_batch_size = min(config.global_batch_size, len(self._items)) // unit * unit
        if self.global_batch_size < unit:
            raise ConfigError(
                "`global_batch_size` must leave an image a replica, two with `pull_weight`. "
                f"Received {config.global_batch_size} with {len(self._items)} items and {num_replicas} replicas."
            )
        self.epochs, self.steps_per_epoch = budget(config, len(self._items) // self.global_batch_size)
        self.warmup_steps = round(config.warmup * self.epochs) * self.steps_per_epoch if self._pulls else 0

    @property
    def images_per_step(self) -> int:
        """Real images a step, over all replicas."""
        return self.global_batch_size

    def epoch(self, epoch: int, *, first_step: int = 0, replicas: Sequence[int] | None = None) -> Iterator[list[Batch]]:
        """The steps of one epoch from `first_step`, a part for each of `replicas` (of all, where left out)."""
        config, size = self._config, self.global_batch_size
        order = self._order(epoch_generator(config.seed, epoch))
        for step in range(first_step, self.steps_per_epoch):
            generator = step_generator(config.seed, epoch, step)
            items = order[step * size : (step + 1) * size]
            category_ids = self._category_ids[items]
            latents = generator.standard_normal((size, config.latent_dim)).astype(np.float32)
            plan: dict[str, npt.NDArray[np.generic]] = {
                "item_ids": items,
                "mirrored": (generator.random(size) < 0.5) & config.flip,
                "category_ids": category_ids,
                "latents": latents,
            }
            warm = epoch * self.steps_per_epoch + step < self.warmup_steps
            if not warm:
                draws = generator.random((2, size, num_random_numbers(config.augmentation)), np.float32)
                plan |= {"other_ids": self._others(category_ids, generator)}
                plan |= dict(zip(("real_draws", "fake_draws"), draws, strict=True))
            if self._pulls:
                pulled = slice(None) if warm else PULLED
                latents[pulled] = self.pulled_latents[items[pulled]] + np.float32(LATENT_NOISE) * latents[pulled]
            if self._pulls and not warm:
                plan["fake_draws"][PULLED] = plan["real_draws"][PULLED]
            yield [self._with_images(part) for part in cut_into_parts(plan, self._num_replicas, replicas)]

    def _order(self, generator: np.random.Generator) -> npt.NDArray[np.int32]:
        """Systematic sampling: what is expected n times, image or category, comes ⌊n⌋ or ⌈n⌉ times."""
        category_ids = self._category_ids[self._items]
        pooled = np.bincount(category_ids, minlength=len(self.categories.probabilities))
        shuffled = generator.permutation(len(self._items))
        shuffled = shuffled[np.argsort(category_ids[shuffled], kind="stable")]
        ends = np.cumsum((self.categories.probabilities / np.maximum(pooled, 1))[category_ids][shuffled])
        count = self.steps_per_epoch * self.global_batch_size
        marks = (np.arange(count) + generator.random()) / count
        picked = np.minimum(np.searchsorted(ends, marks * ends[-1], side="right"), len(ends) - 1)
        order: npt.NDArray[np.int32] = self._items[shuffled[generator.permutation(picked)]]
        return order

    def _others(self, category_ids: npt.NDArray[np.int32], generator: np.random.Generator) -> npt.NDArray[np.int32]:
        """Wrong categories by the same probabilities, int32 [B]; the right one where there is no other."""
        trained, probabilities = self.categories.trained, self.categories.probabilities
        if len(trained) == 1:
            return category_ids
        chances = np.tile(probabilities[trained], (len(category_ids), 1))
        chances[trained[None] == category_ids[:, None]] = 0.0
        ends = np.cumsum(chances, axis=1)
        marks = generator.random(len(category_ids)) * ends[:, -1]
        return trained[np.minimum((ends <= marks[:, None]).sum(axis=1), len(trained) - 1)]

    def _with_images(self, part: Batch) -> Batch:
        images = self._dataset.images.read(part["item_ids"].astype(np.int32, copy=False))
        images = np.where(part["mirrored"][:, None, None, None], images[:, :, ::-1], images)
        return {**{name: array for name, array in part.items() if name != "mirrored"}, "images": images}

    @property
    def trained_items(self) -> npt.NDArray[np.int32]:
        """Item rows that are trained, int32 [N]."""
        return self._items

    def items_of(self, category: int) -> npt.NDArray[np.int32]:
        """Item rows that are trained as a category, int32 [N]."""
        return np.flatnonzero(self._category_ids == category).astype(np.int32)

    def state(self) -> dict[str, npt.NDArray[np.float32]]:
        """What a checkpoint within an epoch holds."""
        return {"pulled_latents": self.pulled_latents}

    def load_state(self, state: Mapping[str, npt.NDArray[np.float32]]) -> None:
        """Continues from a state."""
        self.pulled_latents = state["pulled_latents"]

    def fake_inputs(self, generator: np.random.Generator) -> tuple[Floats, npt.NDArray[np.int32]]:
        """A global batch of latents, float32 [B, latent_dim], and categories by their probabilities, int32 [B]."""
        size = self.global_batch_size
        latents = generator.standard_normal((size, self._config.latent_dim), np.float32)
        trained = self.categories.trained
        return latents, generator.choice(trained, size, p=self.categories.probabilities[trained])

    def real_images(self, generator: np.random.Generator, *, most: int) -> tuple[Floats, npt.NDArray[np.int32]]:
        """Up to `most` images of each trained category, float32 [N, H, W, 3] in [-1, 1], and their ids, int32 [N]."""
        items = [items for _, items in self._sampled_items(generator, most)]
        chosen = np.sort(np.concatenate(items)).astype(np.int32)
        images = self._dataset.images.read(chosen).astype(np.float32) / np.float32(127.5) - np.float32(1.0)
        return images, self._category_ids[chosen]

    def photos(self, generator: np.random.Generator, *, most: int) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
        """Each trained category's id with up to `most` of its images, uint8 [N, H, W, 3]."""
        for category, items in self._sampled_items(generator, most):
            yield category, self._dataset.images.read(np.sort(items).astype(np.int32))

    def _sampled_items(self, generator: np.random.Generator, most: int) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
        for category in self.categories.trained:
            rows = np.flatnonzero(self._category_ids == category)
            yield int(category), generator.permutation(rows)[:most]
