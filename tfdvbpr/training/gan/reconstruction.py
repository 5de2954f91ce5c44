"""Half of what is generated are photos drawn again: so a generator cannot leave out what photos show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.models.gans.encoder import encoder
from tfdvbpr.models.gans.projected_discriminator import ProjectedDiscriminator

# Of every four rows the last two are photos drawn again: by place, so that replicas agree, and two by two, for variety.
PERIOD = 4
_PIXELS = 4.0


class Reconstruction:
    """An encoder that is trained beside the generator: Larsen et al. 2016, VAE-GAN.

    As there, an encoder finds a normal distribution of latents for each photo, the generator has to draw the photo from
    it, near in what the discriminator sees, and the discriminator has to tell photos from such drawings as from those
    of the prior. Different from there: what the discriminator sees is a frozen trunk's, which does not move, and so it
    is what the encoder sees too; pixels count beside it.

    Args:
        discriminator: what sees.
        latent_dim: length of z.
        optimizer: of the encoder; built here.

    Attributes:
        encoder: see `models.encoder`.
        optimizer: its own.
    """

    def __init__(self, discriminator: ProjectedDiscriminator, latent_dim: int, optimizer: Any) -> None:
        self.encoder = encoder(discriminator.seen_shapes, latent_dim)
        self.optimizer = optimizer
        self.optimizer.build(self.encoder.trainable_variables)
        self._encode = tf.function(
            lambda images: self.encoder(discriminator.see(images), training=False),
            reduce_retracing=True,
            autograph=False,
        )

    def trackables(self) -> dict[str, Any]:
        """What a checkpoint has to hold."""
        return {"encoder": self.encoder, "encoder_optimizer": self.optimizer}

    def asked(self, seen: list[Any], batch: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
        """A batch in which half of what is to be generated are its own photos.

        Args:
            seen: maps of the photos, float32 [B, h, w, C] each.
            batch: a replica's part, B a multiple of four. Where a photo is drawn again its latents serve as the noise.

        Returns:
            The batch with other `latents`, `fake_ids` and `fake_draws`; and KL(q(z | x) ‖ p(z)), float32 [B/2], nats.
        """
        mean, log_variance = self.encoder([redrawn(maps) for maps in seen], training=True)
        latents = mean + tf.exp(0.5 * log_variance) * redrawn(batch["latents"])
        own = {
            "latents": latents,
            "fake_ids": redrawn(batch["category_ids"]),
            "fake_draws": redrawn(batch["real_draws"]),
        }
        changed = {name: _woven(fresh(batch[name]), rows) for name, rows in own.items()}
        divergences = 0.5 * tf.reduce_sum(mean**2 + tf.exp(log_variance) - 1.0 - log_variance, axis=1)
        return {**batch, **changed}, divergences

    def latents_of(
        self, blocks: Sequence[npt.NDArray[np.float32]]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """`fitted_normal` of where the encoder finds photos, float32 [B, H, W, 3] in [-1, 1] a block."""
        found = [self._encode(tf.constant(images)) for images in blocks]
        means, log_variances = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        return fitted_normal(means, log_variances)


def fitted_normal(
    means: npt.NDArray[np.float32], log_variances: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The normal distribution with the mean and covariance of z ~ q(z | x), x a photo drawn at random.

    Args:
        means: of q, float32 [N, latent_dim].
        log_variances: the same shape.

    Returns:
        m [latent_dim] and the symmetric F [latent_dim, latent_dim] with m + F z ~ N(m, Σ) for z ~ N(0, I), where
        Σ = Cov(μ) + diag(E σ²). Of all such F it is the nearest to the identity.
    """
    mean = means.mean(axis=0, dtype=np.float64)
    apart = means - mean
    covariance = apart.T @ apart / len(means) + np.diag(np.exp(log_variances.astype(np.float64)).mean(axis=0))
    values, vectors = np.linalg.eigh(covariance)
    return mean, (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def toward(
    share: float, mean: npt.NDArray[np.float64], factor: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(m, F) that lie so far on the straight way from (0, I) to the given ones."""
    return share * mean, (1.0 - share) * np.eye(len(mean)) + share * factor


def fresh(rows: Any) -> Any:
    """Of [B, ...] the [B/2, ...] that are drawn from the prior."""
    return tf.reshape(_fours(rows)[:, : PERIOD // 2], (-1, *rows.shape[1:]))


def redrawn(rows: Any) -> Any:
    """Of [B, ...] the [B/2, ...] that are photos drawn again."""
    return tf.reshape(_fours(rows)[:, PERIOD // 2 :], (-1, *rows.shape[1:]))


def _fours(rows: Any) -> Any:
    return tf.reshape(rows, (-1, PERIOD, *rows.shape[1:]))


def _woven(first: Any, second: Any) -> Any:
    """[B, ...] whose `fresh` and `redrawn` rows these are."""
    twos = [tf.reshape(rows, (-1, PERIOD // 2, *rows.shape[1:])) for rows in (first, second)]
    return tf.reshape(tf.concat(twos, axis=1), (-1, *first.shape[1:]))


def distances(photos: list[Any], drawings: list[Any]) -> Any:
    """How far drawings are from their photos, float32 [B/2]: mean squares of maps, mean over maps, and 4·mean|x - y|.

    Args:
        photos: what is seen of the photos, float32 [B, h, w, C] each, and last the photos themselves, in [-1, 1]. Only
            rows that are drawn again count.
        drawings: the same of what was generated.
    """
    *seen, pixels = [(redrawn(x), redrawn(y)) for x, y in zip(photos, drawings, strict=True)]
    squares = [tf.reduce_mean(tf.square(x - y), axis=(1, 2, 3)) for x, y in seen]
    return tf.add_n(squares) / len(squares) + _PIXELS * tf.reduce_mean(tf.abs(pixels[0] - pixels[1]), axis=(1, 2, 3))
