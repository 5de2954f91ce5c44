from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def small_classifier() -> Iterator[None]:
    """The networks of the evaluation and the requests for designs are made from few photos in few steps."""
    from tfdvbpr.evaluation.designs import evaluate_designs
    from tfdvbpr.evaluation.generative import category_classifier, scratch_network

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(category_classifier, "MIN_PHOTOS", 4)
        patch.setattr(category_classifier, "HELD_OUT", 0.25)
        patch.setattr(category_classifier, "EPOCHS", 2)
        patch.setattr(scratch_network, "EPOCHS", 2)
        patch.setattr(evaluate_designs, "MIN_ITEMS", 4)
        yield
