"""A table of H&M's shape, read in blocks and row by row."""

from __future__ import annotations

import time
from pathlib import Path

from tfdvbpr.data.preparation.columns import Columns
from tfdvbpr.data.preparation.csv_table import read_csv
from tfdvbpr.data.preparation.source import Quarantine

NUM_ROWS = 1_000_000


def test_plain_blocks_are_faster_than_the_csv_module(tmp_path: Path) -> None:
    header = b"t_dat,customer_id,article_id,price,sales_channel_id\n"
    body = b"".join(b"2018-09-20,%064d,%010d,0.0508,2\n" % (row // 23, row * 7919 % 105_542) for row in range(NUM_ROWS))
    (tmp_path / "plain.csv").write_bytes(header + body)
    (tmp_path / "quoted.csv").write_bytes(header.replace(b"t_dat", b'"t_dat"') + body)
    seconds = {}
    columns = Columns(("t_dat", "customer_id", "article_id"), others=False)
    for name in ("plain", "quoted"):
        began = time.process_time()
        table = read_csv(tmp_path / f"{name}.csv", Quarantine(), columns=columns)
        seconds[name] = time.process_time() - began
        assert table.height == NUM_ROWS
    printed = ", ".join(f"{name} {NUM_ROWS / value / 1e6:.2f}" for name, value in seconds.items())
    print(f"million rows a CPU second: {printed}")
    assert seconds["plain"] < 0.7 * seconds["quoted"]
