"""Sample users: what they bought, what is recommended to them, and why."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.interactions import Split
from tfdvbpr.reporting.blocks import Block, Gallery, Heading, Paragraph
from tfdvbpr.reporting.facts import Facts
from tfdvbpr.reporting.tiles import item_tiles
from tfdvbpr.run.explanation import score_sources
from tfdvbpr.text import shortened

NUM_USERS, SHOWN = 4, 6
_LONGEST = 40


def sampled_users(facts: Facts) -> list[int]:
    """Rows of users that are shown: seeded, of those that were tested, with few and with many actions."""
    tested = np.unique(facts.ranks.user_ids)
    counts = facts.actions_per_user[tested]
    order = tested[np.argsort(counts, kind="stable")]
    generator = np.random.default_rng(0)
    return [int(generator.choice(part)) for part in np.array_split(order, min(NUM_USERS, len(order)))]


def users(facts: Facts) -> list[Block]:
    """A few users, from few actions to many."""
    blocks: list[Block] = [
        Paragraph(
            "Users chosen at random, from few actions to many. Bought: the latest of their training actions. "
            "Recommended: the best of the whole catalogue without what they have already; a frame marks the item that "
            "was held out and found. Under a recommended item stands the bought one that "
            "adds most to its score, or is most like it to the model."
        )
    ]
    for user in sampled_users(facts):
        user_id = facts.run.user_ids[user]
        bought = facts.run.seen_items(user, Split.TRAIN)
        held_out = set(facts.ranks.item_ids[facts.ranks.user_ids == user].tolist())
        seen = facts.run.seen_items(user, Split.TRAIN, Split.VALIDATION, Split.WITHHELD)
        scores = facts.run.factors.scores(np.array([user]))[0].copy()
        scores[[item for item in seen if item not in held_out]] = -np.inf
        best = np.argsort(-scores, kind="stable")[:SHOWN]
        tiles = item_tiles(facts, best, [_why(facts, user, bought, int(item)) for item in best])
        tiles = [
            type(tile)(tile.uri, [*tile.lines, *["held out, found"] * (item in held_out)], item in held_out)
            for tile, item in zip(tiles, best.tolist(), strict=True)
        ]
        blocks += [
            Heading(f"User {shortened(user_id, _LONGEST)}, {len(bought)} training action{'s' * (len(bought) != 1)}"),
            Gallery("bought", item_tiles(facts, bought[-SHOWN:])),
            Gallery("recommended", tiles),
        ]
    return blocks


def _why(facts: Facts, user: int, bought: npt.NDArray[np.int32], item: int) -> list[str]:
    """The bought item that adds most to an item's score; else that whose embedding is nearest by its cosine."""
    run = facts.run
    if run.model_class.has_item_weights or not len(bought):
        return []
    if run.model_class.uses_images and (sources := score_sources(run, user, run.visual_item_embeddings[item])):
        return [f"{shortened(sources[0].item_id, _LONGEST)} adds {sources[0].contribution:+.2f}"]
    vectors = facts.run.factors.item_embeddings
    norms = np.linalg.norm(vectors[bought], axis=1) * np.linalg.norm(vectors[item])
    if not (norms > 0).any():
        return []
    cosines = (vectors[bought] @ vectors[item]) / np.maximum(norms, 1e-12)
    name = facts.run.items.item_ids[int(bought[int(cosines.argmax())])]
    return [f"like {shortened(name, _LONGEST)} ({cosines.max():.2f})"]
