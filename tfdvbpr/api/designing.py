"""From two runs to new pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfdvbpr.run import GanRun, Run


def make_designs(
    run: Run | Path | str,
    gan_run: GanRun | Path | str,
    user_ids: Sequence[str],
    categories: Sequence[str],
    *,
    seeds: Sequence[int] | None = None,
    options: Any = None,
) -> Any:
    """New pictures for users; see `design.studio.Designer.design`.

    Args:
        run: a DVBPR run or its folder.
        gan_run: a GAN run or its folder.
        user_ids: as in the interactions.
        categories: one a user.
        seeds: one a user; 0 for each when left out.
        options: a `DesignOptions`.

    Raises:
        UnknownIdError: if a run does not know a user or a category.
    """
    from tfdvbpr.design.studio import Designer

    opened = run if isinstance(run, Run) else Run.open(run)
    opened_gan = gan_run if isinstance(gan_run, GanRun) else GanRun.open(gan_run)
    designer = Designer(opened, opened_gan, options=options)
    return designer.design(user_ids, categories, seeds=list(seeds or [0] * len(user_ids)))
