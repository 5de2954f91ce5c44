"""Gradient ascent on the generator's latents toward preference (Kang et al. 2017), from several starts per request.

Of the ends those are kept that are good and do not look alike. Pure functions of tensors: the same ones run in-process
and in the exported model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfdvbpr.data.images.decoding import to_uint8
from tfdvbpr.designing.audience import AudienceEmbeddings
from tfdvbpr.designing.optimize.adam import adam_ascent
from tfdvbpr.designing.optimize.objective import DesignObjective, as_audience
from tfdvbpr.designing.options import DesignOptions

CHUNK_ROWS = 64  # the most rows that are ascended together: bounds the memory, whatever is requested
_DIVERSITY = 0.5
_CELLS = 8  # a side, of which the mean colours are compared


def in_chunks(function: Callable[[Any], Any], num_rows: Any, *, chunk_rows: int, signature: Any) -> Any:
    """Maps a function of row numbers chunk by chunk, one after the other, inside the graph, and joins the results.

    Chunks are of one size, at most `chunk_rows` and as equal as can be; the last may end with copies of its last row,
    which are cut off again.

    Args:
        function: of int32 [C], the numbers of rows, to a structure of tensors [C, ...].
        num_rows: int32 [], R, above 0.
        chunk_rows: the most rows at once.
        signature: the structure of `tf.TensorSpec` of one chunk's result.

    Returns:
        The structure with tensors [R, ...].
    """
    num_rows = tf.convert_to_tensor(num_rows, tf.int32)
    chunks = (num_rows + chunk_rows - 1) // chunk_rows
    size = (num_rows + chunks - 1) // chunks
    rows = tf.minimum(tf.reshape(tf.range(chunks * size), [chunks, size]), num_rows - 1)
    parts = tf.map_fn(function, rows, fn_output_signature=signature, parallel_iterations=1)

    def joined(part: Any) -> Any:
        return tf.reshape(part, tf.concat([[-1], tf.shape(part)[2:]], axis=0))[:num_rows]

    return tf.nest.map_structure(joined, parts)


def initial_latents(seeds: Any, *, num_rows: Any, latent_dim: int) -> Any:
    """z₀ ~ N(0, I) from each seed alone, so that a request's result does not depend on its neighbours in a batch.

    Args:
        seeds: int64 [B].
        num_rows: latents per seed, S; an int or int32 [].
        latent_dim: L.

    Returns:
        float32 [B, S, L].
    """
    static = num_rows if isinstance(num_rows, int) else None
    return tf.map_fn(
        lambda seed: tf.random.stateless_normal([num_rows, latent_dim], tf.stack([seed, 0])),
        seeds,
        fn_output_signature=tf.TensorSpec([static, latent_dim], tf.float32),
    )


def colour_features(images: Any) -> Any:
    """float32 [R, 192]: mean colours of 8×8 cells, over √192, so that distances are root mean squares in [-1, 1].

    They do not depend on Φ, in whose space the designs of one user lie close together.

    Args:
        images: float32 [R, H, W, 3], sides multiples of 8.
    """
    _, height, width, _ = images.shape
    sizes = (height // _CELLS, width // _CELLS)
    cells = tf.nn.avg_pool2d(images, sizes, sizes, "VALID")[:, :_CELLS, :_CELLS]
    return tf.reshape(cells, [-1, 3 * _CELLS**2]) / (3.0 * _CELLS**2) ** 0.5


def select_diverse(values: Any, features: Any, num_designs: Any, *, diversity: float) -> Any:
    """The designs to keep of each request, by falling objective.

    Greedy: the best first; then always the one with the largest sum of its objective, in standard deviations over the
    request's designs, and `diversity` times the distance to the nearest kept one, in mean distances (max-min
    diversification, Gonzalez 1985, with a quality as in maximal marginal relevance, Carbonell & Goldstein 1998).

    Args:
        values: float32 [B, S], objectives.
        features: float32 [B, S, F].
        num_designs: int32 [], M ≤ S; or [B], each request's own, M being the largest and the rest of a row padding.
        diversity: see above; 0 is the order of the objective.

    Returns:
        int32 [B, M].
    """
    starts, own = tf.shape(values)[1], tf.convert_to_tensor(num_designs, tf.int32)
    num_designs = tf.reduce_max(own)
    quality = (values - tf.reduce_max(values, 1, keepdims=True)) / (tf.math.reduce_std(values, 1)[:, None] + 1e-9)
    squares = tf.reduce_sum(tf.square(features), axis=2)
    products = tf.matmul(features, features, transpose_b=True)
    apart = tf.sqrt(tf.maximum(squares[:, :, None] - 2.0 * products + squares[:, None], 0.0))  # [B, S, S]
    apart /= tf.reduce_mean(apart, axis=(1, 2), keepdims=True) + 1e-9

    def pick(number: Any, free: Any, nearest: Any, picks: Any) -> tuple[Any, ...]:
        worth = tf.where(free, quality + diversity * nearest, quality.dtype.min)
        best = tf.argmax(worth, axis=1, output_type=tf.int32)
        distances = tf.gather(apart, best, batch_dims=1)  # [B, S]
        nearest = tf.where(tf.equal(number, 0), distances, tf.minimum(nearest, distances))
        free = tf.logical_and(free, tf.range(starts)[None] != best[:, None])
        return number + 1, free, nearest, picks.write(number, best)

    picks = tf.TensorArray(tf.int32, size=num_designs, element_shape=(values.shape[0],))
    state = (tf.constant(0), tf.ones_like(values, tf.bool), tf.zeros_like(values), picks)
    *_, picks = tf.while_loop(lambda number, *_: number < num_designs, pick, state)
    kept = tf.transpose(picks.stack())  # [B, M]
    is_own = tf.range(num_designs)[None] < tf.reshape(own, [-1, 1])
    worth = tf.where(is_own, tf.gather(values, kept, batch_dims=1), values.dtype.min)
    return tf.gather(kept, tf.argsort(worth, direction="DESCENDING", stable=True), batch_dims=1)


def frame_steps(num_steps: int, num_frames: int) -> list[int]:
    """The steps after which frames are taken: evenly from 0 to the last; a single one after the last."""
    return [num_steps - round(num_steps * back / max(num_frames - 1, 1)) for back in reversed(range(num_frames))]


def maximize(
    objective: DesignObjective,
    users: Any,
    category_ids: Any,
    starts: Any,
    *,
    options: DesignOptions,
    num_steps: Any = None,
    realism_weight: Any = None,
    num_designs: Any = None,
    snapshot_steps: Any = None,
    details: bool = False,
    chunk_rows: int = CHUNK_ROWS,
) -> dict[str, Any]:
    """Designs for requests: many starts each, ascended in chunks, of which good and different ones are kept.

    Preference maximisation of Kang et al. 2017, with Adam, several starts and diverse selection. Unlike there, the
    ascent keeps the norm of each latent, and ends before the image glows or fades more than photos do (see
    `PhotoLimits`). Rows are independent of each other.

    Args:
        objective: G, D, Φ and the realism penalty.
        users: of B requests: float32 [B, D], one user each, or `AudienceEmbeddings`.
        category_ids: int32 [B].
        starts: float32 [B, S, L], latents from which each request is ascended; S is known when tracing.
        options: the learning rate, and what is not given here.
        num_steps: int32 [], or [B], each request's own; left out, the options'. T is the largest.
        realism_weight: η, float32 [], or [B]; left out, the options'.
        num_designs: M ≤ S, int32 [], or [B], M being the largest; left out, all S starts.
        snapshot_steps: int32 [F], in [0, T]: after which steps images are taken.
        details: whether latents, objectives and the history are returned too.
        chunk_rows: the most starts that are ascended together.

    Returns:
        `images` uint8 [B, M, H, W, 3] by falling objective; `preferences`, `realism_logits` and `initial_preferences`
        float32 [B, M] in the same order. With `snapshot_steps`, `frames` uint8 [F, B, M, H, W, 3]. With `details`,
        `latents` float32 [B, M, L], `objectives`, `initial_realism_logits` float32 [B, M], `starts` int32 [B, M],
        `history_preferences`, `history_realism_logits`, `history_objectives` float32 [B, M, T + 1], and with
        `snapshot_steps` too `frame_latents` float32 [F, B, M, L].
    """
    users, number, latent_dim = as_audience(users), starts.shape[1], starts.shape[2]
    steps = tf.convert_to_tensor(options.num_steps if num_steps is None else num_steps, tf.int32)
    eta = tf.convert_to_tensor(options.realism_weight if realism_weight is None else realism_weight, tf.float32)
    first = tf.reshape(starts, [-1, latent_dim])  # [B·S, L]

    def ascended(rows: Any) -> dict[str, Any]:
        requests = rows // number
        return _ascend(
            objective,
            tf.gather(first, rows),
            users.gather(requests),
            tf.gather(category_ids, requests),
            num_steps=_per_row(steps, requests),
            realism_weight=_per_row(eta, requests),
            learning_rate=options.learning_rate,
            snapshot_steps=snapshot_steps,
        )

    signature = {
        "latents": tf.TensorSpec([None, latent_dim], tf.float32),
        "images": tf.TensorSpec([None, *objective.generator.output_shape[1:]], tf.uint8),
        "features": tf.TensorSpec([None, None], tf.float32),
        "history": tf.TensorSpec([None, 3, None], tf.float32),
    }
    if snapshot_steps is not None:
        signature["frame_latents"] = tf.TensorSpec([None, None, latent_dim], tf.float32)
    flat = in_chunks(ascended, tf.shape(first)[0], chunk_rows=chunk_rows, signature=signature)
    found = {name: _per_request(values, number) for name, values in flat.items()}
    kept = number if num_designs is None else num_designs
    order = select_diverse(found["history"][:, :, 2, -1], found.pop("features"), kept, diversity=_DIVERSITY)
    best = {name: tf.gather(values, order, batch_dims=1) for name, values in found.items()}
    return _answer(objective, best, order, category_ids, chunk_rows=chunk_rows, details=details)


def _ascend(
    objective: DesignObjective,
    latents: Any,
    users: AudienceEmbeddings,
    category_ids: Any,
    *,
    num_steps: Any,
    realism_weight: Any,
    learning_rate: float,
    snapshot_steps: Any,
) -> dict[str, Any]:
    """Ascends preference − η · penalty from rows of latents, float32 [C, L]; batch norm is in inference mode.

    A row stops before its image is beyond the photos' limits.
    """

    def values(rows: Any, step: Any) -> tuple[Any, tuple[Any, ...]]:
        images = objective.images(rows, category_ids)
        logits = objective.realism_logits(images, category_ids)
        preferences = objective.preferences(images, users)
        worth = objective.values(preferences, logits, realism_weight)
        within = tf.cast(objective.within(images, category_ids), tf.float32)
        return worth, (preferences, logits, worth, within)

    last, history, path = adam_ascent(
        values,
        latents,
        num_steps=num_steps,
        learning_rate=learning_rate,
        num_figures=4,
        keep_path=snapshot_steps is not None,
        on_sphere=True,
        allowed=lambda figures: figures[3] > 0.0,
    )
    images = objective.images(last, category_ids)
    answer = {
        "latents": last,
        "images": to_uint8(images),
        "features": colour_features(images),
        "history": tf.transpose(history[:, :3], [2, 1, 0]),
    }
    if snapshot_steps is not None:
        answer["frame_latents"] = tf.transpose(tf.gather(path, snapshot_steps), [1, 0, 2])  # [C, F, L]
    return answer


def _answer(
    objective: DesignObjective, best: dict[str, Any], order: Any, category_ids: Any, *, chunk_rows: int, details: bool
) -> dict[str, Any]:
    history = best["history"]
    answer = {
        "images": best["images"],
        "preferences": history[:, :, 0, -1],
        "realism_logits": history[:, :, 1, -1],
        "initial_preferences": history[:, :, 0, 0],
    }
    latents = best.get("frame_latents")  # [B, M, F, L]
    if latents is not None:
        shape = tf.shape(latents)
        rows = tf.reshape(latents, [-1, latents.shape[-1]])
        row_categories = tf.repeat(category_ids, shape[1] * shape[2])
        frames = in_chunks(
            lambda some: to_uint8(objective.images(tf.gather(rows, some), tf.gather(row_categories, some))),
            tf.shape(rows)[0],
            chunk_rows=chunk_rows,
            signature=tf.TensorSpec([None, *objective.generator.output_shape[1:]], tf.uint8),
        )
        frames = tf.reshape(frames, tf.concat([shape[:3], tf.shape(frames)[1:]], axis=0))
        answer["frames"] = tf.transpose(frames, [2, 0, 1, 3, 4, 5])
    if not details:
        return answer
    if latents is not None:
        answer["frame_latents"] = tf.transpose(latents, [2, 0, 1, 3])
    return {
        **answer,
        "latents": best["latents"],
        "objectives": history[:, :, 2, -1],
        "initial_realism_logits": history[:, :, 1, 0],
        "starts": order,
        "history_preferences": history[:, :, 0],
        "history_realism_logits": history[:, :, 1],
        "history_objectives": history[:, :, 2],
    }


def _per_row(values: Any, requests: Any) -> Any:
    """A scalar as it is; of one value per request, the rows' own."""
    return values if values.shape.rank == 0 else tf.gather(values, requests)


def _per_request(flat: Any, starts: int) -> Any:
    """[B·S, ...] to [B, S, ...]."""
    rows = tf.reshape(flat, tf.concat([[-1, starts], tf.shape(flat)[1:]], axis=0))
    return tf.ensure_shape(rows, [None, starts, *flat.shape[1:]])
