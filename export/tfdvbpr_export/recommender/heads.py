"""The recommender as a SavedModel: rankings, scores, similar items and embeddings. Imports TensorFlow.

A signature is an entry of `tfdvbpr.signatures`, a method here, its requests in `recommender_examples`, and a method of
the client.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfdvbpr.errors import RunError
from tfdvbpr.models.recommenders import RECOMMENDERS
from tfdvbpr.models.recommenders.item_weights import MOST_DENSE
from tfdvbpr.run import Run
from tfdvbpr.run.new_items import update_items
from tfdvbpr.run.new_users import update_users
from tfdvbpr.signatures import RECOMMENDER_MODEL_NAME, SIGNATURES
from tfdvbpr_export.options import MAX_LIKED_ITEMS, RecommenderOptions, ScannOptions
from tfdvbpr_export.recommender.catalogue import ServedCatalogue
from tfdvbpr_export.recommender.users import SeenItems, ServedFoldIn, UserEmbeddings
from tfdvbpr_export.requests import UNKNOWN_ID, ImageFiles, Request, example_ids, example_image, filled
from tfdvbpr_export.saved_model import run_facts, served, write_version
from tfdvbpr_export.versions import next_version, read_manifest, remove_old_versions, versions


class ServedRecommender(tf.Module):
    """Users, items and the search, in graph.

    Only a model that learns from pixels has the signatures that take images; `signature_names` are those to serve.
    """

    def __init__(self, run: Run, options: RecommenderOptions) -> None:
        super().__init__()
        self.users = UserEmbeddings(run.user_ids, run.factors.user_embeddings)
        self.catalogue = ServedCatalogue(run, options)
        seen = [run.seen_items(user) for user in range(run.manifest.num_users)]
        self.seen = SeenItems(seen, num_items=self.catalogue.ids.count)
        self.folding = ServedFoldIn(run, self.catalogue.ids, self.catalogue.table, quantize=options.quantize)
        takes_images = run.model_class.scores_images
        if takes_images:
            model = run.recommender
            # Its variables are saved, its Keras objects are not: loading must not need them.
            self.backbone_weights = [weight.value for network in model.networks for weight in network.weights]
            self.images = ImageFiles(run.manifest.image_size, run.manifest.fit)
            self._embed: Callable[[Any], Any] = lambda images: model.embed_images(images, training=False)
            self._dim = run.config.embedding_dim
        own = [name for name, one in SIGNATURES.items() if one.model == RECOMMENDER_MODEL_NAME]
        self.signature_names = tuple(name for name in own if takes_images or not SIGNATURES[name].takes_images)

    @served("score")
    def score(self, user_ids: Any, item_ids: Any) -> dict[str, Any]:
        """See `tfdvbpr.signatures.SCORE`."""
        users, _, known_users = self.users.lookup(user_ids)
        scores, known_items = self.catalogue.scores(users, item_ids)
        return {"scores": scores, "known_users": known_users, "known_items": known_items}

    @served("recommend")
    def recommend(
        self, user_ids: Any, k: Any, categories: Any, exclude_item_ids: Any, exclude_seen: Any, filters: Any
    ) -> dict[str, Any]:
        """See `tfdvbpr.signatures.RECOMMEND`."""
        users, rows, known_users = self.users.lookup(user_ids)
        excluded, known_excluded = self.catalogue.ids.optional_rows(exclude_item_ids)
        excluded = tf.concat([self.seen.of(rows, exclude_seen), excluded], axis=1)
        best = self.catalogue.ranking(self.catalogue.queries(users), k, categories, excluded, filters=filters)
        return {**best, "known_users": known_users, "known_excluded_items": known_excluded}

    @served("recommend_for_items")
    def recommend_for_items(
        self, liked_item_ids: Any, k: Any, categories: Any, exclude_item_ids: Any, exclude_liked: Any, filters: Any
    ) -> dict[str, Any]:
        """See `tfdvbpr.signatures.RECOMMEND_FOR_ITEMS`."""
        users, known, liked = self.folding(liked_item_ids)
        excluded, known_excluded = self.catalogue.ids.optional_rows(exclude_item_ids)
        liked = tf.where(exclude_liked[:, None], liked, self.catalogue.ids.count)
        excluded = tf.concat([liked, excluded], axis=1)
        best = self.catalogue.ranking(self.catalogue.queries(users), k, categories, excluded, filters=filters)
        return {**best, **known, "known_excluded_items": known_excluded}

    @served("similar_items")
    def similar_items(self, query_item_ids: Any, k: Any, categories: Any) -> dict[str, Any]:
        """See `tfdvbpr.signatures.SIMILAR_ITEMS`."""
        rows, known = self.catalogue.ids.rows(query_item_ids)
        embeddings = self.catalogue.embeddings(tf.where(known, rows, 0))
        best = self.catalogue.similar(embeddings, k, categories, rows[:, None], answered=known)
        return {**best, "known_items": known}

    @served("embed_images")
    def embed_images(self, image_bytes: Any) -> dict[str, Any]:
        """See `tfdvbpr.signatures.EMBED_IMAGES`."""
        return {"embeddings": self._embeddings(image_bytes)}

    @served("score_images")
    def score_images(self, user_ids: Any, image_bytes: Any) -> dict[str, Any]:
        """See `tfdvbpr.signatures.SCORE_IMAGES`."""
        users, _, known_users = self.users.lookup(user_ids)
        scores = tf.reduce_sum(users[:, : self._dim] * self._embeddings(image_bytes), axis=1)
        return {"scores": scores, "known_users": known_users}

    @served("similar_images")
    def similar_images(self, image_bytes: Any, k: Any, categories: Any) -> dict[str, Any]:
        """See `tfdvbpr.signatures.SIMILAR_IMAGES`."""
        nothing = tf.zeros((tf.shape(image_bytes)[0], 0), tf.int32)
        return self.catalogue.similar(self._embeddings(image_bytes), k, categories, nothing)

    def _embeddings(self, files: Any) -> Any:
        """Φ of image files, string [B]: float32 [B, D]."""
        nothing = tf.zeros((0, self._dim))
        # Some of TensorFlow's fused convolutions fail on an empty batch.
        embeddings = tf.cond(tf.size(files) > 0, lambda: self._embed(self.images(files)), lambda: nothing)
        return tf.ensure_shape(embeddings, (None, self._dim))


def recommender_examples(
    run: Run, signatures: Sequence[str], filters: Sequence[str] = ()
) -> Mapping[str, Sequence[Request]]:
    """By signature, requests with known and unknown ids; the first is one row, as most requests are.

    `filters` are the names of the model's.
    """
    some_filter = [*filters, UNKNOWN_ID][0]
    users = [*example_ids(run.user_ids), UNKNOWN_ID]
    items = [*example_ids(run.items.item_ids), UNKNOWN_ID]
    category, last = run.manifest.categories[0], items[-2]
    images = [example_image(run.manifest.image_size, "JPEG"), example_image((37, 23), "PNG")]
    requests: dict[str, list[dict[str, Any]]] = {
        "recommend": [
            {"user_ids": users[:1]},
            {
                "user_ids": users,
                "k": list(range(1, len(users) + 1)),
                "categories": [category if row % 2 else "" for row in range(len(users))],
                "exclude_item_ids": [[last, "" if row % 2 else UNKNOWN_ID] for row in range(len(users))],
                "exclude_seen": [row % 3 > 0 for row in range(len(users))],
                "filters": [[some_filter if row % 2 else "", ""] for row in range(len(users))],
            },
        ],
        "recommend_for_items": [
            {"liked_item_ids": [items[:1]]},
            {
                "liked_item_ids": [[items[0], last, last], ["", UNKNOWN_ID, ""], [items[0], "", ""]],
                "k": [2, 3, 0],
                "categories": ["", category, UNKNOWN_ID],
                "exclude_liked": [True, True, False],
                "filters": [[""], [some_filter], [UNKNOWN_ID]],
            },
        ],
        "score": [
            {"user_ids": users[:1], "item_ids": [items[:1]]},
            {"user_ids": users, "item_ids": [items] * len(users)},
        ],
        "similar_items": [{"query_item_ids": items[:1]}, {"query_item_ids": items, "k": [3] * len(items)}],
        "score_images": [
            {"user_ids": users[:1], "image_bytes": images[:1]},
            {"user_ids": [users[0], UNKNOWN_ID], "image_bytes": images},
        ],
        "similar_images": [{"image_bytes": images[:1]}, {"image_bytes": images, "categories": ["", category]}],
        "embed_images": [{"image_bytes": images[:1]}, {"image_bytes": images}],
    }
    return {name: [filled(name, **request) for request in requests[name]] for name in signatures}


def export_recommender(
    run_path: Path | str, output: Path | str, *, options: RecommenderOptions | None = None, keep: int | None = None
) -> Path:
    """Writes a run as the next version of a served recommender, in this process.

    TensorFlow Recommenders needs a process in which nothing has touched `tf.keras`; `tfdvbpr.export_recommender` starts
    one.

    Args:
        run_path: a folder made by `tfdvbpr train`, of any model; the signatures that take images need a model that
            learns from pixels.
        output: the model's base path, such as `models/recommender`.
        options: index, bits, limits.
        keep: how many of the newest versions stay; None for all.

    Returns:
        The version folder.

    Raises:
        RunError: if the run is no recommender run, its factors are not finite, or its item-item weights are too large.
        OutputExistsError: if `output` is a file.
        ConfigError: if `keep` is out of range, a filter is malformed, or ScaNN is requested and not installed.
    """
    folder = next_version(Path(output), keep=keep)
    run, options = Run.open(run_path), options or RecommenderOptions()
    check_size(run)
    check_finite(run)
    module = ServedRecommender(run, options)
    about = {
        "run": run_facts(run.manifest),
        "embedding_dim": run.factors.user_embeddings.shape[1],
        "num_users": run.manifest.num_users,
        "num_items": run.manifest.num_items,
        "categories": list(run.manifest.categories),
        "retrieval": dict(module.catalogue.about),
        "options": {**asdict(options), "max_liked_items": MAX_LIKED_ITEMS},
        "metrics": run.metrics,
    }
    examples = recommender_examples(run, module.signature_names, [name for name, _ in options.filters])
    write_version(module, folder, examples=examples, about=about, op_namespaces=module.catalogue.needs)
    remove_old_versions(folder, keep=keep)
    return folder


def check_size(run: Run) -> None:
    """Refuses, with a `RunError`, item-item weights whose dense tables would not fit into a SavedModel."""
    users, items = run.manifest.num_users, run.manifest.num_items
    if run.model_class.has_item_weights and (users + items) * items > MOST_DENSE:
        known = [name for name, kind in RECOMMENDERS.items() if not kind.has_item_weights]
        raise RunError(
            f"(users + items) × items of a {run.manifest.model} run must be at most {MOST_DENSE:,} to be served. "
            f"{run.path} has ({users:,} + {items:,}) × {items:,}. Use `tfdvbpr recommend`, or a recommender that is "
            f"exported at any size: {', '.join(known)}."
        )


def check_finite(run: Run) -> None:
    """Refuses, with a `RunError`, a run whose training diverged: a factor is not a finite number."""
    for name in ("user_embeddings", "item_embeddings", "item_biases"):
        if not np.isfinite(getattr(run.factors, name)).all():
            raise RunError(
                f"`{name}` must be finite to be served. {run.path} holds others. Train with a lower learning rate."
            )


def update_served_items(
    run_path: Path | str,
    new_items: Path | str,
    new_run: Path | str,
    output: Path | str,
    *,
    dataset: Path | str | None = None,
    keep: int | None = None,
) -> Path:
    """Embeds new items with the trained networks, and exports the larger catalogue as the next version.

    Index, bits and limits are those of the newest version below `output`; the defaults where there is none.

    Args:
        run_path: a run of a model that embeds items from their images.
        new_items: a folder with items.csv and images, as `tfdvbpr update-items` takes it.
        new_run: the run folder to make, from which the next update starts.
        output: the model's base path.
        dataset: the run's dataset, if it has been moved.
        keep: as of `export_recommender`.

    Returns:
        The version folder.

    Raises:
        RunError: if the model cannot embed an item from its image.
        DatasetError: if the run's dataset is gone or another.
        SourceError: if no new item can be used.
        OutputExistsError: if `new_run` is there already.
        ConfigError: if `keep` is out of range.
    """
    next_version(Path(output), keep=keep)  # refuses before any work
    options = _options_of_newest(Path(output))
    update_items(Run.open(run_path), Path(new_items), Path(new_run), dataset=Path(dataset) if dataset else None)
    return export_recommender(new_run, output, options=options, keep=keep)


def update_served_users(
    run_path: Path | str,
    interactions: Path | str,
    new_run: Path | str,
    output: Path | str,
    *,
    dataset: Path | str | None = None,
    keep: int | None = None,
) -> Path:
    """Folds new users in, and exports the run with them as the next version, as `update_served_items` does with items.

    Args:
        interactions: a .csv or .parquet file with user_id and item_id, as `tfdvbpr update-users` takes it.

    Raises:
        DatasetError: if the run's dataset is gone or another.
        SourceError: if the file cannot be read, or has no action of a new user.
        OutputExistsError: if `new_run` is there already.
        ConfigError: if `keep` is out of range.
    """
    next_version(Path(output), keep=keep)  # refuses before any work
    options = _options_of_newest(Path(output))
    update_users(Run.open(run_path), Path(interactions), Path(new_run), dataset=Path(dataset) if dataset else None)
    return export_recommender(new_run, output, options=options, keep=keep)


def _options_of_newest(output: Path) -> RecommenderOptions:
    """Index, bits, limits and filters of the newest version below a model's base path; the defaults without one."""
    if not versions(output):
        return RecommenderOptions()
    kept = read_manifest(output)["options"]
    names = {field.name for field in fields(RecommenderOptions)} - {"scann"}
    values = {name: kept[name] for name in names if name in kept}
    values["filters"] = tuple((str(name), str(where)) for name, where in values.get("filters", ()))
    return RecommenderOptions(**values, scann=ScannOptions(**kept["scann"]))
