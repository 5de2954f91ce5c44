"""A trained conditional GAN, opened."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfdvbpr.config import GanConfig
from tfdvbpr.errors import unknown_id
from tfdvbpr.models.gans.architecture import GanShape
from tfdvbpr.run.folder import DISCRIMINATOR_NAME, GENERATOR_NAME, RunFolder

if TYPE_CHECKING:
    from tfdvbpr.models.gans.logit_scale import LogitScale

SAMPLES_FOLDER = "samples"
_FACTS_NAME = "gan.json"


def gan_shape(config: GanConfig, image_size: tuple[int, int], num_categories: int) -> GanShape:
    """What decides the shape of both networks."""
    return GanShape(
        image_size=image_size,
        num_categories=num_categories,
        latent_dim=config.latent_dim,
        bounded=config.latents == "bounded",
        base_channels=config.base_channels,
        upsampling=config.upsampling,
        skip_excitation=config.skip_excitation,
        saturation_slope=config.saturation_slope,
        discriminator_channels=config.discriminator_channels,
        batch_spread=config.batch_spread,
        trunk=config.trunk,
        trunk_zoom=config.trunk_zoom,
        pixel_head=config.pixel_head,
    )


@dataclass(frozen=True)
class CategoryFacts:
    """What became of a category.

    Attributes:
        images: pictures it has.
        share: how often it, or what it was merged into, was drawn.
        drawn_as: the category whose id it is drawn with: itself, what it was merged into, or None where it was left
            out.
        real_logit: the logit that stands for 1 on LSGAN's scale.
        unit: how far below it the one lies that stands for 0.
    """

    images: int
    share: float
    drawn_as: str | None
    real_logit: float
    unit: float


@dataclass(frozen=True)
class GanFacts:
    """What training found out about a GAN (`gan.json`): a `CategoryFacts` a category, in the order of their ids."""

    categories: dict[str, CategoryFacts]

    @classmethod
    def of(cls, plan: Any, scale: LogitScale) -> GanFacts:
        """From a `CategoryPlan` and the discriminator's scale."""
        facts = {}
        for number, name in enumerate(plan.names):
            drawn_as = int(plan.drawn_as[number])
            offset, unit = float(scale.offsets[number]), float(scale.scales[number])
            facts[name] = CategoryFacts(
                images=int(plan.counts[number]),
                share=float(plan.shares[drawn_as]) if drawn_as >= 0 else 0.0,
                drawn_as=plan.names[drawn_as] if drawn_as >= 0 else None,
                real_logit=offset + unit,
                unit=unit,
            )
        return cls(facts)

    def write(self, folder: Path) -> None:
        """Writes `gan.json` into a run folder that is being made."""
        values = {name: vars(facts) for name, facts in self.categories.items()}
        text = json.dumps({"categories": values}, indent=2, ensure_ascii=False)
        (folder / _FACTS_NAME).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> GanFacts | None:
        """What a run folder says; None for a run of before there were such facts."""
        path = folder / _FACTS_NAME
        if not path.is_file():
            return None
        values = json.loads(path.read_text(encoding="utf-8"))["categories"]
        return cls({name: CategoryFacts(**facts) for name, facts in values.items()})


class GanRun(RunFolder):
    """A trained conditional GAN, opened for generation, design or export.

    Attributes:
        path: the run folder.
        manifest: what it is and what it was trained on.
    """

    kind = "gan"

    @classmethod
    def open(cls, path: Path | str) -> GanRun:
        """Opens a folder made by `tfdvbpr train-gan`.

        Raises:
            RunError: if it is not one, is of another version, or is a recommender run.
        """
        return cls(Path(path), cls._open_manifest(Path(path)))

    @cached_property
    def config(self) -> GanConfig:
        """The resolved configuration."""
        return self._read_config(GanConfig)

    @cached_property
    def shape(self) -> GanShape:
        """Sizes and parts of both networks."""
        return gan_shape(self.config, self.manifest.image_size, len(self.manifest.categories))

    @cached_property
    def facts(self) -> GanFacts | None:
        """What training found out; None for a run of an earlier version, which drew every category as it came."""
        return GanFacts.read(self.path)

    @cached_property
    def generator(self) -> Any:
        """The (averaged) generator with its weights."""
        from tfdvbpr.models.gans.networks import GENERATORS

        model = GENERATORS[self.config.generator](self.shape)
        model.load_weights(self.path / GENERATOR_NAME)
        return model

    @cached_property
    def discriminator(self) -> Any:
        """The discriminator with its weights.

        Raises:
            ConfigError: if it stands on a trunk whose weights cannot be had.
        """
        from tfdvbpr.models.gans.networks import DISCRIMINATORS

        model = DISCRIMINATORS[self.config.discriminator](self.shape)
        model.load_weights(self.path / DISCRIMINATOR_NAME)
        return model

    @cached_property
    def logit_scale(self) -> LogitScale:
        """Puts the discriminator's logits on LSGAN's scale: 1 is what it calls real."""
        import numpy as np

        from tfdvbpr.models.gans.logit_scale import LogitScale

        if self.facts is None:
            return LogitScale.identity(len(self.manifest.categories))
        rows = [self.facts.categories[name] for name in self.manifest.categories]
        offsets = np.array([row.real_logit - row.unit for row in rows], np.float32)
        return LogitScale(offsets, np.array([row.unit for row in rows], np.float32))

    @property
    def trained_categories(self) -> tuple[str, ...]:
        """The categories that may be asked for: all but those that were left out for want of pictures."""
        if self.facts is None:
            return self.manifest.categories
        return tuple(name for name in self.manifest.categories if self.facts.categories[name].drawn_as is not None)

    def category_id(self, category: str) -> int:
        """The id a category is drawn with: its own, or that of what it was merged into.

        Raises:
            UnknownIdError: if the GAN was not trained on it.
        """
        if category not in self.trained_categories:
            raise unknown_id("category", category, self.trained_categories)
        drawn_as = category if self.facts is None else self.facts.categories[category].drawn_as
        return self.manifest.categories.index(drawn_as or category)
