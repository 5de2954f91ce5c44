"""Filters over the columns of a catalogue, such as `price < 50 and in_stock`: parsed, checked, and never evaluated.

A filter is a Python expression of comparisons, `and`, `or`, `not` and `in`. Its syntax tree becomes an expression of
Polars node by node, and every other kind of node is refused.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tfdvbpr.errors import ConfigError
from tfdvbpr.text import shortened

MOST_CHARACTERS = 2_000
_MOST_NODES, _MOST_DEPTH = 300, 40
_COLUMN = "column"  # column("product type") names what is no Python name
_TRUE, _FALSE = ("true", "yes", "t", "y", "1"), ("false", "no", "f", "n", "0")
_COMPARISONS: Mapping[type[ast.cmpop], Any] = MappingProxyType(
    {
        ast.Lt: pl.Expr.__lt__,
        ast.LtE: pl.Expr.__le__,
        ast.Gt: pl.Expr.__gt__,
        ast.GtE: pl.Expr.__ge__,
        ast.Eq: pl.Expr.__eq__,
        ast.NotEq: pl.Expr.__ne__,
    }
)
_FORM = "comparisons of columns with numbers or quoted text, `and`, `or`, `not`, `in (...)` and parentheses"

Value = str | float | bool


def matching_items(table: pl.DataFrame, where: str) -> npt.NDArray[np.bool_]:
    """Which items a filter keeps.

    A column is compared as numbers with a number or another column, and as text with text; text is ordered by its
    code points, as dates such as 2026-11-30 need it. A column alone counts as true or false: true, yes, t, y, 1, or
    false, no, f, n, 0 in any case. What an empty cell, or a cell that is no number where one is needed, makes of a
    comparison is unknown, as in SQL: an item is kept where the whole filter is true.

    Args:
        table: a row an item; columns of strings, as of `Items.table`.
        where: the filter, at most 2,000 characters. `column("product type")` names a column that is no Python name.

    Returns:
        bool [num_items].

    Raises:
        ConfigError: if the filter is no such expression, names a column that is not there, or compares a column
            that holds no number with a number.

    Example:
        >>> table = pl.DataFrame({"price": ["30", "80", ""], "in_stock": ["yes", "yes", "no"]})
        >>> matching_items(table, "price < 50 and in_stock").tolist()
        [True, False, False]
    """
    expression = _Translation(table, where).expression()
    kept = table.select(expression.fill_null(value=False).alias("kept"))["kept"]
    if len(kept) != table.height:  # without a column in it an expression is a single value
        kept = pl.repeat(kept[0], table.height, eager=True)
    mask: npt.NDArray[np.bool_] = kept.to_numpy().astype(bool)
    return mask


class _Translation:
    """One filter on its way from a syntax tree to an expression."""

    def __init__(self, table: pl.DataFrame, where: str) -> None:
        self._table, self._where = table, where

    def expression(self) -> pl.Expr:
        if len(self._where) > MOST_CHARACTERS:
            raise ConfigError(
                f"A filter must have at most {MOST_CHARACTERS:,} characters. Received {len(self._where):,}. Shorten it."
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of backslashes in text
                tree = ast.parse(self._where.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise self._refused(f"it cannot be read ({getattr(error, 'msg', error)})") from None
        waiting: list[tuple[ast.AST, int]] = [(tree, 0)]
        nodes = 0
        while waiting:
            node, depth = waiting.pop()
            nodes += 1
            if nodes > _MOST_NODES or depth > _MOST_DEPTH:
                raise self._refused("it has too many parts")
            waiting += [(below, depth + 1) for below in ast.iter_child_nodes(node)]
        return self._truth(tree)

    def _refused(self, reason: str) -> ConfigError:
        return ConfigError(
            f"A filter must be made of {_FORM}, such as `price < 50 and in_stock`. "
            f"Received {shortened(self._where, 200)!r}: {shortened(reason, 200)}."
        )

    def _truth(self, node: ast.expr) -> pl.Expr:
        """A node that is true, false or unknown for each item."""
        if isinstance(node, ast.BoolOp):
            parts = [self._truth(value) for value in node.values]
            combine = pl.all_horizontal if isinstance(node.op, ast.And) else pl.any_horizontal
            return combine(parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~self._truth(node.operand)
        if isinstance(node, ast.Compare):
            return self._comparison(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, bool):
            return pl.lit(node.value)
        name = self._column(node)
        if name is None:
            raise self._refused(f"{ast.unparse(node)} is neither true nor false")
        return self._as_bool(name)

    def _comparison(self, node: ast.Compare) -> pl.Expr:
        """`a < b < c` as `a < b and b < c`."""
        sides = [node.left, *node.comparators]
        steps = zip(sides[:-1], node.ops, sides[1:], strict=True)
        return pl.all_horizontal([self._compared(left, op, right) for left, op, right in steps])

    def _compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> pl.Expr:
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.Tuple | ast.List | ast.Set) or not right.elts:
                raise self._refused(f"{ast.unparse(right)} after `in` is no list, such as ('dress', 'skirt')")
            found = pl.any_horizontal([self._compared(left, ast.Eq(), each) for each in right.elts])
            return ~found if isinstance(op, ast.NotIn) else found
        if type(op) not in _COMPARISONS:
            raise self._refused("`is` compares nothing here, write ==")
        compare = _COMPARISONS[type(op)]
        names, values = [self._column(side) for side in (left, right)], [self._value(side) for side in (left, right)]
        for side, name, value in zip((left, right), names, values, strict=True):
            if name is None and value is None:
                raise self._refused(f"{ast.unparse(side)} is no column, number or text")
        value = values[0] if values[0] is not None else values[1]
        if None not in values:
            raise self._refused(f"{ast.unparse(left)} and {ast.unparse(right)} are no columns")
        as_type = {str: self._as_text, bool: self._as_bool}.get(type(value), self._as_number)
        # Literals count as what they are: "50" is text, 50 a number, True a truth.
        sides = [as_type(name) if name is not None else pl.lit(own) for name, own in zip(names, values, strict=True)]
        compared: pl.Expr = compare(*sides)
        return compared

    def _column(self, node: ast.expr) -> str | None:
        """The column that a node names, by itself or in `column("...")`; None where it names none."""
        if isinstance(node, ast.Name):
            name = node.id
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == _COLUMN
            and len(node.args) == 1
            and not node.keywords
            and isinstance(node.args[0], ast.Constant)
            and isinstance(node.args[0].value, str)
        ):
            name = node.args[0].value
        else:
            return None
        if name not in self._table.columns:
            near = ", ".join(get_close_matches(name, self._table.columns))
            known = shortened(", ".join(self._table.columns), 300)
            raise ConfigError(
                f"A filter must name columns of the items. Received {shortened(name, 60)!r}. "
                + (f"Nearest: {near}." if near else f"There are {known}.")
            )
        return name

    def _value(self, node: ast.expr) -> Value | None:
        """The literal that a node is; None where it is none."""
        sign = 1.0
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            sign, node = (-1.0 if isinstance(node.op, ast.USub) else 1.0), node.operand
            if not isinstance(node, ast.Constant) or isinstance(node.value, bool | str):
                return None
        if not isinstance(node, ast.Constant):
            return None
        if isinstance(node.value, bool | str):
            return node.value
        if not isinstance(node.value, int | float):
            return None
        try:
            number = sign * float(node.value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self._refused(f"{ast.unparse(node)[:40]} is too large a number")
        return number

    def _as_text(self, name: str) -> pl.Expr:
        text = pl.col(name).cast(pl.String)
        return pl.when(text != "").then(text)

    def _as_number(self, name: str) -> pl.Expr:
        number = pl.col(name).cast(pl.String).str.strip_chars().cast(pl.Float64, strict=False)
        return self._filled(name, pl.when(number.is_finite()).then(number), "a number")

    def _as_bool(self, name: str) -> pl.Expr:
        text = pl.col(name).cast(pl.String).str.strip_chars().str.to_lowercase()
        truth = {**dict.fromkeys(_TRUE, True), **dict.fromkeys(_FALSE, False)}
        return self._filled(name, text.replace_strict(truth, default=None, return_dtype=pl.Boolean), "true or false")

    def _filled(self, name: str, values: pl.Expr, kind: str) -> pl.Expr:
        """The values, of which at least one must be known: a filter of nothing but unknowns is a mistake."""
        if self._table.height and self._table.select(values.is_null().all()).item():
            raise ConfigError(
                f"The column {shortened(name, 60)!r} must hold {kind} for at least one item, to be filtered by. "
                f"It holds none. Compare it with text, such as {shortened(name, 60)} == 'red'."
            )
        return values
