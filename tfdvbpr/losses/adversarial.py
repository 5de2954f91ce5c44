"""Generator and discriminator losses: plain functions of logits. OBJECTIVES lists the pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from keras import ops


@dataclass(frozen=True)
class AdversarialObjective:
    """A discriminator's loss and the generator's.

    Attributes:
        discriminator_loss: of (real_logits, fake_logits), float32 [B] each, to float32 [B].
        generator_loss: of fake_logits, float32 [B], to float32 [B].
        realism_penalty: of fake_logits, float32 [B], to float32 [B] ≥ 0: how far D is from calling a design real.
    """

    discriminator_loss: Callable[[Any, Any], Any]
    generator_loss: Callable[[Any], Any]
    realism_penalty: Callable[[Any], Any]


def lsgan_discriminator(real_logits: Any, fake_logits: Any) -> Any:
    """½[(D(x, c) − 1)² + D(G(z, c), c)²], Mao et al. 2017 with labels 1 and 0; one value per example."""
    return 0.5 * (ops.square(real_logits - 1.0) + ops.square(fake_logits))


def lsgan_generator(fake_logits: Any) -> Any:
    """(D(G(z, c), c) − 1)², without the ½, as in the authors' DVBPR code; one value per example."""
    return ops.square(fake_logits - 1.0)


LSGAN = AdversarialObjective(lsgan_discriminator, lsgan_generator, lsgan_generator)

OBJECTIVES: Mapping[str, AdversarialObjective] = MappingProxyType({"lsgan": LSGAN})
