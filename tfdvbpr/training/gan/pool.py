"""The latents whose samples are pulled toward photos: principal components at first, then RS-IMLE's nearest samples."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.config import GanConfig
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.decoding import to_float
from tfdvbpr.models.gans.discriminator import Features
from tfdvbpr.training.distributed.strategy import broadcast_bytes
from tfdvbpr.training.engine.callbacks import TrainingCallback
from tfdvbpr.training.gan.batches import GanBatches
from tfdvbpr.training.gan.descriptors import (
    MOST_FITTED,
    PrincipalComponents,
    component_latents,
    descriptors,
    nearest_unlike,
)

Floats = npt.NDArray[np.float32]

_log = logging.getLogger(__name__)

_BATCH = 64
_PER_PHOTO, _SMALLEST_POOL, _LARGEST_POOL = 2.0, 2_000, 20_000
# A sample costs about 1/190 of a step of 32 images, so that a pool takes a seventh of the time of the steps it serves.
_SAMPLES_PER_STEP = 29
# Of the steps without a discriminator, these begin with principal components as latents.
_COMPONENTS_UNTIL = 0.8


class LatentPool(TrainingCallback):
    """Chooses a latent for each photo, at the beginning of an epoch, when it is due.

    In the first four fifths of the warm-up they are the photos' `component_latents`, so that G soon draws what photos
    show, with details that no sample of an untrained G is near to. After that a share of the photos, others each time,
    keep these. The latents of the rest are chosen by rejection sampling IMLE (Vashist, Peng and Li 2024), so that G
    draws photos for latents of the prior: for each category a pool of z ~ N(0, I) is generated with the present G;
    samples that lie within ε of a photo already are rejected, so that what is there is left alone; each photo gets the
    latent of the nearest of the rest.

    Different from the paper: the components; pools within categories; images are compared by `descriptors`; ε is no
    constant, but the `pool_rejection` quantile of the photos' distances to their nearest samples, and so it falls as G
    improves.

    Args:
        dataset: the photos.
        batches: which photos are trained; receives the latents.
        generate: G in inference mode, from {"latents", "category_ids"} to images.
        features: the discriminator's, see `Discriminator.features`.
        config: `seed`, `latent_dim`, `match`, `pull`, `pool_rejection`, `component_share`.
        strategy: the chief's latents count on every worker.
    """

    def __init__(
        self,
        dataset: PreparedDataset,
        batches: GanBatches,
        generate: Callable[[Mapping[str, Any]], Any],
        features: Callable[[Any], Features],
        config: GanConfig,
        strategy: Any,
    ) -> None:
        super().__init__()
        self._dataset, self._batches, self._generate = dataset, batches, generate
        self._config, self._strategy = config, strategy
        seen = features if config.match == "features" else lambda images: [images]

        def describe(images: Any) -> list[tf.Tensor]:
            return descriptors(seen(images), textures=config.pull == "textures")

        images = tf.TensorSpec((None, *dataset.manifest.image_size, 3), tf.float32)
        self._describe = tf.function(describe, input_signature=[images], autograph=False)
        self._sizes = pool_sizes(batches.categories.counts_trained)
        self._photos: tuple[Floats, PrincipalComponents] | None = None
        self._pool_step: int | None = None

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Chooses latents, unless a pool was generated so few steps ago that its cost would be felt."""
        if self.progress.step:  # an epoch that is continued
            return
        done = self.progress.total_steps
        by_components = done < _COMPONENTS_UNTIL * self._batches.warmup_steps
        if by_components and epoch:
            return
        if self._pool_step is not None and (done - self._pool_step) * _SAMPLES_PER_STEP < self._sizes.sum():
            return
        self._pool_step = None if by_components else done
        shape = self._batches.pulled_latents.shape
        data = broadcast_bytes(self._strategy, lambda: self._chosen(epoch, by_components).tobytes())
        self._batches.pulled_latents = np.frombuffer(data, np.float32).reshape(shape)

    def _chosen(self, epoch: int, by_components: bool) -> Floats:
        """float32 [num_items, latent_dim]; zero for photos that are not trained."""
        random = np.random.default_rng((self._config.seed, epoch, 0, 0, 0))
        photos, _ = self._described_photos()
        latents = np.zeros(self._batches.pulled_latents.shape, np.float32)
        distances: list[float] = []
        for category in self._batches.categories.trained:
            rows = self._batches.items_of(category)
            latents[rows] = component_latents(photos[rows], self._config.latent_dim, random)
            if not by_components:
                pool = random.standard_normal((self._sizes[category], self._config.latent_dim), np.float32)
                samples = self._described_samples(pool, category)
                chosen, nearest = nearest_unlike(photos[rows], samples, self._config.pool_rejection)
                matched = random.random(len(rows)) >= self._config.component_share
                latents[rows[matched]] = pool[chosen[matched]]
                distances.extend(nearest.tolist())
        if distances:
            _log.info("Epoch %d: mean distance of a photo to its nearest sample %.4f.", epoch + 1, np.mean(distances))
        return latents

    def _described_photos(self) -> tuple[Floats, PrincipalComponents]:
        if self._photos is None:
            trained = self._batches.trained_items
            some = list(self._described(trained[:: -(-len(trained) // MOST_FITTED)]))
            components = PrincipalComponents.fitted([np.concatenate(part) for part in zip(*some, strict=True)])
            rows = np.arange(len(self._batches.pulled_latents), dtype=np.int32)
            self._photos = np.concatenate([components.of(parts) for parts in self._described(rows)]), components
        return self._photos

    def _described(self, rows: npt.NDArray[np.int32]) -> Iterator[list[Floats]]:
        """Descriptors of photos, block by block: whole, they would take 40 kB a photo."""
        for start in range(0, len(rows), _BATCH):
            images = to_float(tf.constant(self._dataset.images.read(rows[start : start + _BATCH])))
            yield [part.numpy() for part in self._describe(images)]

    def _described_samples(self, latents: Floats, category: int) -> Floats:
        _, components = self._described_photos()
        blocks = [latents[start : start + _BATCH] for start in range(0, len(latents), _BATCH)]
        inputs = ({"latents": tf.constant(z), "category_ids": tf.fill([len(z)], tf.constant(category))} for z in blocks)
        described = ([part.numpy() for part in self._describe(self._generate(each))] for each in inputs)
        return np.concatenate([components.of(parts) for parts in described])

    def state(self) -> dict[str, Any]:
        """The step of the last pool; the latents are in the batches' state."""
        return {"pool_step": self._pool_step}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continues from a state."""
        self._pool_step = state["pool_step"]


def pool_sizes(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """int64 [N], samples of each category: twice its photos, or more where it has few.

    Half of a total in proportion to the photos and half to their square roots; within the bounds of a total.
    """
    total = np.clip(_PER_PHOTO * counts.sum(), _SMALLEST_POOL, _LARGEST_POOL)
    roots = np.sqrt(counts)
    mixed = 0.5 * counts / counts.sum() + 0.5 * roots / roots.sum()
    return np.where(counts > 0, np.maximum(total * mixed, np.minimum(_PER_PHOTO * counts, total)), 0).astype(np.int64)
