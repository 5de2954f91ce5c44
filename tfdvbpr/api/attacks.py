"""From a run to its weak side: photos changed against it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tfdvbpr.api.data import opened_dataset
from tfdvbpr.api.evaluation import Progress
from tfdvbpr.api.training import opened_run
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.files import IfExists, check_output, whole_directory
from tfdvbpr.run import Run

if TYPE_CHECKING:
    from tfdvbpr.evaluation.attacks.attack import AttackEvaluation, AttackOptions


def attack(
    run: Run | Path | str,
    output: Path | str | None = None,
    *,
    item_ids: Sequence[str] = (),
    sample: int = 32,
    category: str | None = None,
    options: AttackOptions | None = None,
    second_run: Run | Path | str | None = None,
    dataset: PreparedDataset | Path | str | None = None,
    if_exists: IfExists = "error",
    progress: Progress = lambda done, total: None,
) -> AttackEvaluation:
    """Attacks a recommender by its own gradients: photos changed imperceptibly so that their items are recommended.

    It measures how far a seller could push an item by an imperceptible change of its photo, and what two defences leave
    of it. Exposure is measured over users: the mean rank of an item, and the share of users in whose first k items it
    is; before, with random noise of the same size, and after.

    Args:
        run: a recommender that learns from pixels, or its folder.
        output: a folder for attack.json, items.csv, attack.png and the photos; left out, nothing is written.
        item_ids: the items to attack.
        sample: instead, so many random items.
        category: of the random items; left out, any.
        options: attack, goal, ε, users, seed.
        second_run: another recommender of the same dataset, under which the same photos are ranked too.
        dataset: the run's, if it has been moved.
        if_exists: "error", or "overwrite" to replace what `output` holds.
        progress: called with (done, total).

    Raises:
        UnknownIdError: if the run does not know an item or the category.
        ConfigError: if an option is wrong, or there is nothing to attack.
        RunError: if a run does not learn from pixels, or the second is of another dataset.
        OutputExistsError: if `output` holds something already.

    Example:
        >>> found = attack("runs/dvbpr", "attacked", sample=100)  # doctest: +SKIP
        >>> found.exposures["attacked run", "as is", "attacked"].hit_rate.mean()  # doctest: +SKIP
    """
    from tfdvbpr.evaluation.attacks.attack import AttackOptions, attack_items, sampled_items, write_attack

    if output is not None:
        check_output(Path(output), if_exists=if_exists)
    opened = opened_run(run)
    options = options or AttackOptions()
    items = opened.items.indices(item_ids) if item_ids else sampled_items(opened, sample, category, options.seed)
    evaluation = attack_items(
        opened,
        opened.open_dataset() if dataset is None else opened_dataset(dataset),
        items,
        options=options,
        second_run=None if second_run is None else opened_run(second_run),
        progress=progress,
    )
    if output is not None:
        with whole_directory(Path(output), if_exists=if_exists) as folder:
            write_attack(evaluation, folder)
    return evaluation
