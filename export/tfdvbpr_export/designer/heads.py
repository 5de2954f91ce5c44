"""The designer as a SavedModel: images for a user, from latents or from an image. Imports TensorFlow.

A signature is an entry of `tfdvbpr.signatures`, a method here, its requests in `designer_examples`, and a method of the
client.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfdvbpr.data.images.decoding import to_float
from tfdvbpr.designing.audience import AudienceEmbeddings
from tfdvbpr.designing.designer import Designer, random_images
from tfdvbpr.designing.optimize.gradient_ascent import maximize
from tfdvbpr.designing.optimize.objective import DesignObjective
from tfdvbpr.designing.options import DesignOptions, TailorOptions
from tfdvbpr.designing.tailor import Tailor
from tfdvbpr.errors import ConfigError
from tfdvbpr.run import GanRun, Run
from tfdvbpr.signatures import DESIGNER_MODEL_NAME, SIGNATURES
from tfdvbpr_export.designer.audience import CategoryScaling, ServedDirections
from tfdvbpr_export.designer.tailoring import ServedTailor
from tfdvbpr_export.options import HIGHEST_MAX_STEPS, MAX_LIKED_ITEMS, MAX_STEPS, NUM_NEAREST
from tfdvbpr_export.recommender.heads import check_finite
from tfdvbpr_export.recommender.users import ServedUsers
from tfdvbpr_export.requests import (
    UNKNOWN_ID,
    ImageFiles,
    Request,
    counts_or,
    example_ids,
    example_image,
    filled,
    masked,
    of_rows,
    png_files,
    weights_or,
)
from tfdvbpr_export.retrieval.indexes import Ids
from tfdvbpr_export.retrieval.ranking import NearestItems
from tfdvbpr_export.saved_model import run_facts, served, write_version
from tfdvbpr_export.versions import next_version, remove_old_versions

_DEFAULT_STRENGTH = 1.0
_log = logging.getLogger(__name__)
_FIGURES = ("preferences", "initial_preferences", "realism_logits")


class ServedDesigner(tf.Module):
    """Gradient ascent on the generator's latents, in graph: the functions that `Designer` itself calls.

    A request gets at most `max_steps` gradient steps.
    """

    signature_names = tuple(name for name, one in SIGNATURES.items() if one.model == DESIGNER_MODEL_NAME)

    def __init__(self, designer: Designer, tailor: Tailor, *, max_steps: int) -> None:
        super().__init__()
        run, gan_run, objective = designer.run, designer.gan_run, designer.objective
        self.nearest = NearestItems(run, count=NUM_NEAREST)
        self.users = ServedUsers(run, self.nearest.ids)
        self.categories = Ids(gan_run.trained_categories)
        # A category may have been merged into another one. The row after the last is unknown, and never generated.
        self.generated_as = tf.constant([*map(gan_run.category_id, gan_run.trained_categories), 0], tf.int32)
        self.candidates, trained = designer.candidates, gan_run.trained_categories
        number = 2 * designer.options.num_candidates
        _log.info("Embedding %d random images of each of %d categories.", number, len(trained))
        self.candidates.prepare(map(gan_run.category_id, trained))
        scaling = CategoryScaling(run, list(gan_run.manifest.categories))
        self.directions = ServedDirections(run, self.nearest, scaling)
        self.tailoring = ServedTailor(tailor)
        self.images = ImageFiles(gan_run.manifest.image_size, gan_run.manifest.fit)
        # Their variables are saved, their Keras objects are not: loading must not need them.
        networks = (*run.recommender.networks, objective.generator, objective.discriminator, gan_run.upscaler)
        self.network_weights = [weight.value for network in networks if network for weight in network.weights]
        # Behind a function, so that saving does not track it.
        self._objective: Callable[[], DesignObjective] = lambda: objective
        self._shown: Callable[[Any, Any], Any] = lambda images, category_ids: gan_run.shown(images, category_ids)
        self._options, self._tailor_options, self._max_steps = designer.options, tailor.options, max_steps
        self._latent_dim = gan_run.config.latent_dim
        self._image_shape = (*gan_run.manifest.image_size, 3)

    @served("design")
    def design(
        self,
        user_ids: Any,
        liked_item_ids: Any,
        more_like_item_ids: Any,
        less_like_item_ids: Any,
        categories: Any,
        num_designs: Any,
        num_steps: Any,
        seeds: Any,
        realism_weights: Any,
    ) -> dict[str, Any]:
        """See `tfdvbpr.signatures.DESIGN`; an unknown category has no image."""
        users, known_users = self.users(user_ids, liked_item_ids)
        category_ids, known = self._category_ids(categories)
        audience, known_items = self.directions(
            users, category_ids, more_like_item_ids, less_like_item_ids, standardized=False
        )
        starts = self._options.num_starts
        num_designs = counts_or("num_designs", num_designs, starts, starts)
        rows = {
            **audience._asdict(),
            "category_ids": category_ids,
            "categories": categories,
            "seeds": seeds,
            "num_steps": counts_or("num_steps", num_steps, self._options.num_steps, self._max_steps),
            "realism_weight": weights_or("realism_weights", realism_weights, self._options.realism_weight),
            "num_designs": num_designs,
        }
        empty = self._empty("design", ("image_bytes", *_FIGURES, "nearest_item_ids", "steps"), seeds)
        answer = of_rows(known, self._design, rows, empty)
        counts = tf.where(known, num_designs, 0)
        return {
            **masked(answer, tf.range(tf.shape(answer["image_bytes"])[1]) < counts[:, None]),
            "counts": counts,
            "steps": tf.where(known, answer["steps"], 0),
            **known_users,
            **known_items,
            "known_categories": known,
        }

    @served("tailor")
    def tailor(
        self,
        image_bytes: Any,
        user_ids: Any,
        liked_item_ids: Any,
        more_like_item_ids: Any,
        less_like_item_ids: Any,
        categories: Any,
        strengths: Any,
        keep: Any,
        num_steps: Any,
        seeds: Any,
        realism_weights: Any,
    ) -> dict[str, Any]:
        """See `tfdvbpr.signatures.TAILOR`; an unknown category has no image."""
        users, known_users = self.users(user_ids, liked_item_ids)
        category_ids, known = self._category_ids(categories)
        audience, known_items = self.directions(
            users, category_ids, more_like_item_ids, less_like_item_ids, standardized=True
        )
        rows = {
            "image_bytes": image_bytes,
            "categories": categories,
            "category_ids": category_ids,
            **audience._asdict(),
            "strengths": weights_or("strengths", strengths, _DEFAULT_STRENGTH),
            "keep": keep,
            "seeds": seeds,
            "steps": counts_or("num_steps", num_steps, self._tailor_options.num_steps, self._max_steps),
            "weights": weights_or("realism_weights", realism_weights, self._tailor_options.realism_weight),
        }
        images = ("image_bytes", "inverted_image_bytes", "nearest_item_ids")
        empty = self._empty("tailor", (*images, *_FIGURES, "distances", "steps"), seeds)
        answer = of_rows(known, self._tailor, rows, empty)
        return {**masked(answer, known), **known_users, **known_items, "known_categories": known}

    @served("generate")
    def generate(self, categories: Any, seeds: Any) -> dict[str, Any]:
        """See `tfdvbpr.signatures.GENERATE`; an unknown category has no image and NaN for its logit."""
        category_ids, known = self._category_ids(categories)
        rows = {"category_ids": category_ids, "seeds": seeds, "categories": categories}
        empty = self._empty("generate", ("image_bytes", "realism_logits", "nearest_item_ids"), seeds)
        answer = of_rows(known, self._generate, rows, empty)
        return {**masked(answer, known), "known_categories": known}

    def _category_ids(self, categories: Any) -> tuple[Any, Any]:
        """The ids to generate, int32 [B], and whether the GAN was trained on each category, bool [B]."""
        rows, known = self.categories.rows(categories)
        return tf.gather(self.generated_as, rows), known

    def _design(self, rows: dict[str, Any]) -> dict[str, Any]:
        audience = AudienceEmbeddings(rows["embeddings"], rows["offsets"])
        answer = maximize(
            self._objective(),
            audience,
            rows["category_ids"],
            self.candidates.starts(audience, rows["category_ids"], rows["seeds"]),
            options=self._options,
            details=True,
            num_steps=rows["num_steps"],
            realism_weight=rows["realism_weight"],
            num_designs=rows["num_designs"],
        )
        images = tf.ensure_shape(answer["images"], (None, None, *self._image_shape))  # [B, M, H, W, 3]
        shape = tf.shape(images)[:2]
        flat = tf.reshape(images, (-1, *self._image_shape))
        nearest = self._nearest(flat, tf.repeat(rows["categories"], shape[1]))
        return {
            "image_bytes": tf.reshape(self._files(flat, tf.repeat(rows["category_ids"], shape[1])), shape),
            **{name: answer[name] for name in _FIGURES},
            "nearest_item_ids": tf.reshape(nearest, (shape[0], shape[1], self.nearest.count)),
            # Counted by the history that the loop has written, not by the request.
            "steps": tf.minimum(rows["num_steps"], tf.shape(answer["history_preferences"])[2] - 1),
        }

    def _tailor(self, rows: dict[str, Any]) -> dict[str, Any]:
        audience = AudienceEmbeddings(rows["embeddings"], rows["offsets"])
        names = ("strengths", "keep", "seeds", "steps", "weights")
        answer = self.tailoring(
            self.images(rows["image_bytes"]), rows["category_ids"], audience, *(rows[name] for name in names)
        )
        images = tf.ensure_shape(answer.pop("images"), (None, *self._image_shape))
        inverted = tf.ensure_shape(answer.pop("inverted"), (None, *self._image_shape))
        return {
            "image_bytes": self._files(images, rows["category_ids"]),
            "inverted_image_bytes": self._files(inverted, rows["category_ids"]),
            "nearest_item_ids": self._nearest(images, rows["categories"]),
            **answer,
        }

    def _generate(self, rows: dict[str, Any]) -> dict[str, Any]:
        images, logits = random_images(
            self._objective(), rows["category_ids"], rows["seeds"], latent_dim=self._latent_dim
        )
        images = tf.ensure_shape(images, (None, *self._image_shape))
        return {
            "image_bytes": self._files(images, rows["category_ids"]),
            "realism_logits": logits,
            "nearest_item_ids": self._nearest(images, rows["categories"]),
        }

    def _files(self, images_uint8: Any, category_ids: Any) -> Any:
        """PNG files, string [N], of generated images at the size in which people see them."""
        return png_files(self._shown(images_uint8, category_ids))

    def _nearest(self, images_uint8: Any, categories: Any) -> Any:
        return self.nearest(self._objective().embeddings(to_float(images_uint8)), categories)

    def _empty(self, signature: str, names: Sequence[str], seeds: Any) -> dict[str, Any]:
        """Outputs of a request in which no row has a known category: as many rows as `seeds`, without images."""
        outputs = SIGNATURES[signature].outputs
        sizes: dict[str, list[Any]] = {name: [tf.size(seeds)] + [0] * (len(outputs[name].shape) - 1) for name in names}
        sizes["nearest_item_ids"][-1] = self.nearest.count
        return {name: tf.zeros(sizes[name], outputs[name].dtype) for name in names}


def designer_examples(run: Run, gan_run: GanRun) -> Mapping[str, Sequence[Request]]:
    """By signature, requests with known and unknown ids; the first is one row."""
    user, items = run.user_ids[0], example_ids(run.items.item_ids)
    category = gan_run.trained_categories[0]
    image = example_image(gan_run.manifest.image_size, "JPEG")
    liked = [items[:2] + [""] * (2 - len(items[:2]))]
    requests: dict[str, list[dict[str, Any]]] = {
        "design": [
            {"user_ids": [user], "categories": [category], "num_steps": [2]},
            {"liked_item_ids": liked, "categories": [category], "num_designs": [1], "seeds": [7]},
            {"user_ids": [user], "more_like_item_ids": liked, "categories": [category], "num_steps": [2]},
        ],
        "tailor": [
            {"image_bytes": [image], "user_ids": [user], "categories": [category], "num_steps": [2], "keep": [["cut"]]}
        ],
        "generate": [{"categories": [category]}, {"categories": [category, UNKNOWN_ID], "seeds": [3, 4]}],
    }
    return {name: [filled(name, **request) for request in requests[name]] for name in ServedDesigner.signature_names}


def export_designer(
    run_path: Path | str,
    gan_path: Path | str,
    output: Path | str,
    *,
    options: DesignOptions | None = None,
    tailor_options: TailorOptions | None = None,
    max_steps: int = MAX_STEPS,
    keep: int | None = None,
) -> Path:
    """Writes a recommender run and a GAN run as the next version of a served designer, in this process.

    Args:
        run_path: a folder made by `tfdvbpr train --model dvbpr`.
        gan_path: a folder made by `tfdvbpr train-gan`; its categories are those that a request may name.
        output: the model's base path, such as `models/designer`.
        options: of `design`: starts, and the defaults of a request.
        tailor_options: the same of `tailor`.
        max_steps: gradient steps of a request, at least those of `options`; a request for more gets so many.
        keep: how many of the newest versions stay; None for all.

    Returns:
        The version folder.

    Raises:
        RunError: if a run is of the wrong kind, or the factors are not finite.
        OutputExistsError: if `output` is a file.
        ConfigError: if an option is out of range.
    """
    folder = next_version(Path(output), keep=keep)
    if not 1 <= max_steps <= HIGHEST_MAX_STEPS:
        raise ConfigError(f"`max_steps` must lie in [1, {HIGHEST_MAX_STEPS:,}]. Received {max_steps:,}.")
    run, gan_run = Run.open(run_path), GanRun.open(gan_path)
    check_finite(run)
    designer = Designer(run, gan_run, options=options)
    tailor = Tailor(designer, options=tailor_options)
    max_steps = max(max_steps, designer.options.num_steps)
    module = ServedDesigner(designer, tailor, max_steps=max_steps)
    about = {
        "run": run_facts(run.manifest),
        "gan_run": run_facts(gan_run.manifest),
        "options": {
            **asdict(designer.options),
            "max_steps": max_steps,
            "max_liked_items": MAX_LIKED_ITEMS,
            "num_nearest": NUM_NEAREST,
        },
        "tailor_options": asdict(tailor.options),
        "embedding_dim": run.visual_user_embeddings.shape[1],
        "latent_dim": gan_run.config.latent_dim,
        "num_users": run.manifest.num_users,
        "num_items": run.manifest.num_items,
        "categories": list(gan_run.trained_categories),
        "metrics": run.metrics,
    }
    write_version(module, folder, examples=designer_examples(run, gan_run), about=about)
    remove_old_versions(folder, keep=keep)
    return folder
