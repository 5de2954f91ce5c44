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
        discriminator_loss: of (real_logits, fake_logits), float32 of one shape each, to float32 of that shape.
        generator_loss: of fake_logits, float32, to float32 of their shape.
        realism_penalty: of fake_logits on LSGAN's scale, float32 [B], to float32 [B] ≥ 0: how far D is from calling a
            design real.
        boundary: the logit above which D says "real" rather than "generated".
        on_lsgan_scale: whether logits are on LSGAN's scale as they are, 1 for real and 0 for generated; others are put
            on it by `LogitScale` first.
    """

    discriminator_loss: Callable[[Any, Any], Any]
    generator_loss: Callable[[Any], Any]
    realism_penalty: Callable[[Any], Any]
    boundary: float = 0.5
    on_lsgan_scale: bool = True


def lsgan_discriminator(real_logits: Any, fake_logits: Any) -> Any:
    """½[(D(x, c) − 1)² + D(G(z, c), c)²], Mao et al. 2017 with labels 1 and 0; one value per example."""
    return 0.5 * (ops.square(real_logits - 1.0) + ops.square(fake_logits))


def lsgan_generator(fake_logits: Any) -> Any:
    """(D(G(z, c), c) − 1)², without the ½, as in the authors' DVBPR code; one value per example."""
    return ops.square(fake_logits - 1.0)


def hinge_discriminator(real_logits: Any, fake_logits: Any) -> Any:
    """max(0, 1 − D(x, c)) + max(0, 1 + D(G(z, c), c)), Lim and Ye 2017; one value per logit."""
    return ops.relu(1.0 - real_logits) + ops.relu(1.0 + fake_logits)


def hinge_generator(fake_logits: Any) -> Any:
    """−D(G(z, c), c); one value per logit."""
    return -fake_logits


LSGAN = AdversarialObjective(lsgan_discriminator, lsgan_generator, lsgan_generator)
HINGE = AdversarialObjective(hinge_discriminator, hinge_generator, lsgan_generator, boundary=0.0, on_lsgan_scale=False)

OBJECTIVES: Mapping[str, AdversarialObjective] = MappingProxyType({"lsgan": LSGAN, "hinge": HINGE})
