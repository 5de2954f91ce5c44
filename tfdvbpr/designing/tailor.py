"""Tailoring existing items to users: what would have to change for a user to prefer them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.data.images.decoding import to_float, to_uint8
from tfdvbpr.data.images.similarity import ssim
from tfdvbpr.designing.audience import Audience, AudienceEmbeddings, standardized_users
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.optimize.gradient_ascent import CHUNK_ROWS, frame_steps
from tfdvbpr.designing.optimize.inversion import PerceptualFeatures, invert, tailor
from tfdvbpr.designing.optimize.kept import KEPT, check_kept
from tfdvbpr.designing.optimize.objective import image_preferences
from tfdvbpr.designing.options import TailorOptions, check_weight
from tfdvbpr.errors import ConfigError

STRENGTHS = (0.5, 1.0, 2.0)
_SSIM_WINDOW = 7

Images = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tailored:
    """Items before and after, a row an item and a column a strength.

    Preferences are in standard deviations over the real items of the category.

    Attributes:
        strengths: of the columns.
        originals: uint8 [N, H, W, 3].
        reconstructions: uint8 [N, H, W, 3], generated from the inverted latents, at the ascent's start.
        images: uint8 [N, K, H, W, 3].
        original_preferences: float32 [N], of the originals.
        initial_preferences: float32 [N], of the reconstructions.
        preferences: float32 [N, K].
        initial_realism_logits: float32 [N], D̂ of the reconstructions.
        realism_logits: float32 [N, K], D̂.
        distances: float32 [N, K], from the reconstruction; 1 is as far as a random image of the category.
        losses: float32 [N], from the original to the reconstruction, in the same unit.
        ssim: float32 [N], structural similarity of reconstruction and original, Wang et al. 2004; 1 is the same.
        latents: float32 [N, K, L].
        frames: uint8 [F, N, K, H, W, 3], from the reconstruction to the end.
        history: float32 [N, K, T + 1], preferences after each step.
        frame_steps: the steps of the frames.
    """

    strengths: tuple[float, ...]
    originals: Images
    reconstructions: Images
    images: Images
    original_preferences: Floats
    initial_preferences: Floats
    preferences: Floats
    initial_realism_logits: Floats
    realism_logits: Floats
    distances: Floats
    losses: Floats
    ssim: Floats
    latents: Floats
    frames: Images
    history: Floats
    frame_steps: list[int]


class Tailor:
    """Finds latents of items by GAN inversion and moves them toward users' preferences.

    Distances are those of the feature maps of the recommender's own backbone.

    Args:
        designer: the two runs.
        options: of inversion and ascent.
    """

    def __init__(self, designer: Designer, *, options: TailorOptions | None = None) -> None:
        self.options = options or TailorOptions()
        self.run, self.gan_run = designer.run, designer.gan_run
        self.objective = designer.objective
        self.image_size = self.gan_run.manifest.image_size
        self.features = PerceptualFeatures.of_backbone(self.run.recommender.backbone)
        self._invert = tf.function(self._traced_invert, reduce_retracing=True, autograph=False)
        self._tailor = tf.function(self._traced_tailor, reduce_retracing=True, autograph=False)

    def _traced_invert(self, images: Any, categories: Any, seeds: Any) -> dict[str, Any]:
        dim = self.gan_run.config.latent_dim
        return invert(
            self.objective, self.features, to_float(images), categories, seeds, options=self.options, latent_dim=dim
        )

    def _traced_tailor(
        self,
        latents: Any,
        typical: Any,
        users: AudienceEmbeddings,
        categories: Any,
        strengths: Any,
        keep: Any,
        frames: Any,
    ) -> dict[str, Any]:
        rows = (latents, typical, users, categories, strengths, keep)
        return tailor(self.objective, self.features, *rows, options=self.options, snapshot_steps=frames)

    def tailor(
        self,
        audiences: Sequence[Audience | str],
        categories: Sequence[str],
        images_uint8: Images,
        *,
        seeds: Sequence[int] | None = None,
        strengths: Sequence[float] = STRENGTHS,
        keep: Sequence[str] = (),
        num_frames: int = 5,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Tailored:
        """Each image tailored to the user of its row.

        Args:
            audiences: one per image: a user id, or an `Audience`.
            categories: one per image.
            images_uint8: uint8 [N, H, W, 3], of the generator's size.
            seeds: one per image, of the random candidates; 0, 1, ... when left out.
            strengths: each gives an image per item; 0 leaves it alone.
            keep: what must stay of the items besides: "colour", "cut", or both.
            num_frames: images to keep from start to end, at least 2.
            progress: called with (items done, in all).

        Raises:
            UnknownIdError: if a run does not know a user, an item or a category.
            ConfigError: if an image is of another shape, a strength is not a number ≥ 0, `keep` names something else,
                or the lists differ in length.
        """
        check_images(images_uint8, self.image_size)
        check_strengths(strengths)
        check_kept(keep)
        count = len(images_uint8)
        seeds = range(count) if seeds is None else seeds
        if not len(audiences) == len(categories) == len(seeds) == count > 0:
            raise ConfigError(
                "`audiences`, `categories`, `images` and `seeds` must be of one length above 0. "
                f"Received {len(audiences)}, {len(categories)}, {count} and {len(seeds)}."
            )
        users = [Audience.user(each) if isinstance(each, str) else each for each in audiences]
        category_ids = np.array([self.gan_run.category_id(category) for category in categories], np.int32)
        embeddings, offsets = standardized_users(self.run, users, categories)
        at = frame_steps(self.options.num_steps, num_frames)
        size = max(1, CHUNK_ROWS // max(self.options.num_starts, len(strengths)))
        parts = []
        for start in range(0, count, size):
            rows = slice(start, start + size)
            block = (images_uint8[rows], category_ids[rows], np.asarray(seeds[rows], np.int64))
            parts.append(self._block(*block, embeddings[rows], offsets[rows], strengths, keep, at))
            progress(min(start + size, count), count)
        whole = {
            name: np.concatenate([part[name] for part in parts], axis=1 if name == "frames" else 0) for name in parts[0]
        }
        users_of_rows = AudienceEmbeddings.of_users(embeddings, offsets)
        return Tailored(
            strengths=tuple(strengths),
            originals=images_uint8,
            original_preferences=image_preferences(self.run, images_uint8, users_of_rows),
            frame_steps=at,
            ssim=ssim(images_uint8, whole["reconstructions"], filter_size=_SSIM_WINDOW),
            **whole,
        )

    def _block(
        self,
        images: Images,
        category_ids: npt.NDArray[np.int32],
        seeds: npt.NDArray[np.int64],
        embeddings: Floats,
        offsets: Floats,
        strengths: Sequence[float],
        keep: Sequence[str],
        at: list[int],
    ) -> dict[str, Any]:
        count, columns = len(images), len(strengths)
        found = self._invert(tf.constant(images), tf.constant(category_ids), tf.constant(seeds))

        def repeated(values: Any) -> Any:
            return tf.repeat(values, columns, axis=0)

        moved = self._tailor(
            repeated(found["latents"]),
            repeated(found["typical"]),
            AudienceEmbeddings.of_users(np.repeat(embeddings, columns, 0), np.repeat(offsets, columns)),
            repeated(category_ids),
            tf.constant(np.tile(np.array(strengths, np.float32), count)),
            tf.constant(np.tile(np.array([name in keep for name in KEPT], np.float32), (count * columns, 1))),
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


def check_images(images_uint8: Any, image_size: tuple[int, int]) -> None:
    """Refuses images that are not of the generator's shape."""
    height, width = image_size
    shape = getattr(images_uint8, "shape", None)
    if getattr(images_uint8, "dtype", None) != np.uint8 or shape is None or tuple(shape[1:]) != (height, width, 3):
        raise ConfigError(
            f"`images` must be uint8 [N, {height}, {width}, 3], RGB, as the generator makes them. Received "
            f"{getattr(images_uint8, 'dtype', type(images_uint8).__name__)} {list(shape or [])}. Resize them first."
        )


def check_strengths(strengths: Sequence[float]) -> None:
    """Refuses an empty list, NaN, infinity and negative numbers."""
    for strength in strengths:
        check_weight("strength", strength)
    if not strengths:
        raise ConfigError("`strengths` must name at least one. Received none.")
