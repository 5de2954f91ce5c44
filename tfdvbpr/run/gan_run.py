"""A trained conditional GAN, opened."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfdvbpr.config import GanConfig
from tfdvbpr.errors import unknown_id

if TYPE_CHECKING:
    pass
from tfdvbpr.run.folder import DISCRIMINATOR_NAME, GENERATOR_NAME, RunFolder


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
    def generator(self) -> Any:
        """The (averaged) generator with its weights."""
        from tfdvbpr.models.generator import build_generator

        model = build_generator(
            self.manifest.image_size,
            num_categories=len(self.manifest.categories),
            latent_dim=self.config.latent_dim,
            base_channels=self.config.base_channels,
            upsampling=self.config.upsampling,
        )
        model.load_weights(self.path / GENERATOR_NAME)
        return model

    @cached_property
    def discriminator(self) -> Any:
        """The discriminator with its weights."""
        from tfdvbpr.models.discriminator import build_discriminator

        model = build_discriminator(
            self.manifest.image_size,
            num_categories=len(self.manifest.categories),
            base_channels=self.config.discriminator_channels,
            batch_spread=self.config.batch_spread,
        )
        model.load_weights(self.path / DISCRIMINATOR_NAME)
        return model

    def category_id(self, category: str) -> int:
        """The id of a category.

        Raises:
            UnknownIdError: if the GAN was not trained on it.
        """
        if category not in self.manifest.categories:
            raise unknown_id("category", category, self.manifest.categories)
        return self.manifest.categories.index(category)
