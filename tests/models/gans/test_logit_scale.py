from __future__ import annotations

import numpy as np
import pytest

from tfdvbpr.models.gans.logit_scale import LogitScale


def test_many_images_by_hand() -> None:
    """Photos at 3 ± 1, generated at -2: 0 is -2 and 1 is 3. Where D cannot tell, the photos' deviation is the unit."""
    real = np.array([2.0, 4.0] * 4000 + [5.0, 7.0] * 4000, np.float32)
    fake = np.array([-2.0] * 8000 + [6.0] * 8000, np.float32)
    ids = np.repeat([0, 1], 8000).astype(np.int32)
    scale = LogitScale.fitted(real, ids, fake, ids, num_categories=2)
    answers = scale.calibrated(np.array([-2.0, 3.0, 6.0, 5.0, 7.0], np.float32), np.array([0, 0, 1, 1, 1]))
    np.testing.assert_allclose(answers, [0.0, 1.0, 1.0, 0.0, 2.0], atol=0.01)


def test_a_category_without_images_has_the_scale_of_all() -> None:
    random = np.random.default_rng(0)
    real, fake = random.normal(1.0, 0.5, 400).astype(np.float32), random.normal(-1.0, 0.5, 400).astype(np.float32)
    ids = np.zeros(400, np.int32)
    scale = LogitScale.fitted(real, ids, fake, ids, num_categories=2)
    assert scale.scales[1] == pytest.approx(real.mean() - fake.mean(), rel=1e-4)
    assert scale.offsets[1] == pytest.approx(fake.mean(), rel=1e-3)


def test_lsgans_own_scale() -> None:
    logits = np.array([0.3, 1.0], np.float32)
    np.testing.assert_array_equal(LogitScale.identity(3).calibrated(logits, np.array([0, 2])), logits)
