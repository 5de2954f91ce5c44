"""Requests to warm up with and to validate by: at least one a signature, with what is known and what is not."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from tfdvbpr.run import GanRun, Run
from tfdvbpr.signatures import SIGNATURES

Request = Mapping[str, Any]
Examples = Mapping[str, Sequence[Request]]
STRANGER = "no-such-id-\u2603"


def filled(signature: str, **given: Any) -> dict[str, Any]:
    """A request with neutral values where nothing is given."""
    num_rows = len(next(iter(given.values())))
    inputs = SIGNATURES[signature].inputs
    return {name: given[name] if name in given else SIGNATURES[signature].neutral(name, num_rows) for name in inputs}


def recommender_examples(run: Run, signatures: Sequence[str], *, max_liked: int) -> Examples:
    """By signature; the first is one row, as most requests are."""
    users = [*_spread(run.user_ids), STRANGER]
    items = [*_spread(run.items.item_ids), STRANGER]
    category = run.manifest.categories[0]
    pictures = [_picture(run.manifest.image_size, "JPEG"), _picture((37, 23), "PNG")]
    last = items[-2]
    liked = [[items[0], last, last], ["", STRANGER, ""], [items[0], "", ""]]
    requests: dict[str, list[dict[str, Any]]] = {
        "recommend": [
            {"user_ids": users[:1]},
            {
                "user_ids": users,
                "k": list(range(1, len(users) + 1)),
                "categories": [category if row % 2 else "" for row in range(len(users))],
                "exclude_item_ids": [[last, "" if row % 2 else STRANGER] for row in range(len(users))],
                "exclude_seen": [row % 3 > 0 for row in range(len(users))],
            },
        ],
        "recommend_for_items": [
            {"liked_item_ids": [items[:1]]},
            {
                "liked_item_ids": [row[:max_liked] for row in liked],
                "k": [2, 3, 0],
                "categories": ["", category, STRANGER],
                "exclude_liked": [True, True, False],
            },
        ],
        "score": [
            {"user_ids": users[:1], "item_ids": [items[:1]]},
            {"user_ids": users, "item_ids": [items] * len(users)},
        ],
        "similar_items": [{"query_item_ids": items[:1]}, {"query_item_ids": items, "k": [3] * len(items)}],
        "score_images": [
            {"user_ids": users[:1], "image_bytes": pictures[:1]},
            {
                "user_ids": [users[0], STRANGER],
                "image_bytes": pictures,
            },
        ],
        "similar_images": [{"image_bytes": pictures[:1]}, {"image_bytes": pictures, "categories": ["", category]}],
        "embed_images": [{"image_bytes": pictures[:1]}, {"image_bytes": pictures}],
    }
    return {name: [filled(name, **request) for request in requests[name]] for name in signatures}


def designer_examples(run: Run, gan_run: GanRun, signatures: Sequence[str]) -> Examples:
    """By signature; the first is one row."""
    user, items = run.user_ids[0], _spread(run.items.item_ids)
    category = gan_run.manifest.categories[0]
    picture = _picture(gan_run.manifest.image_size, "JPEG")
    liked = [items[:2] + [""] * (2 - len(items[:2]))]
    requests: dict[str, list[dict[str, Any]]] = {
        "design": [
            {"user_ids": [user], "categories": [category], "num_steps": [2]},
            {"liked_item_ids": liked, "categories": [category], "num_designs": [1], "seeds": [7]},
        ],
        "tailor": [{"image_bytes": [picture], "user_ids": [user], "categories": [category], "num_steps": [2]}],
        "generate": [{"categories": [category]}, {"categories": [category, STRANGER], "seeds": [3, 4]}],
    }
    return {name: [filled(name, **request) for request in requests[name]] for name in signatures}


def _spread(ids: Sequence[str], most: int = 4) -> list[str]:
    """A few of them, the first and the last among them."""
    return [ids[row] for row in sorted({round(place) for place in np.linspace(0, len(ids) - 1, min(most, len(ids)))})]


def _picture(image_size: tuple[int, int], kind: str) -> bytes:
    """A file of soft colours; the same at each call."""
    height, width = image_size
    rows, columns = np.linspace(0, 255, height)[:, None], np.linspace(255, 0, width)[None, :]
    pixels = np.stack(np.broadcast_arrays(rows, columns, (rows + columns) / 2), axis=-1).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()
