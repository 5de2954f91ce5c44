"""Prints how far a GAN's colours, patterns and cuts are from its garments': `python garment_shares_script.py RUN`.

RUN is the folder of a GAN trained on a synthetic dataset; --dataset names the dataset, if it has been moved.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.evaluation.designs.attribute_shares import attribute_shares, markdown
from tfdvbpr.run import GanRun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--table", type=Path, help="a CSV of every share")
    given = parser.parse_args()
    dataset = None if given.dataset is None else PreparedDataset.open(given.dataset)
    found = attribute_shares(GanRun.open(given.run), dataset=dataset, num_samples=given.samples)
    if given.table is not None:
        found.table.write_csv(given.table)
    print(markdown(found))


if __name__ == "__main__":
    main()
