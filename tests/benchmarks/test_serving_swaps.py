"""Ten new versions while requests never stop: no failed response, no wrong one, and memory afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
from serving_bench import HERE, environment, served

SWAPS = 10


def test_ten_swaps_under_load(tmp_path: Path) -> None:
    from serving_toy_models import save_version

    base = tmp_path / "versioned"
    save_version(base / "1", 1)
    with served(str(base), "--poll-seconds", "0.2") as server:
        command = [sys.executable, str(HERE / "serving_swap_client.py"), server.target, str(SWAPS + 1)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as client:
            assert client.stdout
            rss = []
            for line in client.stdout:
                if line.startswith("seen"):
                    version = int(line.split()[1])
                    rss.append(psutil.Process(server.pid).memory_info().rss / 2**20)
                    if version <= SWAPS:
                        save_version(base / str(version + 1), version + 1)
                else:
                    print(line.strip())
        assert client.returncode == 0
    print("RSS in MiB after each version:", [round(value) for value in rss])
    assert len(rss) == SWAPS + 1
    assert rss[-1] < rss[2] * 1.15
