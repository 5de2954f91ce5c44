"""Every command on a catalogue whose ids and categories are markup, escape sequences, formulas and mathematics."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest
from tiny_data import BLUE, RED, Command, encoded, noisy_picture

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.run import Run

CLEAR = "\x1b[2J\x1b]0;owned\x07"
CATEGORIES = ("[/]", f"{CLEAR}<script>alert(1)</script>|$x^$")
IDS = ("=1+1", CLEAR, "[/]", "<img src=x onerror=y>", "a\nWarning: b", "\u202ecba", "$\\frac$", "@SUM(A1)|[a](b)")
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


def _id(kind: str, number: int) -> str:
    """The first eight are as hostile as they stand."""
    return IDS[number] if number < len(IDS) else f"{kind}{number}{IDS[number % len(IDS)]}"


def _write_source(folder: Path) -> Path:
    """Items in two colours and two categories; users act on items of their colour. Parquet holds any text."""
    (folder / "images").mkdir(parents=True)
    items, actions = [], []
    for item in range(16):
        (folder / "images" / f"{item}.jpg").write_bytes(
            encoded(noisy_picture((RED, BLUE)[item % 2], (32, 32), item if item < 14 else 0))
        )
        items.append((_id("i", item), CATEGORIES[item // 2 % 2], f"images/{item}.jpg"))
    items.append((CLEAR + "missing", CATEGORIES[0], f"{CLEAR}.jpg"))
    for user in range(8):
        held_out = {user: "test", user + 8: "validation"}
        actions += [(_id("u", user), _id("i", item), held_out.get(item, "train")) for item in range(user % 2, 16, 2)]
    actions.append(("=1+1", "=2+2", "train"))
    pl.DataFrame(items, schema=["item_id", "category", "image"], orient="row").write_parquet(folder / "items.parquet")
    table = pl.DataFrame(actions, schema=["user_id", "item_id", "split"], orient="row")
    table.write_parquet(folder / "interactions.parquet")
    return folder


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose name is hostile too, for what the commands make."""
    folder = tmp_path_factory.mktemp("shop") / "[s]hop*"
    _write_source(folder / "[bold]<b>=1 [a](b)\x1b[2J")
    return folder


