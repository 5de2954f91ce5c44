"""The designer as a SavedModel: pictures for a taste, from nothing or from a picture. Imports TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfdvbpr.data.images.decoding import to_float
from tfdvbpr.designing.designer import Designer, random_images
from tfdvbpr.designing.optimize.gradient_ascent import maximize
from tfdvbpr.designing.optimize.objective import DesignObjective
from tfdvbpr.designing.options import DesignOptions, TailorOptions
from tfdvbpr.designing.tailor import Tailor
from tfdvbpr.run import GanRun, Run
from tfdvbpr_export.designer.audience import People
from tfdvbpr_export.designer.requests import numbers_or, png_files, up_to, weights_or
from tfdvbpr_export.designer.tailoring import ServedTailor
from tfdvbpr_export.options import DesignerLimits
from tfdvbpr_export.recommender.heads import check_finite
from tfdvbpr_export.recommender.images import Pictures
from tfdvbpr_export.recommender.lookup import Ids
from tfdvbpr_export.retrieval.nearest import NearestItems
from tfdvbpr_export.saving import run_facts, served, write_version
from tfdvbpr_export.validation.examples import designer_examples
from tfdvbpr_export.versions import Version, remove_old_versions, version_folder

_DEFAULT_STRENGTH = 1.0


class ServedDesigner(tf.Module):
    """The ascent on the generator's latents, in graph: the functions that `Designer` itself calls.

    Args:
        designer: the two runs and the options.
        studio: for pictures that are sent.
        limits: of a request.
    """

    signature_names: tuple[str, ...] = ("design", "tailor", "generate")

    def __init__(self, designer: Designer, studio: Tailor, limits: DesignerLimits) -> None:
        super().__init__()
        run, gan_run, objective = designer.run, designer.gan_run, designer.objective
        self.nearest = NearestItems(run, count=limits.num_nearest)
        self.people = People(run, self.nearest.ids, max_liked=limits.max_liked)
        self.categories = Ids(gan_run.manifest.categories)
        self.tailored = ServedTailor(studio)
        about = gan_run.manifest
        self.pictures = Pictures(about.image_size, about.fit, max_pixels=limits.max_pixels)
        # Their variables are saved, their Keras objects are not: loading must not need them.
        networks = (run.recommender.backbone, objective.generator, objective.discriminator)
        self.network_weights = [weight.value for network in networks for weight in network.weights]
        # Behind a function, so that saving does not look into it.
        self._objective: Callable[[], DesignObjective] = lambda: objective
        self._options, self._tailor_options, self._limits = designer.options, studio.options, limits
        self._latent_dim = gan_run.config.latent_dim
        self._picture = (*gan_run.manifest.image_size, 3)

    @served("design")
    def design(
        self,
        user_ids: Any,
        liked_item_ids: Any,
        categories: Any,
        num_designs: Any,
        num_steps: Any,
        seeds: Any,
        realism_weights: Any,
    ) -> dict[str, Any]:
        """See `tfdvbpr.signatures.DESIGN`; an unknown category has no picture."""
        tastes, known_people = self.people(user_ids, liked_item_ids)
        category_ids, known = self.categories.rows(categories)
        num_designs = numbers_or("num_designs", num_designs, self._most_designs, self._options.num_starts)
        num_steps = self._steps(num_steps, self._options.num_steps)
        weights = weights_or("realism_weights", realism_weights, self._options.realism_weight)

        def drawn() -> dict[str, Any]:
            return self._drawn(
                tastes, tf.where(known, category_ids, 0), categories, seeds, num_steps, weights, num_designs
            )

        answer = tf.cond(tf.size(seeds) > 0, drawn, self._nothing)
        counts = tf.where(known, num_designs, 0)
        return {
            **up_to(counts, answer),
            "counts": counts,
            "steps": tf.where(known, answer["steps"], 0),
            **known_people,
            "known_categories": known,
        }

    @served("tailor")
    def tailor(
        self,
        image_bytes: Any,
        user_ids: Any,
        liked_item_ids: Any,
        categories: Any,
        strengths: Any,
        num_steps: Any,
        seeds: Any,
        realism_weights: Any,
    ) -> dict[str, Any]:
        """See `tfdvbpr.signatures.TAILOR`; an unknown category has no picture."""
        tastes, known_people = self.people(user_ids, liked_item_ids)
        category_ids, known = self.categories.rows(categories)
        rows = (
            tf.where(known, category_ids, 0),
            tastes,
            weights_or("strengths", strengths, _DEFAULT_STRENGTH),
            seeds,
            self._steps(num_steps, self._tailor_options.num_steps),
            weights_or("realism_weights", realism_weights, self._tailor_options.realism_weight),
        )
        some = tf.size(seeds) > 0
        answer = tf.cond(some, lambda: self._moved(image_bytes, categories, rows), self._no_tailored)
        return {**up_to(tf.cast(known, tf.int32), answer, rows_only=True), **known_people, "known_categories": known}

    @served("generate")
    def generate(self, categories: Any, seeds: Any) -> dict[str, Any]:
        """See `tfdvbpr.signatures.GENERATE`; an unknown category has no picture and NaN for its logit."""
        category_ids, known = self.categories.rows(categories)
        rows = (tf.where(known, category_ids, 0), seeds, categories)
        answer = tf.cond(tf.size(seeds) > 0, lambda: self._random(*rows), self._no_random)
        return {**up_to(tf.cast(known, tf.int32), answer, rows_only=True), "known_categories": known}

    def _random(self, category_ids: Any, seeds: Any, categories: Any) -> dict[str, Any]:
        objective = self._objective()
        images, logits = random_images(objective, category_ids, seeds, latent_dim=self._latent_dim)
        images = tf.ensure_shape(images, (None, *self._picture))
        return {
            "image_bytes": png_files(images),
            "realism_logits": logits,
            "nearest_item_ids": self.nearest(objective.embeddings(to_float(images)), categories),
        }

    def _no_random(self) -> dict[str, Any]:
        """What an empty batch is answered."""
        return {
            "image_bytes": tf.zeros((0,), tf.string),
            "realism_logits": tf.zeros((0,)),
            "nearest_item_ids": tf.zeros((0, self.nearest.count), tf.string),
        }

    @property
    def _most_designs(self) -> int:
        return self._options.num_starts

    def _drawn(
        self, tastes: Any, category_ids: Any, categories: Any, seeds: Any, steps: Any, weights: Any, number: Any
    ) -> dict[str, Any]:
        answer = maximize(
            self._objective(),
            tastes,
            category_ids,
            seeds,
            options=self._options,
            latent_dim=self._latent_dim,
            num_steps=steps,
            realism_weight=weights,
            num_designs=number,
            details=True,
        )
        images = tf.ensure_shape(answer["images"], (None, None, *self._picture))  # [B, M, H, W, 3]
        shape = tf.shape(images)[:2]
        flat = tf.reshape(images, (-1, *self._picture))
        nearest = self.nearest(self._objective().embeddings(to_float(flat)), tf.repeat(categories, shape[1]))
        return {
            "image_bytes": tf.reshape(png_files(flat), shape),
            **{name: answer[name] for name in ("preferences", "initial_preferences", "realism_logits")},
            "nearest_item_ids": tf.reshape(nearest, (shape[0], shape[1], self.nearest.count)),
            # Counted by what the loop has left behind, not by what was asked for.
            "steps": tf.minimum(steps, tf.shape(answer["history_preferences"])[2] - 1),
        }

    def _moved(self, image_bytes: Any, categories: Any, rows: tuple[Any, ...]) -> dict[str, Any]:
        answer = self.tailored(self.pictures(image_bytes), *rows)
        images = tf.ensure_shape(answer.pop("images"), (None, *self._picture))
        inverted = tf.ensure_shape(answer.pop("inverted"), (None, *self._picture))
        return {
            "image_bytes": png_files(images),
            "inverted_image_bytes": png_files(inverted),
            "nearest_item_ids": self.nearest(self._objective().embeddings(to_float(images)), categories),
            **answer,
        }

    def _no_tailored(self) -> dict[str, Any]:
        """What an empty batch is answered."""
        figures = ("preferences", "initial_preferences", "realism_logits", "distances")
        return {
            "image_bytes": tf.zeros((0,), tf.string),
            "inverted_image_bytes": tf.zeros((0,), tf.string),
            "nearest_item_ids": tf.zeros((0, self.nearest.count), tf.string),
            **{name: tf.zeros((0,)) for name in figures},
            "steps": tf.zeros((0,), tf.int32),
        }

    def _nothing(self) -> dict[str, Any]:
        """What an empty batch is answered."""
        return {
            "image_bytes": tf.zeros((0, 0), tf.string),
            **{name: tf.zeros((0, 0)) for name in ("preferences", "initial_preferences", "realism_logits")},
            "nearest_item_ids": tf.zeros((0, 0, self.nearest.count), tf.string),
            "steps": tf.zeros((0,), tf.int32),
        }

    def _steps(self, num_steps: Any, default: int) -> Any:
        return numbers_or("num_steps", num_steps, default, self._limits.max_steps)


def export_designer(
    run_path: Path | str,
    gan_path: Path | str,
    output: Path | str,
    *,
    options: DesignOptions | None = None,
    tailor_options: TailorOptions | None = None,
    limits: DesignerLimits | None = None,
    version: Version = "auto",
    keep: int | None = None,
) -> Path:
    """Writes a recommender run and a GAN run as the next version of a served designer, in this process.

    Args:
        run_path: a folder made by `tfdvbpr train --model dvbpr`.
        gan_path: a folder made by `tfdvbpr train-gan`; its categories are those that can be asked for.
        output: the model's base path, such as `models/designer`.
        options: of `design`: starts, and what a request that does not say gets.
        tailor_options: the same of `tailor`.
        limits: of a request.
        version: its number; "auto" is the next, "timestamp" the seconds since 1970.
        keep: how many of the newest versions stay; None for all.

    Returns:
        The version folder.

    Raises:
        RunError: if a run is of the wrong kind, or the factors are not finite.
        OutputExistsError: if the version is there already.
        ConfigError: if an option is out of range.
    """
    folder = version_folder(Path(output), version, keep=keep)
    run, gan_run, limits = Run.open(run_path), GanRun.open(gan_path), limits or DesignerLimits()
    check_finite(run)
    designer = Designer(run, gan_run, options=options)
    studio = Tailor(designer, options=tailor_options)
    module = ServedDesigner(designer, studio, limits)
    examples = designer_examples(run, gan_run, module.signature_names)
    write_version(module, folder, examples=examples, about=_about(designer, studio, limits))
    remove_old_versions(folder, keep=keep)
    return folder


def _about(designer: Designer, studio: Tailor, limits: DesignerLimits) -> dict[str, Any]:
    gan = designer.gan_run.manifest
    return {
        "run": run_facts(designer.run.manifest),
        "gan_run": run_facts(gan),
        "options": {**asdict(designer.options), **asdict(limits)},
        "tailor_options": asdict(studio.options),
        "embedding_dim": designer.run.visual_user_embeddings.shape[1],
        "latent_dim": designer.gan_run.config.latent_dim,
        "num_users": designer.run.manifest.num_users,
        "num_items": designer.run.manifest.num_items,
        "categories": list(gan.categories),
        "metrics": designer.run.metrics,
    }
