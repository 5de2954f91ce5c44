"""A newcomer's first hour: the README's commands, word for word, on a folder of 300 photos and two tables.

`python tests/benchmarks/first_hour.py WORK [--photos FOLDER] [--install]` makes WORK/shop, runs the commands of the
README's section "Your own shop" in WORK one after another, and prints how long each took. FOLDER holds items.csv and
images/, of which 300 are taken, stratified by category; without it garments are rendered. The columns of the tables are
separated by semicolons, and the shoppers are simulated, in either case. `pip install` is left out unless --install is
given.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from tfdvbpr.data.synthetic.source import SyntheticImporter, gumbel_top_k, log_uniform_counts, write_synthetic

README = Path(__file__).parents[2] / "README.md"
HEADING = "## Your own shop"
_NUM_ITEMS, _NUM_USERS, _ACTIONS = 300, 400, (6, 30)


def readme_commands() -> list[str]:
    """The indented lines of the section, in their order."""
    section = README.read_text(encoding="utf-8").split(f"\n{HEADING}\n")[1].split("\n## ")[0]
    return re.findall(r"^ {4}((?:pip|tfdvbpr)\S* .*)$", section, flags=re.MULTILINE)


def make_shop(folder: Path, photos: Path | None, *, separator: str = ";", seed: int = 0) -> None:
    """Writes items.csv, interactions.csv and images/."""
    if photos is None:
        photos = folder.with_name("garments")
        write_synthetic(photos, SyntheticImporter(num_items=_NUM_ITEMS, image_size=128, seed=seed))
    random = np.random.default_rng(seed)
    table = pl.read_csv(photos / "items.csv", infer_schema=False)
    table = table.with_columns(pl.col("category").str.replace("^(Men|Women)'s ", "").str.to_lowercase())
    table = table.with_columns(pl.col("category").replace({"t-shirt": "tops", "sweater": "tops"}))
    order = table.with_columns(pl.Series("_random", random.random(table.height))).sort("category", "_random")
    rows = np.linspace(0, table.height, _NUM_ITEMS, endpoint=False).astype(int)
    items = order[rows].drop("_random").sort("item_id")
    (folder / "images").mkdir(parents=True)
    for image in items["image"]:
        shutil.copy(photos / image, folder / image)
    items.write_csv(folder / "items.csv", separator=separator)
    simulated_clicks(folder, items, random).write_csv(folder / "interactions.csv", separator=separator)


def simulated_clicks(folder: Path, items: pl.DataFrame, random: np.random.Generator) -> pl.DataFrame:
    """user_id and item_id of shoppers who each prefer some categories and some mean colours of the photos."""
    pixels = [np.asarray(Image.open(folder / image).convert("RGB").resize((24, 32))) for image in items["image"]]
    flat = np.stack(pixels).reshape(len(pixels), -1, 3) / 255.0
    ink = (flat.min(axis=2) < 0.85)[..., None]  # not the white ground
    colours = (flat * ink).sum(axis=1) / np.maximum(ink.sum(axis=1), 1)
    colours = (colours - colours.mean(axis=0)) / colours.std(axis=0)  # [N, 3]
    names = sorted(set(items["category"]))
    categories = np.array([names.index(name) for name in items["category"]])
    liked_categories = random.normal(0, 1.2, (_NUM_USERS, len(names)))
    liked_colours = random.normal(0, 1.0, (_NUM_USERS, 3))
    logits = liked_categories[:, categories] + liked_colours @ colours.T + random.normal(0, 0.5, len(categories))
    users, chosen = gumbel_top_k(random, logits, log_uniform_counts(random, _NUM_USERS, *_ACTIONS))
    ids = items["item_id"].to_list()
    return pl.DataFrame({"user_id": [f"u{user}" for user in users], "item_id": [ids[item] for item in chosen]})


def main() -> None:
    """Runs the commands, and ends with the exit code of the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--separator", default=";", help="of the columns of both tables")
    parser.add_argument("--install", action="store_true")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True)
    make_shop(arguments.work / "shop", arguments.photos, separator=arguments.separator)
    total = 0.0
    for command in readme_commands():
        if command.startswith("pip ") and not arguments.install:
            continue
        print(f"\n$ {command}", flush=True)
        began = time.perf_counter()
        done = subprocess.run(command, shell=True, cwd=arguments.work, check=False)
        seconds = time.perf_counter() - began
        total += seconds
        print(f"[{seconds:.0f} s, exit code {done.returncode}]", flush=True)
        if done.returncode:
            sys.exit(done.returncode)
    print(f"\nAll commands: {total:.0f} s")


if __name__ == "__main__":
    main()
