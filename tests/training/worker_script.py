"""One worker of a multi-worker training (TF_CONFIG): argv is the dataset, the output, and the share of the disk."""

from __future__ import annotations

import sys
from pathlib import Path

from tfdvbpr.config import recommender_config
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.training.strategy import is_chief, make_strategy

strategy = make_strategy()

from tfdvbpr.evaluation.evaluate import validation_figures  # noqa: E402
from tfdvbpr.training.recommender_trainer import train_recommender  # noqa: E402


def main(dataset_path: Path, output: Path) -> None:
    dataset = PreparedDataset.open(dataset_path)
    config = recommender_config(
        "dvbpr", epochs=2, embedding_dim=4, global_batch_size=8, dropout=0.0, backbone_l2=0.0, evaluate_every=1
    )
    run = train_recommender(
        dataset,
        config,
        output,
        strategy=strategy,
        validate=lambda factors: validation_figures(factors, dataset.interactions),
    )
    print(f"replicas {strategy.num_replicas_in_sync} chief {is_chief(strategy)} opened {run.path.name}")


main(Path(sys.argv[1]), Path(sys.argv[2]))
