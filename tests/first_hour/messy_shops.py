"""Shops as their files come: what is odd about each, what `prepare` must end with, and what it must say."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from tiny_data import encoded, noisy_picture

NUM_ITEMS, NUM_ACTIONS = 24, 40
CATEGORIES = ("Größe", "café", "dress")
ITEM_HEADER, ACTION_HEADER = ["item_id", "category", "image"], ["user_id", "item_id", "timestamp"]
FIRST_DAY = date(2024, 1, 3)

Row = list[str]
Write = Callable[[Path], None]


@dataclass(frozen=True)
class Shop:
    """One folder and what becomes of it.

    Attributes:
        oddity: what is odd, in words.
        write: writes the tables; the photos are there already.
        says: texts that must be printed.
        code: exit code.
        arguments: of `tfdvbpr prepare`, beside folder, output and image size.
        num_lost: items and interactions that are lost; what was said of them is checked too.
        num_items: rows of the items.
        num_actions: rows of the interactions.
        num_unknown_times: of the interactions that are kept.
    """

    oddity: str
    write: Write
    says: Sequence[str]
    code: int = 0
    arguments: Sequence[str] = ()
    num_lost: tuple[int, int] = (0, 0)
    num_items: int = NUM_ITEMS
    num_actions: int = NUM_ACTIONS
    num_unknown_times: int = 0


def items() -> list[Row]:
    return [[f"A{row:02d}", CATEGORIES[row % 3], f"images/{row}.jpg"] for row in range(NUM_ITEMS)]


def day(row: int) -> date:
    return FIRST_DAY + timedelta(days=row)


def actions(write_day: Callable[[date], str] = date.isoformat) -> list[Row]:
    """Eight users with five items each."""
    return [[f"u{row // 5}", f"A{row * 7 % NUM_ITEMS:02d}", write_day(day(row))] for row in range(NUM_ACTIONS)]


def write_photos(folder: Path) -> None:
    (folder / "images").mkdir(parents=True)
    for row in range(NUM_ITEMS):
        colour = (10 * row, 250 - 10 * row, 40 + 5 * row)
        (folder / "images" / f"{row}.jpg").write_bytes(encoded(noisy_picture(colour, (16, 16), row)))


def text(header: Row, rows: Sequence[Row], delimiter: str = ",", newline: str = "\n") -> str:
    return newline.join(delimiter.join(row) for row in [header, *rows]) + newline


def csv_shop(
    item_rows: Sequence[Row] | None = None,
    action_rows: Sequence[Row] | None = None,
    *,
    headers: tuple[Row, Row] = (ITEM_HEADER, ACTION_HEADER),
    delimiter: str = ",",
    newline: str = "\n",
    encoding: str = "utf-8",
    before: str = "",
    ending: str = ".csv",
    pack: Callable[[bytes], bytes] = bytes,
) -> Write:
    """Both tables as CSV, in one form."""

    def write(folder: Path) -> None:
        tables = {"items": items() if item_rows is None else item_rows, "interactions": action_rows or actions()}
        for (name, rows), header in zip(tables.items(), headers, strict=True):
            lines = before + text(header, rows, delimiter, newline)
            (folder / f"{name}{ending}").write_bytes(pack(lines.encode(encoding)))

    return write


def then(write: Write, change: Write) -> Write:
    """A shop, and what happens to it after."""

    def both(folder: Path) -> None:
        write(folder)
        change(folder)

    return both


def replaced(name: str, old: str, new: str, count: int = -1) -> Write:
    """Replaces text in a file."""

    def change(folder: Path) -> None:
        content = (folder / name).read_text(encoding="utf-8")
        assert old in content
        (folder / name).write_text(content.replace(old, new, count), encoding="utf-8")

    return change


def without_photos(*numbers: int) -> Write:
    def change(folder: Path) -> None:
        for number in numbers:
            (folder / "images" / f"{number}.jpg").unlink()

    return change


def json_shop(ending: str, pack: Callable[[bytes], bytes] = bytes) -> Write:
    def write(folder: Path) -> None:
        for name, header, rows in (("items", ITEM_HEADER, items()), ("interactions", ACTION_HEADER, actions())):
            lines = [json.dumps(dict(zip(header, row, strict=True)), ensure_ascii=False) for row in rows]
            (folder / f"{name}{ending}").write_bytes(pack("\n".join(lines).encode()))

    return write


def zstd(data: bytes) -> bytes:
    return pa.compress(data, codec="zstd", asbytes=True)


def hive_shop(folder: Path) -> None:
    """Items in a folder a category, interactions as CSV."""
    csv_shop()(folder)
    (folder / "items.csv").unlink()
    for category in CATEGORIES:
        part = folder / "items" / f"category={category}"
        part.mkdir(parents=True)
        rows = [[item_id, image] for item_id, own, image in items() if own == category]
        pl.DataFrame(rows, schema=["item_id", "image"], orient="row").write_parquet(part / "part-0.parquet")


def delta_shop(folder: Path) -> None:
    """Items as a Delta table, one of which was deleted."""
    csv_shop()(folder)
    table = pl.read_csv(folder / "items.csv", infer_schema=False)
    (folder / "items.csv").unlink()
    gone = pl.DataFrame({"item_id": ["gone"], "category": ["shirt"], "image": ["gone.jpg"]})
    write_deltalake(folder / "items", pl.concat([table, gone], how="diagonal"), partition_by=["category"])
    DeltaTable(folder / "items").delete("item_id = 'gone'")


def with_images(write_path: Callable[[str], str]) -> list[Row]:
    return [[item_id, category, write_path(image)] for item_id, category, image in items()]


def renamed(header: Row, **names: str) -> Row:
    return [names.get(name, name) for name in header]


SKU = (renamed(ITEM_HEADER, item_id="SKU", image="photo"), renamed(ACTION_HEADER, item_id="SKU"))
TWO_NAMES = (SKU[0], renamed(ACTION_HEADER, item_id="product", user_id="customer"))
QUOTED = csv_shop([*items()[:4], ["A04", '"dress', "images/4.jpg"], *items()[5:]])
SWALLOWING = csv_shop(
    None,
    [*actions()[:9], ["u1", '"A15', "2024-01-12"], *actions()[10:35], ["u7", 'A05"', "2024-02-07"], *actions()[36:]],
)
AMBIGUOUS = csv_shop(None, actions(lambda each: f"{each.day % 12 + 1:02d}/0{each.month}/2024"))
UNREADABLE = csv_shop(None, [[*row[:2], "last week"] if place < 3 else row for place, row in enumerate(actions())])


def stamped(unit: int) -> list[Row]:
    return actions(lambda each: str((each - date(1970, 1, 1)).days * 86_400 * unit))


def odd_day(text: str) -> list[Row]:
    return [[*row[:2], text] if place == 7 else row for place, row in enumerate(actions())]


SHOPS = [
    Shop("nothing", csv_shop(), ("items.csv: 24 rows, utf-8, commas", "interactions.csv: 40 rows", "dates: ISO 8601")),
    # Encodings.
    Shop("a byte order mark", csv_shop(encoding="utf-8-sig"), ("24 rows, utf-8",)),
    Shop("Excel's Unicode text", csv_shop(encoding="utf-16", delimiter="\t"), ("utf-16, tabs",)),
    Shop("UTF-16 without a mark", csv_shop(encoding="utf-16-le"), ("24 rows, utf-16-le",)),
    Shop("UTF-32", csv_shop(encoding="utf-32"), ("24 rows, utf-32",)),
    Shop("Latin-1", csv_shop(encoding="latin-1"), ("24 rows, cp1252",)),
    Shop(
        "Cyrillic in an old encoding",
        csv_shop([[row[0], "Платье", row[2]] for row in items()], encoding="cp1251"),
        ("24 malformed row", "not UTF-8 text", "Save the file as UTF-8", "at least one usable item"),
        code=2,
    ),
    # Delimiters and lines.
    Shop("semicolons", csv_shop(delimiter=";"), ("utf-8, semicolons",)),
    Shop("tabs", csv_shop(delimiter="\t", ending=".tsv"), ("items.tsv: 24 rows, utf-8, tabs",)),
    Shop("vertical bars", csv_shop(delimiter="|"), ("utf-8, vertical bars",)),
    Shop("Excel's sep=;", csv_shop(delimiter=";", before="sep=;\n"), ("24 rows, utf-8, semicolons",)),
    Shop("Windows line ends", csv_shop(newline="\r\n", before="\r\n\r\n"), ("24 rows",)),
    Shop("old Macintosh line ends", csv_shop(newline="\r"), ("24 rows",)),
    Shop(
        "texts of several lines",
        csv_shop(
            [[row[0], f'"{row[1]}"', row[2], '"a\nb, ""c"""'] for row in items()],
            headers=([*ITEM_HEADER, '"the ""note"""'], ACTION_HEADER),
        ),
        ("24 rows",),
    ),
    # Headers.
    Shop(
        "capital headers with blanks",
        csv_shop(headers=([f" {name.upper()} " for name in ITEM_HEADER], [name.title() for name in ACTION_HEADER])),
        ("item_id is 'ITEM_ID'", "timestamp is 'Timestamp'"),
    ),
    Shop("other headers", csv_shop(headers=SKU), ("--columns item_id=SKU,image=photo",), code=2),
    Shop(
        "other headers, given",
        csv_shop(headers=SKU),
        ("item_id is 'SKU', image is 'photo'",),
        arguments=("--columns", "item_id=sku,image=photo"),
    ),
    Shop(
        "other headers in each table, given",
        csv_shop(headers=TWO_NAMES),
        ("item_id is 'SKU'", "item_id is 'product'"),
        arguments=("--columns", "item_id=sku,item_id=product,image=photo", "--columns", "user_id=customer"),
    ),
    Shop(
        "a misspelt name",
        csv_shop(),
        ("--columns category=kind must name a column of items.csv or interactions.csv",),
        code=2,
        arguments=("--columns", "category=kind"),
    ),
    Shop("a column that is none of ours", csv_shop(), ("columns",), code=2, arguments=("--columns", "price=cost")),
    Shop("no header", csv_shop(headers=(items()[0], actions()[0])), ("must have the columns item_id, image",), code=2),
    Shop("a column twice", csv_shop(headers=(["item_id", "image", "image"], ACTION_HEADER)), ("once",), code=2),
    # Files.
    Shop("gzip", csv_shop(ending=".csv.gz", pack=gzip.compress), ("items.csv.gz: 24 rows", "gzip")),
    Shop("zstd", json_shop(".jsonl.zst", zstd), ("items.jsonl.zst: 24 rows", "zstd")),
    Shop("JSON lines", json_shop(".jsonl"), ("interactions.jsonl: 40 rows",)),
    Shop(
        "gzip that is cut",
        csv_shop(ending=".csv.gz", pack=lambda data: gzip.compress(data)[:-20]),
        ("items.csv.gz must be whole",),
        code=2,
    ),
    Shop("a name in .gz, unpacked", csv_shop(ending=".csv.gz"), ("items.csv.gz: 24 rows, utf-8, commas",)),
    Shop("Excel's file under CSV's name", csv_shop(pack=lambda data: b"PK\x03\x04" + data), ("Excel",), code=2),
    Shop("Excel's file", csv_shop(ending=".xlsx"), ("has items.xlsx, which is none of these",), code=2),
    Shop("a folder of parquet with partitions", hive_shop, ("items: 24 rows",)),
    Shop("a Delta table", delta_shop, ("items: 24 rows",)),
    Shop(
        "the same table twice",
        then(csv_shop(), lambda folder: (folder / "items.tsv").write_text("item_id\timage\n") and None),
        ("items.csv is read; items.tsv beside it is not",),
    ),
    # Quotes.
    Shop("a quote that is not closed", QUOTED, ("1 quotes are not closed", "items.csv line 6"), code=2),
    Shop(
        "a quote that is not closed, allowed",
        QUOTED,
        ("1 quotes are not closed",),
        arguments=("--allow", "runaway_cells", "--max-loss", "10%"),
        num_lost=(1, 2),
    ),
    Shop("a quote that swallows rows", SWALLOWING, ("1 quotes are not closed", "interactions.csv line 11"), code=2),
    # Times.
    Shop("compact dates", csv_shop(None, actions(lambda each: f"{each:%Y%m%d}")), ("dates: YYYYMMDD",)),
    Shop("American dates", csv_shop(None, actions(lambda each: f"{each:%m/%d/%Y}")), ("dates: MM/DD/YYYY",)),
    Shop("European dates", csv_shop(None, actions(lambda each: f"{each:%d.%m.%Y}")), ("dates: DD.MM.YYYY",)),
    Shop("seconds", csv_shop(None, stamped(1)), ("dates: seconds since 1970",)),
    Shop("milliseconds", csv_shop(None, stamped(1000)), ("dates: milliseconds since 1970",)),
    Shop("days and months that may be either", AMBIGUOUS, ("--date-order dmy or --date-order mdy",), code=2),
    Shop(
        "days and months that may be either, in an order that is given",
        AMBIGUOUS,
        ("dates: DD/MM/YYYY",),
        arguments=("--date-order", "dmy"),
    ),
    Shop(
        "days and months that may be either, allowed",
        AMBIGUOUS,
        ("37 dates may be day and month or",),
        arguments=("--allow", "ambiguous_dates"),
        num_unknown_times=37,
    ),
    Shop("times in words", UNREADABLE, ("3 times cannot be read; they count as unknown",), num_unknown_times=3),
    Shop(
        "times in words where the split needs them",
        UNREADABLE,
        ("3 of 40 interactions (7.5%) are lost, more than --max-loss 5%",),
        code=2,
        arguments=("--split", "time"),
    ),
    Shop("an empty date that became 1970", csv_shop(None, odd_day("0")), ("1 of 40 times lie far from the rest",)),
    Shop("a year with a wrong digit", csv_shop(None, odd_day("2204-01-10")), ("1 of 40 times lie far from the rest",)),
    # Photos.
    Shop(
        "photos that are missing",
        then(csv_shop(), without_photos(3, 4)),
        ("2 of 24 items (8.3%) are lost, more than --max-loss 5%", "allow it with --max-loss 9%"),
        code=2,
    ),
    Shop(
        "photos that are missing, allowed",
        then(csv_shop(), without_photos(3, 4)),
        ("2 broken image",),
        arguments=("--max-loss", "10%"),
        num_lost=(2, 3),
    ),
    Shop("a photo that is missing", then(csv_shop(), without_photos(0)), ("1 of 24 items",), num_lost=(1, 2)),
    Shop(
        "backslashes", csv_shop(with_images(lambda path: path.replace("/", "\\"))), ("Write / in the place of",), code=2
    ),
    Shop(
        "capital endings", csv_shop(with_images(lambda path: path.replace("jpg", "JPG"))), ("capital letters",), code=2
    ),
    Shop("addresses", csv_shop(with_images("https://shop.example/{}".format)), ("Download the images",), code=2),
    # Ids and rows.
    Shop(
        "ids that a spreadsheet has changed",
        csv_shop(
            [[f"0{row[0][1:]}", *row[1:]] for row in items()], [[row[0], row[1][1:], row[2]] for row in actions()]
        ),
        ("24 item ids of the interactions", "40 of 40 interactions (100.0%) are lost"),
        code=2,
    ),
    Shop(
        "interactions with an unknown item",
        csv_shop(None, [*actions()[:-1], ["u7", "gone", "2024-02-11"]]),
        ("1 unknown item id",),
        num_lost=(0, 1),
    ),
    Shop(
        "rows with too few fields",
        csv_shop(None, [*actions()[:-1], ["u7", "A09"]]),
        ("2 fields where the header has 3",),
        num_lost=(0, 1),
    ),
    Shop(
        "an item and an interaction twice",
        csv_shop([*items(), items()[0]], [*actions(), actions()[0]]),
        ("1 duplicate item id", "interactions repeat a user and an item"),
        num_items=25,
        num_actions=41,
    ),
    Shop("a table without rows", csv_shop([]), ("at least one usable item",), code=2),
]
