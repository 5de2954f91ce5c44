"""Trains on the dataset argv[1], writes the run argv[2], and prints the most memory that was resident, as JSON.

Run in a process of its own. Resident memory is sampled from /proc/self/status every 20 ms: RssAnon is what the process
alone holds, RssFile are pages of files (libraries, maps) that the system may take back, VmRSS is the sum.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from tfdvbpr import api
from tfdvbpr.models.recommenders import recommender_config

KINDS = ("VmRSS", "RssAnon", "RssFile")


def resident() -> dict[str, float]:
    """GiB by kind."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {words[0][:-1]: int(words[1]) / (1 << 20) for words in lines if words and words[0][:-1] in KINDS}


def main(dataset: str, output: str, *overrides: str) -> None:
    most = dict.fromkeys(KINDS, 0.0)
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            for kind, value in resident().items():
                most[kind] = max(most[kind], value)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        api.train(dataset, output, config=recommender_config("dvbpr", overrides=list(overrides)))
    finally:
        done.set()
        watcher.join()
    print(json.dumps(most))


if __name__ == "__main__":
    main(*sys.argv[1:])
