"""GAN objectives: the losses and regularisers of one training step. OBJECTIVES maps names to classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from keras import ops

from tfdvbpr.registry import Registry

GradientPenalty = Callable[[], Any]


class AdversarialObjective:
    """The losses of a discriminator and a generator, functions of logits; a subclass is its formulas.

    Logits are float32 of any shape, one an image or one a patch of it, and so are losses, one a logit. Images of a step
    are paired by row: where nothing else pairs the generated ones, both images of a row have the same category.

    Attributes:
        boundary: the logit above which the discriminator says "real" rather than "generated".
        on_lsgan_scale: whether logits are on LSGAN's scale as they are, 1 for real and 0 for generated; others are put
            on it by `LogitScale` before `realism_penalty`.
        relativistic: whether `generator_loss` needs the real images' logits, which cost a further pass.
    """

    boundary: ClassVar[float] = 0.5
    on_lsgan_scale: ClassVar[bool] = True
    relativistic: ClassVar[bool] = False

    def discriminator_loss(self, real_logits: Any, fake_logits: Any) -> Any:
        """The discriminator's loss, one value a logit."""
        raise NotImplementedError

    def generator_loss(self, fake_logits: Any, real_logits: Any | None = None) -> Any:
        """The generator's loss, one value a logit; `real_logits` come where the objective is relativistic."""
        raise NotImplementedError

    def regularizer(self, real_gradients: GradientPenalty, fake_gradients: GradientPenalty) -> Any | None:
        """A term that is added to the discriminator's loss, float32 [B], or None.

        Args:
            real_gradients: computes ‖∂D(x, c)/∂features‖² of each real image, float32 [B], differentiable. The features
                are the images themselves where the discriminator has no pretrained backbone.
            fake_gradients: the same of generated images.

        Example:
            R1 (Mescheder et al. 2018) with γ = 1: `return 0.5 * real_gradients()`.
        """
        return None

    def realism_penalty(self, logits: Any) -> Any:
        """(D − 1)² of logits on LSGAN's scale: how far D is from calling a design real, float32 of their shape, ≥ 0."""
        return ops.square(logits - 1.0)


class LeastSquares(AdversarialObjective):
    """LSGAN, Mao et al. 2017 with labels 1 and 0; the generator's loss without the ½, as in the authors' DVBPR code."""

    def discriminator_loss(self, real_logits: Any, fake_logits: Any) -> Any:
        """½[(D(x, c) − 1)² + D(G(z, c), c)²]."""
        return 0.5 * (ops.square(real_logits - 1.0) + ops.square(fake_logits))

    def generator_loss(self, fake_logits: Any, real_logits: Any | None = None) -> Any:
        """(D(G(z, c), c) − 1)²."""
        return ops.square(fake_logits - 1.0)


class Hinge(AdversarialObjective):
    """The hinge loss of GANs, Lim and Ye 2017."""

    boundary = 0.0
    on_lsgan_scale = False

    def discriminator_loss(self, real_logits: Any, fake_logits: Any) -> Any:
        """max(0, 1 − D(x, c)) + max(0, 1 + D(G(z, c), c))."""
        return ops.relu(1.0 - real_logits) + ops.relu(1.0 + fake_logits)

    def generator_loss(self, fake_logits: Any, real_logits: Any | None = None) -> Any:
        """−D(G(z, c), c)."""
        return -fake_logits


OBJECTIVES: Registry[type[AdversarialObjective]] = Registry(
    "tfdvbpr.objectives", {"lsgan": LeastSquares, "hinge": Hinge}
)
