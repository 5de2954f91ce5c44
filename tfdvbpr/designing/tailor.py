"""Tailoring existing items to people: what would have to change for them to like it more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.data.images.decoding import to_float, to_uint8
from tfdvbpr.designing.audience import Audience, Tastes, offset_tastes, standardised_tastes
from tfdvbpr.designing.designer import Designer, latent_kind
from tfdvbpr.designing.optimize.inversion import invert, tailor
from tfdvbpr.designing.optimize.maximize import frame_steps
from tfdvbpr.designing.optimize.perceptual_features import BACKBONE, Perception
from tfdvbpr.designing.optimize.scoring import score_pictures
from tfdvbpr.designing.options import TailorOptions, check_weight
from tfdvbpr.errors import ConfigError
from tfdvbpr.models.backbones import FEATURE_NETWORKS

STRENGTHS = (0.5, 1.0, 2.0)
_SSIM_WINDOW = 7

Pictures = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tailored:
    """Items before and after, a row an item and a column a strength.

    Preferences are in standard deviations over the real items of the category.

    Attributes:
        strengths: of the columns.
        originals: uint8 [N, H, W, 3].
        reconstructions: uint8 [N, H, W, 3], what the generator makes of them: where the ascent begins.
        images: uint8 [N, K, H, W, 3].
        original_preferences: float32 [N], of the real pictures.
        initial_preferences: float32 [N], of the reconstructions.
        preferences: float32 [N, K].
        initial_realism_logits: float32 [N], D̂ of the reconstructions.
        realism_logits: float32 [N, K], D̂.
        distances: float32 [N, K], from the reconstruction; 1 is as far as a random picture of the category.
        losses: float32 [N], how unlike the reconstruction is to the original, in the same unit.
        ssim: float32 [N], structural similarity of reconstruction and original, Wang et al. 2004; 1 is the same.
        latents: float32 [N, K, L].
        frames: uint8 [F, N, K, H, W, 3], from the reconstruction to the end.
        history: float32 [N, K, T + 1], preferences after each step.
        frame_steps: the steps of the frames.
    """

    strengths: tuple[float, ...]
    originals: Pictures
    reconstructions: Pictures
    images: Pictures
    original_preferences: Floats
    initial_preferences: Floats
    preferences: Floats
    initial_realism_logits: Floats
    realism_logits: Floats
    distances: Floats
    losses: Floats
    ssim: Floats
    latents: Floats
    frames: Pictures
    history: Floats
    frame_steps: list[int]


class Tailor:
    """Finds latents of items and moves them toward people.

    Args:
        designer: the two runs.
        options: of inversion and ascent.
        perception: "backbone", the recommender's own network; or a trunk with ImageNet weights, such as
            "efficientnet_lite0".

    Raises:
        ConfigError: if there is no such perception or its weights cannot be had.
    """

    def __init__(self, designer: Designer, *, options: TailorOptions | None = None, perception: str = BACKBONE) -> None:
        check_perception(perception)
        options = options or TailorOptions()
        self.options = replace(options, latents=latent_kind(options.latents, designer.options.latents))
        self.run, self.gan_run = designer.run, designer.gan_run
        self.objective = designer.objective
        self.image_size = self.gan_run.manifest.image_size
        self.perception = Perception.of(perception, backbone=self.run.recommender.backbone, image_size=self.image_size)
        self._invert = tf.function(self._traced_invert, reduce_retracing=True, autograph=False)
        self._tailor = tf.function(self._traced_tailor, reduce_retracing=True, autograph=False)

    def _traced_invert(self, images: Any, categories: Any, seeds: Any) -> dict[str, Any]:
        dim = self.gan_run.config.latent_dim
        return invert(
            self.objective, self.perception, to_float(images), categories, seeds, options=self.options, latent_dim=dim
        )

    def _traced_tailor(
        self, free: Any, typical: Any, tastes: Tastes, categories: Any, strengths: Any, frames: Any
    ) -> dict[str, Any]:
        rows = (free, typical, tastes, categories, strengths)
        return tailor(self.objective, self.perception, *rows, options=self.options, snapshot_steps=frames)

    def tailor(
        self,
        user_ids: Sequence[str],
        categories: Sequence[str],
        images_uint8: Pictures,
        *,
        seeds: Sequence[int] | None = None,
        strengths: Sequence[float] = STRENGTHS,
        num_frames: int = 5,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Tailored:
        """Each picture tailored to the user of its row; see `tailor_for`.

        Raises:
            UnknownIdError: if a run does not know a user or a category.
        """
        self.run.user_indices(user_ids)
        audiences = [Audience.user(user_id) for user_id in user_ids]
        return self.tailor_for(
            audiences,
            categories,
            images_uint8,
            seeds=seeds,
            strengths=strengths,
            num_frames=num_frames,
            progress=progress,
        )

    def tailor_for(
        self,
        audiences: Sequence[Audience],
        categories: Sequence[str],
        images_uint8: Pictures,
        *,
        seeds: Sequence[int] | None = None,
        strengths: Sequence[float] = STRENGTHS,
        num_frames: int = 5,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Tailored:
        """Each picture tailored to one person.

        Args:
            audiences: one a picture; a user or somebody new, no group.
            categories: one a picture.
            images_uint8: uint8 [N, H, W, 3], of the generator's size.
            seeds: one a picture, of the latents that are looked at first; 0, 1, ... when left out.
            strengths: each gives a picture an item; 0 leaves it alone.
            num_frames: pictures of the way, at least 2.
            progress: told of (items done, in all).

        Raises:
            UnknownIdError: if a run does not know a user, an item or a category.
            ConfigError: if a picture is of another shape, a strength is no number ≥ 0, or the lists differ in length.
        """
        check_pictures(images_uint8, self.image_size)
        check_strengths(strengths)
        count = len(images_uint8)
        seeds = range(count) if seeds is None else seeds
        if not len(audiences) == len(categories) == len(seeds) == count > 0:
            raise ConfigError(
                "`audiences`, `categories`, `images` and `seeds` must be of one length above 0. "
                f"Received {len(audiences)}, {len(categories)}, {count} and {len(seeds)}."
            )
        category_ids = np.array([self.gan_run.category_id(category) for category in categories], np.int32)
        embeddings, offsets = standardised_tastes(self.run, audiences, categories)
        at = frame_steps(self.options.num_steps, num_frames)
        size = max(1, self.options.chunk_rows // max(self.options.num_starts, len(strengths)))
        parts = []
        for start in range(0, count, size):
            rows = slice(start, start + size)
            block = (images_uint8[rows], category_ids[rows], np.asarray(seeds[rows], np.int64))
            parts.append(self._block(*block, embeddings[rows], offsets[rows], strengths, at))
            progress(min(start + size, count), count)
        whole = {
            name: np.concatenate([part[name] for part in parts], axis=1 if name == "frames" else 0) for name in parts[0]
        }
        original = score_pictures(self.run, images_uint8, offset_tastes(embeddings, offsets))
        return Tailored(
            strengths=tuple(strengths),
            originals=images_uint8,
            original_preferences=original,
            frame_steps=at,
            ssim=structural_similarity(images_uint8, whole["reconstructions"]),
            **whole,
        )

    def _block(
        self,
        images: Pictures,
        category_ids: npt.NDArray[np.int32],
        seeds: npt.NDArray[np.int64],
        embeddings: Floats,
        offsets: Floats,
        strengths: Sequence[float],
        at: list[int],
    ) -> dict[str, Any]:
        count, columns = len(images), len(strengths)
        found = self._invert(tf.constant(images), tf.constant(category_ids), tf.constant(seeds))

        def repeated(values: Any) -> Any:
            return tf.repeat(values, columns, axis=0)

        moved = self._tailor(
            repeated(found["free"]),
            repeated(found["typical"]),
            offset_tastes(np.repeat(embeddings, columns, 0), np.repeat(offsets, columns)),
            repeated(category_ids),
            tf.constant(np.tile(np.array(strengths, np.float32), count)),
            tf.constant(at),
        )
        rows = {
            name: moved[name].numpy().reshape(count, columns, *moved[name].shape[1:])
            for name in ("images", "preferences", "realism_logits", "distances", "latents")
        }
        frames = moved["frames"].numpy()
        return {
            **rows,
            "reconstructions": to_uint8(found["images"]).numpy(),
            "losses": (found["losses"] / found["typical"]).numpy(),
            "initial_preferences": moved["initial_preferences"].numpy()[::columns],
            "initial_realism_logits": moved["initial_realism_logits"].numpy()[::columns],
            "history": moved["history_preferences"].numpy().reshape(count, columns, -1),
            "frames": frames.reshape(len(at), count, columns, *frames.shape[2:]),
        }


def structural_similarity(first: Pictures, second: Pictures) -> Floats:
    """float32 [N]: SSIM (Wang et al. 2004), a 7×7 Gaussian window of σ 1.5, on pictures uint8 [N, H, W, 3]."""
    found: Floats = tf.image.ssim(tf.constant(first), tf.constant(second), 255, filter_size=_SSIM_WINDOW).numpy()
    return found


def check_pictures(images_uint8: Any, image_size: tuple[int, int]) -> None:
    """Refuses pictures that are not of the generator's shape.

    Raises:
        ConfigError: naming both shapes.
    """
    height, width = image_size
    shape = getattr(images_uint8, "shape", None)
    if getattr(images_uint8, "dtype", None) != np.uint8 or shape is None or tuple(shape[1:]) != (height, width, 3):
        raise ConfigError(
            f"`images` must be uint8 [N, {height}, {width}, 3], RGB, as the generator draws them. Received "
            f"{getattr(images_uint8, 'dtype', type(images_uint8).__name__)} {list(shape or [])}. Resize them first."
        )


def check_perception(name: str) -> None:
    """Refuses a perception that there is not.

    Raises:
        ConfigError: naming those that there are.
    """
    if name != BACKBONE and name not in FEATURE_NETWORKS:
        raise ConfigError(
            "`perception` must be backbone, efficientnet_lite0 or a model of keras.applications such as MobileNetV2. "
            f"Received {name!r}."
        )


def check_strengths(strengths: Sequence[float]) -> None:
    """Refuses none, NaN, infinity and what is below 0.

    Raises:
        ConfigError: naming the strength.
    """
    for strength in strengths:
        check_weight("strength", strength)
    if not strengths:
        raise ConfigError("`strengths` must name at least one. Received none.")
