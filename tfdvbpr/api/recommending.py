"""New items for a run, and reasons for its scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfdvbpr.run import Run


def update_items(
    run: Run | Path | str,
    new_items: Path | str,
    output: Path | str,
    *,
    output_dataset: Path | str | None = None,
    dataset: Path | str | None = None,
    **options: Any,
) -> Run:
    """A run with new items in its catalogue, without training; see `recommending.new_items.update_items`.

    Args:
        run: a run or its folder, of a model that knows an item by its picture.
        new_items: a folder with items.csv or .parquet and pictures.
        output: the run folder to make.
        output_dataset: where the larger dataset goes; left out, into `output`.
        dataset: where the run's dataset lies now, if it has been moved.
        **options: `max_pixels`, `if_exists` and `progress`, as of `prepare`.

    Raises:
        RunError: if the model cannot know an item by its picture.
        SourceError: if no new item can be used.
        OutputExistsError: if `output` or `output_dataset` holds something already.
    """
    from tfdvbpr.run.new_items import update_items as update

    opened = run if isinstance(run, Run) else Run.open(run)
    larger, where = (None if place is None else Path(place) for place in (output_dataset, dataset))
    return update(opened, Path(new_items), Path(output), output_dataset=larger, dataset=where, **options)


def explain(
    run: Run | Path | str,
    user_id: str,
    item_ids: Sequence[str],
    *,
    output: Path | str | None = None,
    baseline: str = "white",
    steps: int = 64,
    dataset: Path | str | None = None,
) -> Any:
    """Where items' scores for a user come from: a list of `recommending.explain.Explanation`.

    Args:
        run: a dvbpr, hybrid-dvbpr or siamese run or its folder.
        user_id: as in the interactions.
        item_ids: what to explain.
        output: a PNG to draw it in.
        baseline: "white" or "blurred": the picture that stands for no information.
        steps: gradients a picture.
        dataset: where the run's dataset lies now, if it has been moved.

    Raises:
        RunError: if the model does not learn from pixels.
        UnknownIdError: if the run does not know the user or an item.
    """
    from tfdvbpr.run.explain import check_explained
    from tfdvbpr.run.explain import explain as explained

    opened = run if isinstance(run, Run) else Run.open(run)
    check_explained(opened)
    pictures = opened.open_dataset(None if dataset is None else Path(dataset))
    explanations = explained(opened, user_id, item_ids, dataset=pictures, baseline=baseline, steps=steps)
    if output is not None:
        from tfdvbpr.run.figures import write_explanations

        part = ", its visual part" if opened.recommender.item_tables else ""
        title = f"The score for user {user_id}{part}: where it comes from"
        write_explanations(Path(output), explanations, dataset=pictures, title=title, baseline=baseline)
    return explanations
