"""Samples of a GAN, and designs for sample users, each beside the nearest real item."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.interactions import Split
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.nearest_items import RealItems
from tfdvbpr.designing.options import DesignOptions
from tfdvbpr.designing.sample import sample_images, shown_images
from tfdvbpr.reporting.blocks import Block, Gallery, Heading, Paragraph, Tile
from tfdvbpr.reporting.facts import Facts, category_of
from tfdvbpr.reporting.html import png_uri
from tfdvbpr.reporting.tiles import item_tiles
from tfdvbpr.reporting.users import sampled_users
from tfdvbpr.text import shortened

_CATEGORIES, _SAMPLES, _DESIGNS, _USERS = 4, 6, 3, 3
_OPTIONS = DesignOptions(num_starts=8)
_LONGEST = 40


def designs(facts: Facts) -> list[Block]:
    """Random images of the largest categories, and designs for sample users where the run learns from pixels."""
    gan = facts.gan
    if gan is None:
        return []
    names = facts.run.items.table["category"].to_list()
    largest = sorted(gan.trained_categories, key=lambda name: (-names.count(name), name))[:_CATEGORIES]
    blocks: list[Block] = [
        Paragraph(
            "Images that the GAN generates at random, a category a row; below each the distance to the nearest real "
            "item, over the usual distance between two neighbours of the category: 0 is a copy, 1 as new as real items "
            "are among themselves."
        )
    ]
    for category in largest:
        images = sample_images(gan, [category] * _SAMPLES, seeds=range(_SAMPLES))
        shown = shown_images(gan, images, [category] * _SAMPLES)
        near = RealItems(facts.dataset, category).nearest(images, k=1)
        tiles = [
            Tile(png_uri(image), [f"{novelty:.2f} to {shortened(ids[0], _LONGEST)}"])
            for image, novelty, ids in zip(shown, near.novelties, near.item_ids, strict=True)
        ]
        blocks.append(Gallery(category, tiles))
    if facts.run.model_class.uses_images and facts.run.model_class.has_weights:
        blocks += _for_users(facts)
    return blocks


def _for_users(facts: Facts) -> list[Block]:
    assert facts.gan is not None
    designer = Designer(facts.run, facts.gan, options=_OPTIONS)
    blocks: list[Block] = [
        Paragraph(
            "Designs for sample users: gradient ascent on the GAN's latents toward the user's preference, in the "
            "category that the user bought most. Beside each stands the nearest real item of the category."
        )
    ]
    for user in sampled_users(facts)[-_USERS:]:
        category = category_of(facts.run, facts.run.seen_items(user, Split.TRAIN), facts.gan.trained_categories)
        if category is None:
            continue
        user_id = facts.run.user_ids[user]
        found = designer.design([user_id], [category], seeds=[0], num_designs=_DESIGNS)
        near = RealItems(facts.dataset, category).nearest(found.images[0], k=1)
        items: npt.NDArray[np.int32] = near.items[:, 0]
        real = item_tiles(facts, items)
        shown = shown_images(facts.gan, found.images[0], [category] * len(found.images[0]))
        gains = found.preferences[0] - found.initial_preferences[0]
        made = [
            Tile(png_uri(image), [f"design, preference {preference:+.2f}", f"{gain:+.2f} since its start"], marked=True)
            for image, preference, gain in zip(shown, found.preferences[0], gains, strict=True)
        ]
        paired = [tile for pair in zip(made, real, strict=True) for tile in pair]
        blocks += [Heading(f"User {shortened(user_id, _LONGEST)}"), Gallery(category, paired)]
    return blocks
