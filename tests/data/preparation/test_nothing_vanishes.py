"""Whatever stands in a source's rows, preparing it ends well and every row is kept or listed."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_data import RED, encoded, noisy_picture

from tfdvbpr.data.importers import IMPORTERS
from tfdvbpr.data.preparation.options import PrepareOptions
from tfdvbpr.data.preparation.prepare import prepare

PHOTO = encoded(noisy_picture(RED, (16, 16), 0))
ITEM_KINDS = {"duplicate item id", "broken image", "no image"}
ACTION_KINDS = {"unknown item id", "action on a quarantined item", "duplicate action"}
EXAMPLES = settings(max_examples=40, deadline=None, derandomize=True)

any_text = st.text(max_size=12)
# Bytes that are one row of a CSV file whatever they are: no line ends, no quotes.
any_line = st.binary(max_size=20).map(lambda line: line.translate(None, b'\r\n"'))
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def csv_row(*cells: str) -> bytes:
    buffer = io.StringIO()
    quoting = csv.QUOTE_ALL if any("\r" in cell for cell in cells) else csv.QUOTE_MINIMAL
    csv.writer(buffer, lineterminator="\n", quoting=quoting).writerow(cells)
    return buffer.getvalue().encode("utf-8", "surrogatepass").removesuffix(b"\n")


def rows(*cells: st.SearchStrategy[str]) -> st.SearchStrategy[list[bytes]]:
    """Rows of likely and of any cells, rows with too few or too many, and any bytes."""
    likely = st.tuples(*cells)
    ragged = st.lists(any_text, max_size=5)
    return st.lists(st.one_of(likely, likely, ragged).map(lambda row: csv_row(*row)) | any_line, max_size=25)


def carries_a_row(line: bytes) -> bool:
    """Lines of a CSV file that are blank do not."""
    return bool(line.decode("utf-8", "surrogateescape").strip())


def write(path: Path, header: list[bytes], lines: list[bytes]) -> int:
    """Returns how many rows the lines carry."""
    path.write_bytes(b"".join(line + b"\n" for line in [*header, *lines]))
    if path.suffix == ".jsonl":
        return sum(bool(line.strip()) for line in lines)
    return sum(map(carries_a_row, lines))


def check(source_format: str, folder: Path, *, num_items: int, num_actions: int) -> None:
    source = IMPORTERS[source_format]().read(folder)
    malformed = Counter(where.split(".")[0] for where, *_ in source.quarantine.entries)
    items_name, actions_name = source.items_name.split(".")[0], source.interactions_name.split(".")[0]
    assert source.items.height + malformed[items_name] == num_items
    assert source.interactions.height + malformed[actions_name] == num_actions
    assert malformed[items_name] + malformed[actions_name] == len(source.quarantine)
    options = PrepareOptions(image_size=(16, 16), max_loss=1.0, allow=("runaway_cells",))
    about = prepare(source, folder / "dataset", options=options, source_format=source_format).manifest
    assert set(about.quarantine) <= ITEM_KINDS | ACTION_KINDS | {"malformed row"}
    left_out = {
        kinds: sum(about.quarantine.get(kind, 0) for kind in kinds)
        for kinds in map(frozenset, (ITEM_KINDS, ACTION_KINDS))
    }
    assert about.num_items + left_out[frozenset(ITEM_KINDS)] == source.items.height
    assert about.num_interactions + left_out[frozenset(ACTION_KINDS)] == source.interactions.height


ids = st.sampled_from(["i1", "i2", " i2", "i3"]) | any_text
photos = st.sampled_from(["1.jpg", "1.jpg", "2.jpg", "../1.jpg", "gone.jpg", "."]) | any_text


@EXAMPLES
@given(rows(ids, any_text, photos), rows(any_text, ids))
def test_folder(items: list[bytes], actions: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "1.jpg").write_bytes(PHOTO)
        (folder / "2.jpg").write_bytes(PHOTO[:40])
        check(
            "folder",
            folder,
            num_items=write(folder / "items.csv", [b"item_id,category,image"], ["i1,é,1.jpg".encode(), *items]),
            num_actions=write(folder / "interactions.csv", [b"user_id,item_id"], ["é,i1".encode(), *actions]),
        )


articles = st.sampled_from(["0000000001", "1", "2", "0000000003"]) | any_text


@EXAMPLES
@given(rows(articles, any_text), rows(any_text, any_text, articles))
def test_hm(items: list[bytes], actions: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "images" / "000").mkdir(parents=True)
        (folder / "images" / "000" / "0000000001.jpg").write_bytes(PHOTO)
        (folder / "images" / "000" / "0000000002.jpg").write_bytes(PHOTO[:40])
        header = [b"t_dat,customer_id,article_id"]
        check(
            "hm",
            folder,
            num_items=write(folder / "articles.csv", [b"article_id,product_group_name"], ["1,é".encode(), *items]),
            num_actions=write(folder / "transactions_train.csv", header, ["2018-09-20,é,1".encode(), *actions]),
        )


json_ids = st.sampled_from(["B1", "B2", "B3", 4]) | any_json
reviews = st.fixed_dictionaries(
    {}, optional={"user_id": any_text | any_json, "parent_asin": json_ids, "timestamp": any_json}
)
metas = st.fixed_dictionaries(
    {"parent_asin": json_ids},
    optional={"categories": any_json | st.lists(any_text), "images": any_json | st.lists(any_json), "title": any_json},
)
any_json_line = any_line | any_json.map(lambda value: json.dumps(value).encode())


@EXAMPLES
@given(
    st.lists(metas.map(lambda value: json.dumps(value).encode()) | any_json_line, max_size=25),
    st.lists(reviews.map(lambda value: json.dumps(value).encode()) | any_json_line, max_size=25),
)
def test_amazon_reviews_2023(items: list[bytes], actions: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "images").mkdir()
        (folder / "images" / "B1.jpg").write_bytes(PHOTO)
        (folder / "images" / "B2.jpg").write_bytes(PHOTO[:40])
        good_item, good_action = b'{"parent_asin": "B1"}', b'{"parent_asin": "B1", "user_id": "u", "timestamp": 1}'
        check(
            "amazon-reviews-2023",
            folder,
            num_items=write(folder / "meta_x.jsonl", [], [good_item, *items]),
            num_actions=write(folder / "x.jsonl", [], [good_action, *actions]),
        )
