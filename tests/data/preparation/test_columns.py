from __future__ import annotations

import pytest

from tfdvbpr.data.importers.folder import FolderImporter, parse_columns
from tfdvbpr.data.preparation.columns import Columns
from tfdvbpr.data.preparation.rows import ROW
from tfdvbpr.data.preparation.source import TableFacts
from tfdvbpr.errors import ConfigError, SourceError

KNOWN = ("item_id", "image")


def names(header: list[str], columns: Columns) -> tuple[list[str | None], dict[str, str]]:
    facts = TableFacts(name="items.csv")
    return columns.names(header, facts), facts.renamed


@pytest.mark.parametrize(
    ("header", "given", "expected", "renamed"),
    [
        (["item_id", "image", "Price"], {}, ["item_id", "image", "Price"], {}),
        ([" Item_ID ", "IMAGE"], {}, ["item_id", "image"], {"item_id": "Item_ID", "image": "IMAGE"}),
        (["ITEM_ID", "item_id"], {}, ["ITEM_ID", "item_id"], {}),
        (["SKU", "photo"], {"item_id": ["sku"], "image": ["Photo "]}, ["item_id", "image"], None),
        (["item_id", "sku"], {"item_id": ["sku"]}, [None, "item_id"], {"item_id": "sku"}),
        (["product", "x"], {"item_id": ["sku", "product"]}, ["item_id", "x"], {"item_id": "product"}),
        (["item_id", "x"], {"item_id": ["sku"]}, ["item_id", "x"], {}),
        (["", "item_id", "", ROW], {}, [None, "item_id", None, None], {}),
    ],
)
def test_names_in_any_case_and_given_ones(
    header: list[str], given: dict[str, list[str]], expected: list[str | None], renamed: dict[str, str] | None
) -> None:
    found, changed = names(header, Columns(KNOWN, given=given))
    assert found == expected
    assert changed == ({"item_id": "SKU", "image": "photo"} if renamed is None else renamed)


def test_other_columns_can_be_left_unread() -> None:
    assert names(["a", "IMAGE", "b"], Columns(KNOWN, others=False))[0] == [None, "image", None]


@pytest.mark.parametrize("header", [["a", "a "], ["Item_ID", "x", "x"]])
def test_two_columns_of_one_name_are_refused(header: list[str]) -> None:
    with pytest.raises(SourceError, match="each column once"):
        names(header, Columns(KNOWN))


@pytest.mark.parametrize(
    ("header", "given", "expected"),
    [
        (
            ["SKU", "photo", "name"],
            {},
            r"lacks item_id, image. Received SKU, photo, name\..*--columns item_id=SKU,image=photo\.",
        ),
        (["Item_id"], {}, r"lacks image\. Received Item_id\..*--columns image=NAME\."),
        (["item_id"], None, r"Name or rename image in its header\."),
    ],
)
def test_a_missing_column_is_answered_by_the_likely_one(
    header: list[str], given: dict[str, list[str]] | None, expected: str
) -> None:
    with pytest.raises(SourceError, match=expected):
        names(header, Columns(KNOWN, given=given, others=False, required=KNOWN))


def test_columns_as_the_command_line_takes_them() -> None:
    assert parse_columns(["item_id=sku, image = photo", "item_id=product"]) == {
        "item_id": ("sku", "product"),
        "image": ("photo",),
    }
    for text in ("sku", "=sku", "item_id=", ""):
        with pytest.raises(ConfigError, match="item_id=sku,image=photo"):
            parse_columns([text])
    with pytest.raises(ConfigError, match=r"`columns` must be one of item_id, .*Received 'item'"):
        parse_columns(["item=sku"])
    importer = FolderImporter.model_validate({"columns": {"item_id": "sku", "image": ["photo", "img"]}})
    assert importer.columns == {"item_id": ("sku",), "image": ("photo", "img")}
