"""The designer as a SavedModel: design and generate. Imports TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfdvbpr.design.maximize import DesignOptions, maximize
from tfdvbpr.design.studio import Designer, random_images
from tfdvbpr.run import GanRun, Run
from tfdvbpr_export.lookup import Ids, Tastes
from tfdvbpr_export.recommender import check_finite
from tfdvbpr_export.saving import Arrays, run_facts, served, write_version
from tfdvbpr_export.versions import version_folder


class ServedDesigner(tf.Module):
    """The ascent on the generator's latents, in graph: the functions that `Designer` itself calls.

    Args:
        designer: the two runs and the options.
    """

    def __init__(self, designer: Designer) -> None:
        super().__init__()
        run, gan_run, objective = designer.run, designer.gan_run, designer.objective
        self.tastes = Tastes(run.user_ids, run.tastes)
        self.categories = Ids(gan_run.manifest.categories)
        # Their variables are saved, their Keras objects are not: loading must not need them.
        networks = (run.recommender.backbone, objective.generator, objective.discriminator)
        self.network_weights = [weight.value for network in networks for weight in network.weights]
        latent_dim = gan_run.config.latent_dim
        self._maximize = partial(maximize, objective, options=designer.options, latent_dim=latent_dim)
        self._random_images = partial(random_images, objective, latent_dim=latent_dim)
        self._picture = (*gan_run.manifest.image_size, 3)
        self._num_starts = designer.options.num_starts

    @served("design")
    def design(self, user_ids: Any, categories: Any, seeds: Any) -> dict[str, Any]:
        """See `tfdvbpr.signatures.DESIGN`; an unknown category has black pictures and NaN for figures."""
        tastes, _, known_users = self.tastes.lookup(user_ids)
        category_ids, known = self.categories.rows(categories)
        answer = self._maximize(tastes, tf.where(known, category_ids, 0), seeds)
        images = tf.ensure_shape(answer.pop("images"), (None, self._num_starts, *self._picture))
        return {
            **_only_known(known, images=images, **answer),
            "known_users": known_users,
            "known_categories": known,
        }

    @served("generate")
    def generate(self, categories: Any, seeds: Any) -> dict[str, Any]:
        """See `tfdvbpr.signatures.GENERATE`; an unknown category has a black picture and NaN for its logit."""
        category_ids, known = self.categories.rows(categories)
        images, logits = self._random_images(tf.where(known, category_ids, 0), seeds)
        images = tf.ensure_shape(images, (None, *self._picture))
        return {**_only_known(known, images=images, realism_logits=logits), "known_categories": known}


def _only_known(known: Any, **outputs: Any) -> dict[str, Any]:
    """The outputs, [B, ...] each, with black or NaN in the rows that are not `known`."""

    def blanked(values: Any) -> Any:
        rows = tf.reshape(known, [-1] + [1] * (values.shape.rank - 1))
        return tf.where(rows, values, tf.cast(float("nan"), values.dtype) if values.dtype.is_floating else 0)

    return {name: blanked(values) for name, values in outputs.items()}


def export_designer(
    run_path: Path | str,
    gan_path: Path | str,
    output: Path | str,
    *,
    options: DesignOptions | None = None,
    version: int | None = None,
) -> Path:
    """Writes a recommender run and a GAN run as the next version of a served designer.

    Args:
        run_path: a folder made by `tfdvbpr train --model dvbpr`.
        gan_path: a folder made by `tfdvbpr train-gan`; its categories are those that can be asked for.
        output: the model's base path, such as `models/designer`.
        options: starts, steps, step size, η; fixed in the exported model.
        version: its number; left out, the next.

    Returns:
        The version folder.

    Raises:
        RunError: if a run is of the wrong kind, or the factors are not finite.
        OutputExistsError: if the version is there already.
        ConfigError: if the version is below 1.
    """
    folder = version_folder(Path(output), version)
    run, gan_run = Run.open(run_path), GanRun.open(gan_path)
    check_finite(run)
    designer = Designer(run, gan_run, options=options)
    return write_version(ServedDesigner(designer), folder, warmup=_warmup(run, gan_run), about=_about(designer))


def _warmup(run: Run, gan_run: GanRun) -> Mapping[str, Arrays]:
    category = gan_run.manifest.categories[0]
    return {
        "design": {"user_ids": [run.user_ids[0]], "categories": [category], "seeds": [0]},
        "generate": {"categories": [category], "seeds": [0]},
    }


def _about(designer: Designer) -> dict[str, Any]:
    gan = designer.gan_run.manifest
    return {
        "run": run_facts(designer.run.manifest),
        "gan_run": run_facts(gan),
        "options": asdict(designer.options),
        "embedding_dim": designer.run.tastes.shape[1],
        "latent_dim": designer.gan_run.config.latent_dim,
        "num_users": designer.run.manifest.num_users,
        "categories": list(gan.categories),
        "metrics": designer.run.metrics,
    }
