from __future__ import annotations

import pytest

from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.options import DesignOptions
from tfdvbpr.run import GanRun, Run

OPTIONS = DesignOptions(num_candidates=8, num_starts=3, num_steps=6, learning_rate=0.1, realism_weight=1.0)


@pytest.fixture(scope="session")
def designer(tiny_run: Run, tiny_gan_run: GanRun) -> Designer:
    """Three starts of eight candidates, six steps and the paper's η on the tiny runs.

    Without limits, for nearly all images of the tiny GAN are fainter than its photos.
    """
    designer = Designer(tiny_run, tiny_gan_run, options=OPTIONS)
    designer.objective._limits = None
    return designer
