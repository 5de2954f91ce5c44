"""Forty shops and more as they come: each ends as expected, and no row is lost unsaid."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from messy_shops import CATEGORIES, NUM_ACTIONS, SHOPS, Shop, day, write_photos
from tiny_data import Command

from tfdvbpr.data.dataset import HEALTH_NAME, PreparedDataset
from tfdvbpr.data.preparation.health import HealthReport
from tfdvbpr.data.preparation.health.evidence import NOT_LOST

# Forms of one shop, whose times are the same.
FORMS = {
    "nothing",
    "Excel's Unicode text",
    "semicolons",
    "zstd",
    "compact dates",
    "American dates",
    "European dates",
    "seconds",
    "milliseconds",
}
NEW_YEAR_1970 = date(1970, 1, 1)


@pytest.mark.parametrize("shop", SHOPS, ids=[shop.oddity for shop in SHOPS])
def test_a_shop_with(shop: Shop, command: Command, tmp_path: Path) -> None:
    folder, output = tmp_path / "shop", tmp_path / "dataset"
    write_photos(folder)
    shop.write(folder)
    code, shown, errors = command("prepare", folder, "--output", output, "--image-size", "16x16", *shop.arguments)
    printed = " ".join((shown + errors).split())
    assert code == shop.code, errors
    assert [text for text in shop.says if text not in printed] == []
    if code:
        assert not output.exists()
        assert len(errors.strip().splitlines()) == 1
        return
    health = HealthReport.read(output / HEALTH_NAME)
    assert (health.items.num_rows, health.interactions.num_rows) == (shop.num_items, shop.num_actions)
    assert (health.items.num_lost, health.interactions.num_lost) == shop.num_lost
    for lost, what in ((health.items, "items"), (health.interactions, "interactions")):
        assert (f"{lost.num_lost} of {lost.num_rows} {what}" in shown) == (lost.num_lost > 0)
    repeated = sum(group.count for group in health.quarantine if group.kind in NOT_LOST)
    dataset = PreparedDataset.open(output)
    rows, kept = shop.num_items + shop.num_actions, dataset.manifest.num_items + dataset.manifest.num_interactions
    assert kept + sum(shop.num_lost) + repeated == rows
    assert dataset.manifest.categories == CATEGORIES
    times = dataset.interactions.timestamps
    assert times is not None
    assert np.isnan(times).sum() == shop.num_unknown_times
    if shop.oddity in FORMS:
        days = [(day(row) - NEW_YEAR_1970).days for row in range(NUM_ACTIONS)]
        assert np.sort(times).tolist() == [86_400.0 * each for each in days]


def test_forty_shops_and_more() -> None:
    oddities = {shop.oddity for shop in SHOPS}
    assert len(oddities) == len(SHOPS) >= 40
    assert oddities >= FORMS
