"""Designing new products for users, from a recommender run and a GAN run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.data.chunks import map_chunks
from tfdvbpr.data.images.decoding import to_uint8
from tfdvbpr.designing.audience import Audience, AudienceEmbeddings, check_learns_from_pixels
from tfdvbpr.designing.optimize.candidates import Candidates
from tfdvbpr.designing.optimize.gradient_ascent import CHUNK_ROWS, frame_steps, initial_latents, maximize
from tfdvbpr.designing.optimize.limits import PhotoLimits
from tfdvbpr.designing.optimize.objective import DesignObjective
from tfdvbpr.designing.options import DesignOptions, check_count, check_num_designs, check_weight
from tfdvbpr.errors import ConfigError
from tfdvbpr.losses.adversarial import OBJECTIVES
from tfdvbpr.run import GanRun, Run

# Starts per call of the graph: bounds what a call holds besides its chunk, and reports progress often enough.
_ROWS_PER_CALL = 1024
# Users, categories, seeds, steps, η and designs, so that the graph is traced once for any number of requests.
_REQUESTS = [
    AudienceEmbeddings(tf.TensorSpec((None, None, None), tf.float32), tf.TensorSpec((None, None), tf.float32)),
    *(tf.TensorSpec((None,), dtype) for dtype in (tf.int32, tf.int64)),
    *(tf.TensorSpec((), dtype) for dtype in (tf.int32, tf.float32, tf.int32)),
]

Floats = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Designs:
    """Designs for a list of requests, each row by falling objective.

    Attributes:
        images: uint8 [B, M, H, W, 3], RGB.
        preferences: float32 [B, M], θᵀΦ of each, unitless.
        realism_logits: float32 [B, M], D̂ of each; 1 is what D calls real.
        initial_preferences: float32 [B, M], θᵀΦ at the ascent's start.
        initial_realism_logits: float32 [B, M], D̂ there.
        objectives: float32 [B, M], what was maximised.
        latents: float32 [B, M, L], z, as the generator takes it.
        starts: int32 [B, M], which of the request's starts each came from.
        history: `preferences`, `realism_logits`, `objectives`, float32 [B, M, T + 1] each, after every step.
        frames: uint8 [F, B, M, H, W, 3] from start to end, or None.
        frame_latents: float32 [F, B, M, L], or None.
        frame_steps: the steps after which they were taken.
    """

    images: npt.NDArray[np.uint8]
    preferences: Floats
    realism_logits: Floats
    initial_preferences: Floats
    initial_realism_logits: Floats
    objectives: Floats
    latents: Floats
    starts: npt.NDArray[np.int32]
    history: dict[str, Floats]
    frames: npt.NDArray[np.uint8] | None = None
    frame_latents: Floats | None = None
    frame_steps: list[int] = field(default_factory=list)


class Designer:
    """Designs by preference maximisation (Kang et al. 2017): gradient ascent on a GAN's latents.

    Args:
        run: a DVBPR run.
        gan_run: a GAN run.
        options: starts, steps, step size, η.

    Raises:
        RunError: if the recommender does not learn from pixels.
    """

    def __init__(self, run: Run, gan_run: GanRun, *, options: DesignOptions | None = None) -> None:
        check_learns_from_pixels(run)
        self.run = run
        self.gan_run = gan_run
        self.options = options or DesignOptions()
        self.objective = DesignObjective(
            run.recommender,
            gan_run.generator,
            gan_run.discriminator,
            adversarial=OBJECTIVES[gan_run.config.objective](),
            logit_scale=gan_run.logit_scale,
            limits=PhotoLimits(*gan_run.photo_limits),
        )
        self.candidates = Candidates(
            self.objective,
            num_candidates=self.options.num_candidates,
            num_starts=self.options.num_starts,
            latent_dim=gan_run.config.latent_dim,
            embedding_dim=run.config.embedding_dim,
            num_categories=len(gan_run.manifest.categories),
        )
        self._maximize = tf.function(self._traced_maximize, input_signature=_REQUESTS, autograph=False)
        self._maximize_with_frames = tf.function(
            self._traced_maximize, input_signature=[*_REQUESTS, tf.TensorSpec((None,), tf.int32)], autograph=False
        )

    def _traced_maximize(
        self, users: Any, categories: Any, seeds: Any, steps: Any, eta: Any, number: Any, frames: Any = None
    ) -> dict[str, Any]:
        return maximize(
            self.objective,
            users,
            categories,
            self.candidates.starts(users, categories, seeds),
            options=self.options,
            num_steps=steps,
            realism_weight=eta,
            num_designs=number,
            snapshot_steps=frames,
            details=True,
        )

    def design(
        self, user_ids: Sequence[str], categories: Sequence[str], *, seeds: Sequence[int], **settings: Any
    ) -> Designs:
        """Designs for users, one request a row.

        Args:
            user_ids: as in the interactions.
            categories: one per user.
            seeds: one per user; the same seed gives the same designs.
            **settings: as of `design_for_embeddings`.

        Raises:
            UnknownIdError: if a run does not know a user or a category.
            ConfigError: as of `design_for_embeddings`.
        """
        users = self.run.visual_user_embeddings[self.run.user_indices(user_ids)]
        return self.design_for_embeddings(users, categories, seeds=seeds, **settings)

    def design_for(self, audience: Audience, category: str, *, seed: int = 0, **settings: Any) -> Designs:
        """Designs for a user, a group, or a new user: one request.

        Args:
            audience: whom to design for.
            category: of the GAN.
            seed: of the starts.
            **settings: as of `design_for_embeddings`.

        Raises:
            UnknownIdError: if a run does not know a user, an item or the category.
            ConfigError: as of `design_for_embeddings`.
        """
        self.gan_run.category_id(category)
        return self.design_for_embeddings(audience.embeddings(self.run, category), [category], seeds=[seed], **settings)

    def design_for_embeddings(
        self,
        users: Any,
        categories: Sequence[str],
        *,
        seeds: Sequence[int],
        num_frames: int = 0,
        snapshot_steps: Sequence[int] | None = None,
        num_steps: int | None = None,
        realism_weight: float | None = None,
        num_designs: int | None = None,
        progress: Progress | None = None,
    ) -> Designs:
        """Designs for user embeddings.

        Args:
            users: float32 [B, D], a θ per request, or `AudienceEmbeddings` of B requests.
            categories: one per request.
            seeds: one per request.
            num_frames: images to keep from start to end.
            snapshot_steps: instead, the steps after which to keep them.
            num_steps: overrides the options'.
            realism_weight: η, overrides the options'.
            num_designs: designs per request, at most the starts; left out, one per start.
            progress: called with (requests done, in all).

        Raises:
            UnknownIdError: if the GAN does not know a category.
            ConfigError: if a number is out of range, or the lists differ in length.
        """
        options = self.options
        steps = options.num_steps if num_steps is None else num_steps
        eta = options.realism_weight if realism_weight is None else realism_weight
        number = options.num_starts if num_designs is None else num_designs
        check_count("num_steps", steps)
        check_weight("realism_weight", eta)
        check_num_designs(number, options.num_starts)
        at = frame_steps(steps, num_frames) if snapshot_steps is None else list(snapshot_steps)
        if any(not 0 <= step <= steps for step in at):
            raise ConfigError(f"`snapshot_steps` must lie in [0, num_steps={steps}]. Received {at}.")
        if not isinstance(users, AudienceEmbeddings):
            users = AudienceEmbeddings.of_users(_checked(users, self.run.config.embedding_dim))
        count = int(users.embeddings.shape[0])
        if not count == len(categories) == len(seeds) > 0:
            raise ConfigError(
                "There must be at least one request, and `users`, `categories` and `seeds` must be of one length. "
                f"Received {count}, {len(categories)} and {len(seeds)}."
            )
        category_ids = np.array([self.gan_run.category_id(category) for category in categories], np.int32)
        self.candidates.prepare(category_ids)
        rest = [tf.constant(steps), tf.constant(eta, tf.float32), tf.constant(number)]
        if at:
            rest.append(tf.constant(at))
        compute = self._maximize_with_frames if at else self._maximize
        size = max(1, _ROWS_PER_CALL // options.num_starts)
        parts = []
        for start in range(0, count, size):
            rows = slice(start, start + size)
            answer = compute(
                AudienceEmbeddings(users.embeddings[rows], users.offsets[rows]),
                tf.constant(category_ids[rows]),
                tf.constant(list(seeds[rows]), tf.int64),
                *rest,
            )
            parts.append({name: value.numpy() for name, value in answer.items()})
            if progress is not None:
                progress(min(start + size, count), count)
        return _joined(parts, at)

    def best_candidates(
        self, users: Floats, categories: Sequence[str], *, seeds: Sequence[int]
    ) -> npt.NDArray[np.uint8]:
        """The random images that requests prefer most among their candidates: designs without an ascent.

        Args:
            users: float32 [B, D], a θ per request.
            categories: one per request.
            seeds: one per request, as of `design_for_embeddings`.

        Returns:
            uint8 [B, H, W, 3].

        Raises:
            UnknownIdError: if the GAN does not know a category.
        """
        category_ids = np.array([self.gan_run.category_id(category) for category in categories], np.int32)
        self.candidates.prepare(category_ids)

        def best(block: Floats, ids: npt.NDArray[np.int32], block_seeds: npt.NDArray[np.int64]) -> Any:
            starts = self.candidates.starts(AudienceEmbeddings.of_users(block), tf.constant(ids), block_seeds)
            return to_uint8(self.objective.images(starts[:, 0], tf.constant(ids)))

        rows = (_checked(users, self.run.config.embedding_dim), category_ids, np.asarray(seeds, np.int64))
        return map_chunks(best, *rows, chunk_rows=CHUNK_ROWS)

    def generate(self, categories: Sequence[str], *, seeds: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Random images of the generator, z ~ N(0, I): uint8 [B, H, W, 3]."""
        category_ids = tf.constant([self.gan_run.category_id(category) for category in categories], tf.int32)
        images, _ = random_images(
            self.objective, category_ids, tf.constant(list(seeds), tf.int64), latent_dim=self.gan_run.config.latent_dim
        )
        found: npt.NDArray[np.uint8] = images.numpy()
        return found