@pytest.fixture
def good(command: Command) -> Command:
    """A command that must succeed, and print nothing but text."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code, shown, complaint = command(*arguments)
        assert code == 0, complaint
        assert not _UNSAFE.search(shown + complaint)
        return code, shown, complaint

    return run


def _check_texts(folder: Path) -> None:
    paths = [path for path in folder.rglob("*") if path.suffix in (".csv", ".md", ".html", ".tsv")]
    assert paths
    for path in paths:
        name, text = path.name, path.read_text(encoding="utf-8")
        assert not _UNSAFE.search(text), name
        if name.endswith((".md", ".html")):
            assert not re.search(r"<(script|img|b)\b", text), name
            assert not re.search(r"(?<!\\)\[a(?<!\\)\]\(b\)", text), name
        if name.endswith(".csv"):
            cells = pl.read_csv(path, infer_schema=False, glob=False)
            for column in cells:
                assert not column.str.contains(r"^\s*[=@]").any(), (name, column.name)


def test_from_source_to_reports(good: Command, command: Command, shop: Path) -> None:
    """In one test, for each command needs what the one before made."""
    dataset, run, gan = shop / "dataset", shop / "run", shop / "gan"
    (source,) = shop.iterdir()
    prepare = ("prepare", source, "--output", dataset, "--image-size", "32x32")
    code, _, complaint = command(*prepare)
    assert code == 2
    assert "more than --max-loss 5%" in complaint
    good(*prepare, "--max-loss", "10%")
    _check_texts(dataset)
    assert IDS[1] in PreparedDataset.open(dataset).items.item_ids, "ids are stored as they are"
    assert "'=1+1,=2+2" in (dataset / "quarantine.csv").read_text()

    _, shown, _ = good("describe", dataset, "--output", shop / "description", "--verify")
    assert "[/]" in shown
    assert r"\x1b[2J" in shown
    assert "32x32, pad" in shown
    assert "Every file agrees with the manifest." in shown

    small = ("--set", "epochs=1", "--set", "embedding_dim=4", "--set", "global_batch_size=16")
    tensorboard = ("--tensorboard", shop / "board")
    good("train", dataset, "--model", "dvbpr", "--output", run, *small, *tensorboard)
    assert Run.open(run).config.embedding_dim == 4
    _check_texts(shop / "board")
    good("train", dataset, "--model", "popularity", "--output", shop / "popularity")
    good("evaluate", run, shop / "popularity")
    good("evaluate", run, "--output", shop / "metrics.json")
    figures = json.loads((shop / "metrics.json").read_text())
    assert set(figures) >= {"model", "dataset", "split", "num_users", "auc", "recall@10", "ndcg@10", "mrr"}
    assert set(figures["auc"]) == {"all", "cold", "warm"}
    assert pl.read_parquet(run / "per_user-test.parquet", glob=False).height == figures["num_users"]
    chosen = ("--metric", "auc", "--metric", "mrr")
    good("compare", run, shop / "popularity", *chosen, "--output", shop / "compared")
    _check_texts(shop / "compared")
    assert "dvbpr" in (shop / "compared" / "comparison.md").read_text()

    for category in CATEGORIES:
        request = ("--user", IDS[1], "--category", category, "--include-seen", "--output", shop / "grid.png")
        _, shown, _ = good("recommend", run, *request)
        assert r"For user \x1b[2J" in shown
    good("recommend", run, *(f"--liked={item}" for item in IDS), "--output", shop / "grid.png")
    code, _, complaint = command("recommend", run, "--user", CLEAR + "unknown")
    assert code == 2
    assert not _UNSAFE.search(complaint)
    assert len(complaint.splitlines()) == 1

    items = [each for item in IDS for each in ("--item", item)]
    _, shown, _ = good("explain", run, "--user", IDS[6], *items, "--output", shop / "why.png")
    assert len([line for line in shown.splitlines() if ": score" in line]) == len(IDS)

    narrow = [f"--set={each}" for each in ("epochs=1", "latent_dim=4", "base_channels=4", "discriminator_channels=4")]
    good("train-gan", dataset, "--preset", "plain", "--output", gan, *narrow, "--set=global_batch_size=8")
    assert (gan / "samples.png").is_file()
    fast = ("--set", "num_steps=2", "--set", "num_starts=2")
    for number, (category, count) in enumerate(zip(CATEGORIES, (("--count", 1), ()), strict=True)):
        output = ("--output", shop / f"designs-{number}")
        good("design", run, "--gan", gan, "--user", IDS[1], "--category", category, *fast, *count, *output)
    names = {path.name for path in (shop / "designs-1").iterdir()}
    assert names >= {"grid.png", "ascent.gif", "designs.json", "design_01.png", "design_02.png"}
    good("generate", gan, "--count", 1, "--output", shop / "samples")


def test_a_model_card_carries_no_html(shop: Path) -> None:
    from tfdvbpr_export.saved_model import model_card, run_facts

    run = Run.open(shop / "run")
    manifest = run.manifest.model_copy(update={"dataset": "<script>x</script>|[a](b)", "created": CLEAR})
    about = {
        "served_as": "recommender",
        "created": "2026",
        "library_version": "1",
        "tensorflow_version": "2",
        "run": run_facts(manifest),
        "num_users": 1,
        "num_items": 1,
        "categories": CATEGORIES,
        "metrics": {"<b>": {"[a](b)": "<img>"}},
        "signatures": {},
        "options": {"max_k": 1},
    }
    card = model_card(about)
    assert not _UNSAFE.search(card)
    assert not re.search(r"<(script|img|b)\b|(?<!\\)\[a", card)
    assert r"&lt;script>x&lt;/script>\|\[a\](b)" in card


def test_an_experiment_on_a_hostile_name(good: Command, shop: Path) -> None:
    plan = shop / "plan.yaml"
    plan.write_text(f"dataset: {shop / 'dataset'}\nseeds: [0]\nmodels: [{{name: a_b, model: popularity}}]\n")
    good("experiment", plan, "--output", shop / "experiment")
    _check_texts(shop / "experiment")
    assert "# Experiment on [" not in (shop / "experiment" / "report.md").read_text()
