"""One worker of a multi-worker training (TF_CONFIG): argv is the dataset, a folder of its own, and a shared folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.modules["sklearn"] = None  # type: ignore[assignment]  # Keras imports it where it is there: a second

from tiny_cnn import tiny_cnn  # noqa: E402

from tfdvbpr.data.dataset import PreparedDataset  # noqa: E402
from tfdvbpr.models import backbones  # noqa: E402
from tfdvbpr.models.recommenders import recommender_config  # noqa: E402
from tfdvbpr.training.distributed.strategy import is_chief, make_strategy  # noqa: E402

strategy = make_strategy()

from tfdvbpr.evaluation.ranking.evaluate import validation_metrics  # noqa: E402
from tfdvbpr.training.recommender.train import train_recommender  # noqa: E402

backbones.BACKBONES = {"small_cnn": tiny_cnn}  # type: ignore[assignment]
VALUES: dict[str, Any] = {"epochs": 2, "embedding_dim": 4, "global_batch_size": 8, "evaluate_every": 1}


def main(dataset_path: Path, own: Path, shared: Path) -> None:
    dataset = PreparedDataset.open(dataset_path)
    written: list[str] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename":
            written.append(str(arguments[1]))

    sys.addaudithook(watch)
    for model, output, values in (
        ("dvbpr", own, {"dropout": 0.0, "backbone_l2": 0.0}),
        ("bpr-mf", shared, {}),
    ):
        train_recommender(
            dataset,
            recommender_config(model, **VALUES, **values),
            output,
            strategy=strategy,
            validate=validation_metrics,
        )
    print(f"replicas {strategy.num_replicas_in_sync} chief {is_chief(strategy)}", end=" ")
    print(f"wrote own {str(own) in written} shared {str(shared) in written}")


main(*map(Path, sys.argv[1:]))
