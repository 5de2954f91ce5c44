"""A trained conditional GAN, opened."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from tfdvbpr.config import GanConfig
from tfdvbpr.config.upscaler import UpscalerConfig
from tfdvbpr.errors import RunError, unknown_id
from tfdvbpr.files import reading
from tfdvbpr.models.weights import load_weights, outside_graphs
from tfdvbpr.run.folder import DISCRIMINATOR_NAME, GENERATOR_NAME, UPSCALER_NAME, RunFolder
from tfdvbpr.text import shortened

if TYPE_CHECKING:
    from tfdvbpr.models.gans.logit_scale import LogitScale

SAMPLES_FOLDER = "samples"
UPSCALING_FOLDER = "upscaling"
UPSCALER_CONFIG_NAME = "config.yaml"
_FACTS_NAME = "gan.json"


@dataclass(frozen=True)
class CategoryFacts:
    """How a category was trained.

    Attributes:
        images: images it has.
        probability: how often it, or what it was merged into, was sampled.
        trained_as: the category whose id it is generated with: itself, what it was merged into, or None where it was
            left out.
        real_logit: the logit that stands for 1 on LSGAN's scale.
        unit: how far below it the one lies that stands for 0.
        most_colourful: the photos' limit, see `photo_limits`; None where it is not known.
        least_visible: likewise.
    """

    images: int
    probability: float
    trained_as: str | None
    real_logit: float
    unit: float
    most_colourful: float | None = None
    least_visible: float | None = None


@dataclass(frozen=True)
class GanFacts:
    """What training found out about a GAN (`gan.json`): a `CategoryFacts` a category, in the order of their ids."""

    categories: dict[str, CategoryFacts]

    @classmethod
    def of(cls, plan: Any, scale: LogitScale, limits: dict[int, tuple[float, float]]) -> GanFacts:
        """From a `CategoryPlan`, the discriminator's scale, and the photos' limits by id."""
        facts = {}
        for number, name in enumerate(plan.names):
            trained_as = int(plan.trained_as[number])
            most_colourful, least_visible = limits.get(trained_as, (None, None))
            offset, unit = float(scale.offsets[number]), float(scale.scales[number])
            facts[name] = CategoryFacts(
                images=int(plan.counts[number]),
                probability=float(plan.probabilities[trained_as]) if trained_as >= 0 else 0.0,
                trained_as=plan.names[trained_as] if trained_as >= 0 else None,
                real_logit=offset + unit,
                unit=unit,
                most_colourful=most_colourful,
                least_visible=least_visible,
            )
        return cls(facts)

    def write(self, folder: Path) -> None:
        """Writes `gan.json` into a run folder that is being made."""
        values = {name: vars(facts) for name, facts in self.categories.items()}
        text = json.dumps({"categories": values}, indent=2, ensure_ascii=False)
        (folder / _FACTS_NAME).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> GanFacts:
        """Reads `gan.json` of a run folder.

        Raises:
            RunError: if it is missing or damaged.
        """
        try:
            values = json.loads((folder / _FACTS_NAME).read_text(encoding="utf-8"))["categories"]
            return cls(TypeAdapter(dict[str, CategoryFacts]).validate_python(values))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"A GAN run must have a whole {_FACTS_NAME}. {folder / _FACTS_NAME} cannot be read "
                f"({shortened(str(error), 200)}). Train again."
            ) from None


class GanRun(RunFolder):
    """A trained conditional GAN, opened for generation, design or export.

    Attributes:
        path: the run folder.
        manifest: what it is and what it was trained on.
    """

    kind = "gan"

    @cached_property
    def config(self) -> GanConfig:
        """The resolved configuration."""
        return self._read_config(GanConfig)

    @cached_property
    def facts(self) -> GanFacts:
        """What training found out about each category.

        Raises:
            RunError: if they are missing, damaged, or of other categories.
        """
        facts, names = GanFacts.read(self.path), self.manifest.categories
        trained = {row.trained_as for row in facts.categories.values()} - {None}
        if set(facts.categories) != set(names) or not trained <= set(names) or not trained:
            raise RunError(f"{self.path / _FACTS_NAME} must be of the run's categories. It is of others. Train again.")
        return facts

    @cached_property
    def generator(self) -> Any:
        """The (averaged) generator with its weights."""
        from tfdvbpr.models.gans import build_generator

        with outside_graphs():
            model = build_generator(self.config, self.manifest.image_size, len(self.manifest.categories))
            with reading(self.path / GENERATOR_NAME, RunError, "Train again."):
                load_weights(model, self.path / GENERATOR_NAME)
        return model

    @cached_property
    def discriminator(self) -> Any:
        """The discriminator with its weights.

        Raises:
            ConfigError: if the weights of its pretrained backbone are unavailable.
        """
        from tfdvbpr.models.gans import build_discriminator

        with outside_graphs():
            model = build_discriminator(self.config, self.manifest.image_size, len(self.manifest.categories))
            with reading(self.path / DISCRIMINATOR_NAME, RunError, "Train again."):
                load_weights(model, self.path / DISCRIMINATOR_NAME)
        return model

    @cached_property
    def upscaler(self) -> Any:
        """The network that doubles the images' height and width, with its weights; None without one."""
        if self.manifest.upscaled_size is None:
            return None
        from tfdvbpr.models.gans.upscaler import Upscaler

        config = self._read_config(UpscalerConfig, self.path / UPSCALING_FOLDER / UPSCALER_CONFIG_NAME)
        with outside_graphs():
            model = Upscaler(
                self.manifest.image_size,
                num_categories=len(self.manifest.categories),
                base_channels=config.base_channels,
            )
            with reading(self.path / UPSCALER_NAME, RunError, "Train it again."):
                load_weights(model, self.path / UPSCALER_NAME)
        return model

    @property
    def shown_size(self) -> tuple[int, int]:
        """(height, width) of the images that people see: the upscaler's, or those of the generator without one."""
        return self.manifest.upscaled_size or self.manifest.image_size

    def shown(self, images_uint8: Any, category_ids: Any) -> Any:
        """The generator's images at `shown_size`, in graph ops.

        Args:
            images_uint8: [N, H, W, 3], of the generator's size.
            category_ids: those they were generated with, int32 [N].

        Returns:
            uint8 [N, H', W', 3].
        """
        if self.upscaler is None:
            return images_uint8
        import tensorflow as tf

        from tfdvbpr.data.images.decoding import to_float, to_uint8

        inputs = {"images": to_float(images_uint8), "category_ids": tf.convert_to_tensor(category_ids)}
        return to_uint8(self.upscaler(inputs, training=False))

    @cached_property
    def logit_scale(self) -> LogitScale:
        """Puts the discriminator's logits on LSGAN's scale: 1 is what it calls real."""
        import numpy as np

        from tfdvbpr.models.gans.logit_scale import LogitScale

        rows = [self.facts.categories[name] for name in self.manifest.categories]
        offsets = np.array([row.real_logit - row.unit for row in rows], np.float32)
        return LogitScale(offsets, np.array([row.unit for row in rows], np.float32))

    @cached_property
    def photo_limits(self) -> tuple[Any, Any]:
        """Per category id: the most colourful and the least visible that an image may be, float32 [N] each.

        Infinity and 0 where a run of an earlier version does not know them.
        """
        import numpy as np

        rows = [self.facts.categories[name] for name in self.manifest.categories]
        most = [np.inf if row.most_colourful is None else row.most_colourful for row in rows]
        least = [0.0 if row.least_visible is None else row.least_visible for row in rows]
        return np.array(most, np.float32), np.array(least, np.float32)

    @property
    def trained_categories(self) -> tuple[str, ...]:
        """The categories that it generates: all but those that were left out as too small."""
        return tuple(name for name in self.manifest.categories if self.facts.categories[name].trained_as is not None)

    def category_id(self, category: str) -> int:
        """The id a category is generated with: its own, or that of the category it was merged into.

        Raises:
            UnknownIdError: if the GAN was not trained on it.
        """
        if category not in self.trained_categories:
            raise unknown_id("category", category, self.trained_categories)
        trained_as = self.facts.categories[category].trained_as
        return self.manifest.categories.index(trained_as or category)
