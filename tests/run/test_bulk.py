"""`tfdvbpr recommend --users`: one file for many users, the same as one user at a time, also after an interruption."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tiny_data import Command, RunOf

from tfdvbpr import api
from tfdvbpr.errors import ConfigError, OutputExistsError, SourceError, UnknownIdError
from tfdvbpr.run import Run, bulk


@pytest.fixture
def shop(tiny_run: Run, tmp_path: Path) -> Run:
    """A copy whose items have a price and a stock, and ids that a spreadsheet would compute."""
    folder = Path(shutil.copytree(tiny_run.path, tmp_path / "shop"))
    table = pl.read_parquet(folder / "items.parquet")
    rows = range(table.height)
    table = table.with_columns(
        price=pl.Series([str(10 * row) for row in rows]), in_stock=pl.Series(["yes", "no"] * (table.height // 2))
    )
    table.with_columns(item_id=pl.lit("=") + pl.col("item_id")).write_parquet(folder / "items.parquet")
    return Run.open(folder)


def _expected(run: Run, user: str, **options: Any) -> list[str]:
    return [each.item_id for each in run.recommend(user, **options)]


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_the_file_holds_each_users_list(shop: Run, tmp_path: Path, ending: str) -> None:
    output = tmp_path / f"mail.{ending}"
    options: dict[str, Any] = {"k": 5, "where": "price < 120 and in_stock", "category": "shirt"}
    result = api.recommend(shop, output, **options)
    assert (result.num_users, result.num_items, result.num_resumed) == (8, 3, 0)
    wanted = {user: _expected(shop, user, **options) for user in shop.user_ids}
    assert result.num_empty == sum(not items for items in wanted.values()) > 0
    if ending == "jsonl":
        lines = [json.loads(line) for line in output.read_text().splitlines()]
        found = {line["user_id"]: line["item_ids"] for line in lines}
        assert all(len(line["scores"]) == len(line["item_ids"]) for line in lines)
    else:
        table = pl.read_parquet(output) if ending == "parquet" else pl.read_csv(output)
        assert table.columns == ["user_id", "rank", "item_id", "score"]
        if ending == "csv":
            assert table["item_id"].str.starts_with("'=").all()
            table = table.with_columns(pl.col("item_id").str.strip_prefix("'"))
        found = {user: table.filter(user_id=user)["item_id"].to_list() for user in shop.user_ids}
        assert table.filter(user_id="u1")["rank"].to_list() == list(range(1, len(found["u1"]) + 1))
        score = shop.recommend("u1", **options)[0].score
        assert table.filter(user_id="u1", rank=1)["score"].item() == pytest.approx(score, abs=1e-5)
    assert found == wanted
    assert sorted(path.name for path in tmp_path.iterdir()) == [output.name, "shop"]


@pytest.mark.parametrize("name", ["popularity", "ease"])
def test_other_kinds_of_factors(run_of: RunOf, tmp_path: Path, name: str) -> None:
    run = run_of(name)
    api.recommend(run, tmp_path / "mail.jsonl", k=4, where="category == 'shoe'", exclude_items=["i2"])
    for line in map(json.loads, (tmp_path / "mail.jsonl").read_text().splitlines()):
        options: dict[str, Any] = {"k": 4, "where": "category == 'shoe'", "exclude_items": ["i2"]}
        assert line["item_ids"] == _expected(run, line["user_id"], **options)


def test_an_interrupted_call_goes_on(tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "_PART_ENTRIES", 6)  # three users a part
    output = tmp_path / "mail.csv"

    def stop(done: int, _: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        api.recommend(tiny_run, output, k=2, progress=stop)
    assert not output.exists()
    calls: list[int] = []
    result = api.recommend(tiny_run, output, k=2, progress=lambda done, _: calls.append(done))
    assert (result.num_resumed, calls) == (6, [3, 6, 8])
    whole = tmp_path / "whole.csv"
    api.recommend(tiny_run, whole, k=2)
    assert output.read_bytes() == whole.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        api.recommend(tiny_run, output, k=2, progress=stop, if_exists="overwrite")
    assert api.recommend(tiny_run, output, k=3, if_exists="overwrite").num_resumed == 0  # other arguments


def test_files_of_ids(command: Command, tiny_run: Run, tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("user_id,name\nu3,x\nnobody,y\nu1,z\nu3,x\nbroken\n")
    pl.DataFrame({"item_id": ["i1", "=cmd"]}).write_parquet(tmp_path / "sold.parquet")
    arguments = ("--users", tmp_path / "users.csv", "--exclude", tmp_path / "sold.parquet", "--include-seen")
    code, shown, _ = command("recommend", tiny_run.path, *arguments, "--output", tmp_path / "mail.parquet", "--k", 3)
    assert code == 0
    assert "up to 3 of 15 items to 2 users" in shown
    assert "mail.parquet.left_out.csv" in shown
    table = pl.read_parquet(tmp_path / "mail.parquet")
    for user in ("u1", "u3"):
        wanted = _expected(tiny_run, user, k=3, exclude_seen=False, exclude_items=["i1"])
        assert table.filter(user_id=user)["item_id"].to_list() == wanted
    left_out = pl.read_csv(tmp_path / "mail.parquet.left_out.csv")
    assert left_out["value"].to_list() == ["broken", "nobody", "'=cmd"]
    assert "unknown user_id" in left_out["reason"].to_list()


def test_one_sentence_for_what_is_wrong(command: Command, tiny_run: Run, tmp_path: Path) -> None:
    output = tmp_path / "mail.csv"
    for error, sentence, options in (
        (ConfigError, "must end in .parquet, .csv, .jsonl", {"output": tmp_path / "mail.xlsx"}),
        (ConfigError, "must be in 1..10,000", {"k": 10_001}),
        (ConfigError, "name columns of the items", {"where": "price < 3"}),
        (UnknownIdError, "`user` must be one of", {"users": ["u1", "nobody"]}),
        (SourceError, "There is no", {"users": tmp_path / "none.csv"}),
        (OutputExistsError, "must be a new file", {"output": tiny_run.path.with_suffix(".csv")}),
    ):
        arguments: dict[str, Any] = {"output": output, **options}
        if error is OutputExistsError:
            arguments["output"].write_text("mine")
        with pytest.raises(error, match=sentence):
            api.recommend(tiny_run, **arguments)
        assert not output.exists()
    code, _, complaint = command("recommend", tiny_run.path, "--users", "all")
    assert code == 2
    assert "--users needs --output" in complaint
