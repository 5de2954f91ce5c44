from __future__ import annotations

from collections.abc import Iterator

import pytest
from tiny_cnn import tiny_cnn


@pytest.fixture(scope="module")
def small_classifier() -> Iterator[None]:
    """Small networks of the evaluation, from few photos in few steps, as are the requests for designs."""
    from tfdvbpr.evaluation.designs import evaluate_designs
    from tfdvbpr.evaluation.generative import category_classifier, scratch_network

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(category_classifier, "MIN_PHOTOS", 4)
        patch.setattr(category_classifier, "HELD_OUT", 0.25)
        patch.setattr(category_classifier, "EPOCHS", 2)
        patch.setattr(category_classifier, "build_backbone", lambda _, *sizes: tiny_cnn(*sizes))
        patch.setattr(scratch_network, "EPOCHS", 2)
        patch.setattr(scratch_network, "_FILTERS", (8, 16))
        patch.setattr(evaluate_designs, "MIN_ITEMS", 4)
        yield
