"""Random latents whose Φ is known, among which the starts of an ascent are chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from tfdvbpr.data.chunks import map_chunks
from tfdvbpr.designing.audience import AudienceEmbeddings
from tfdvbpr.designing.optimize.objective import DesignObjective

_SEED = (29, 0)
_CHUNK = 64


class Candidates(tf.Module):
    """Latents z ~ N(0, I), and Φ of the image that each gives in every category, computed once for all requests.

    A request chooses its starts from a random half of them, which its seed samples: those that the user prefers most
    of the images that are within the photos' limits, and then of the others. This costs a product with a table. The
    ascent then has a shorter way to go, and a shorter way leaves fewer images that no photo is like.

    Args:
        objective: G and Φ.
        num_candidates: N; there are 2N latents.
        num_starts: S ≤ N.
        latent_dim: L.
        embedding_dim: D, of Φ.
        num_categories: C, of G.

    Attributes:
        latents: float32 [2N, L].
        embeddings: float32 [C, 2N, D]; zeros for categories that `prepare` was not called for.
        within: bool [C, 2N], whether each image is within the photos' limits; likewise.
    """

    def __init__(
        self,
        objective: DesignObjective,
        *,
        num_candidates: int,
        num_starts: int,
        latent_dim: int,
        embedding_dim: int,
        num_categories: int,
    ) -> None:
        super().__init__()
        number = 2 * num_candidates
        latents = tf.random.stateless_normal([number, latent_dim], _SEED)
        self.latents = tf.Variable(latents, trainable=False, name="candidate_latents")
        empty = tf.zeros([num_categories, number, embedding_dim])
        self.embeddings = tf.Variable(empty, trainable=False, name="candidate_embeddings")
        outside = tf.zeros([num_categories, number], tf.bool)
        self.within = tf.Variable(outside, trainable=False, name="candidates_within")
        self.num_candidates, self.num_starts = num_candidates, num_starts
        self._prepared: set[int] = set()
        rows = [tf.TensorSpec([None, latent_dim], tf.float32), tf.TensorSpec([None], tf.int32)]

        @tf.function(input_signature=rows, autograph=False)
        def embed(latents: Any, category_ids: Any) -> Any:
            """float32 [R, D + 1]: Φ, and 1 where the image is within the limits."""
            images = objective.images(latents, category_ids)
            within = tf.cast(objective.within(images, category_ids), tf.float32)
            return tf.concat([objective.embeddings(images), within[:, None]], axis=1)

        # Behind a function, so that an export does not save this one.
        self._embed: Callable[..., Any] = lambda *arguments: embed(*arguments)

    def prepare(self, category_ids: Iterable[int], progress: Callable[[int, int], None] | None = None) -> None:
        """Embeds the candidates of categories, unless this is done; `progress` gets (categories done, in all)."""
        missing = sorted({int(category) for category in category_ids} - self._prepared)
        latents = self.latents.numpy()
        for done, category in enumerate(missing, start=1):
            ids = np.full(len(latents), category, np.int32)
            found = map_chunks(self._embed, latents, ids, chunk_rows=_CHUNK)
            self.embeddings[category].assign(found[:, :-1])
            self.within[category].assign(found[:, -1] > 0.0)
            self._prepared.add(category)
            if progress is not None:
                progress(done, len(missing))

    def starts(self, users: AudienceEmbeddings, category_ids: Any, seeds: Any) -> Any:
        """The starts of B requests, most preferred first: float32 [B, S, L].

        Args:
            users: of the requests.
            category_ids: int32 [B]; of categories that are prepared.
            seeds: int64 [B]; each request's starts come from its own seed.
        """
        mean = tf.reduce_mean(users.embeddings, axis=1)  # [B, D], or [1, D]
        scores = tf.reduce_sum(tf.gather(self.embeddings, category_ids) * mean[:, None], axis=2)  # [B, 2N]
        spread = tf.reduce_max(scores, axis=1, keepdims=True) - tf.reduce_min(scores, axis=1, keepdims=True)
        scores -= tf.where(tf.gather(self.within, category_ids), 0.0, 2.0 * spread + 1.0)
        sampled = tf.map_fn(self._half, seeds, fn_output_signature=tf.TensorSpec([self.num_candidates], tf.int32))
        best = tf.math.top_k(tf.gather(scores, sampled, batch_dims=1), self.num_starts).indices
        return tf.gather(self.latents, tf.gather(sampled, best, batch_dims=1))

    def _half(self, seed: Any) -> Any:
        """int32 [N]: candidates that a seed samples, without repetition."""
        draws = tf.random.stateless_uniform([2 * self.num_candidates], tf.stack([seed, 0]))
        return tf.math.top_k(draws, self.num_candidates).indices
