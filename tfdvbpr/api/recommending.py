"""New items for a run, and explanations of its scores: `update_items` and `explain`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tfdvbpr.api.opening import opened_run
from tfdvbpr.files import IfExists
from tfdvbpr.run import Run

if TYPE_CHECKING:
    from tfdvbpr.run.explanation import Explanation


def update_items(
    run: Run | Path | str,
    new_items: Path | str,
    output: Path | str,
    *,
    dataset: Path | str | None = None,
    if_exists: IfExists = "error",
    progress: Callable[[int, int], None] | None = None,
) -> Run:
    """Adds new items to a run's catalogue, without training; see `tfdvbpr.run.new_items`.

    Args:
        run: a run or its folder, of a model that embeds items by their images.
        new_items: a folder with items.csv or .parquet and images.
        output: the run folder to make; the larger dataset goes into it.
        dataset: where the run's dataset is now, if it has been moved.
        if_exists: whether to replace a folder that is already there.
        progress: called with (images read, in all).

    Raises:
        RunError: if the model cannot embed an item by its image.
        SourceError: if no new item can be used.
        OutputExistsError: if `output` holds something already.
    """
    from tfdvbpr.run.new_items import update_items as update

    where = None if dataset is None else Path(dataset)
    return update(opened_run(run), Path(new_items), Path(output), dataset=where, if_exists=if_exists, progress=progress)


def explain(
    run: Run | Path | str,
    user_id: str,
    item_ids: Sequence[str],
    *,
    output: Path | str | None = None,
    baseline: str = "white",
    steps: int = 64,
    dataset: Path | str | None = None,
) -> list[Explanation]:
    """Explains items' scores for a user by their pixels and by the user's liked items.

    Integrated gradients, Sundararajan et al. 2017; see `tfdvbpr.run.explanation`.

    Args:
        run: a dvbpr, hybrid-dvbpr or siamese run or its folder.
        user_id: as in the interactions.
        item_ids: what to explain.
        output: a PNG of the heat maps; left out, none is written.
        baseline: "white" or "blurred": the image without information.
        steps: gradients per image.
        dataset: where the run's dataset is now, if it has been moved.

    Raises:
        RunError: if the model does not learn from pixels.
        UnknownIdError: if the run does not know the user or an item.
    """
    from tfdvbpr.run import explanation

    opened = opened_run(run)
    explanation.check_explained(opened)
    images = opened.open_dataset(None if dataset is None else Path(dataset))
    explanations = explanation.explain(opened, user_id, item_ids, dataset=images, baseline=baseline, steps=steps)
    if output is not None:
        visual = opened.factors.user_embeddings.shape[1] > opened.config.embedding_dim
        title = f"The score{', its visual part,' if visual else ''} of user {user_id}"
        explanation.write_explanations(Path(output), explanations, dataset=images, title=title, baseline=baseline)
    return explanations