def random_images(objective: DesignObjective, category_ids: Any, seeds: Any, *, latent_dim: int) -> tuple[Any, Any]:
    """G(z, c) with z ~ N(0, I) from each seed alone, in graph ops.

    Args:
        category_ids: int32 [B].
        seeds: int64 [B].

    Returns:
        uint8 [B, H, W, 3] and D's logits, float32 [B].
    """
    latents = initial_latents(seeds, num_rows=1, latent_dim=latent_dim)[:, 0]
    images = objective.images(latents, category_ids)
    return to_uint8(images), objective.realism_logits(images, category_ids)


def _checked(user_embeddings: Any, embedding_dim: int) -> Floats:
    values = np.asarray(user_embeddings, np.float32)
    if values.ndim != 2 or values.shape[1] != embedding_dim or not np.isfinite(values).all():
        raise ConfigError(
            f"`users` must be finite, of shape [requests, {embedding_dim}]. Received shape {list(values.shape)}"
            f"{'' if np.isfinite(values).all() else ' with NaN or infinity'}."
        )
    return values


def _joined(parts: list[dict[str, Any]], steps: list[int]) -> Designs:
    def whole(name: str, axis: int = 0) -> Any:
        return np.concatenate([part[name] for part in parts], axis=axis)

    history = {name: whole(f"history_{name}") for name in ("preferences", "realism_logits", "objectives")}
    frames = {name: whole(name, 1) for name in ("frames", "frame_latents") if name in parts[0]}
    plain = {name: whole(name) for name in parts[0] if not name.startswith(("history_", "frame"))}
    return Designs(**plain, **frames, history=history, frame_steps=steps)
