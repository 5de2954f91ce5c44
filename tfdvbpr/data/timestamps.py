"""Times as people's tables write them, to seconds."""

from __future__ import annotations

import polars as pl

# Seconds beyond this lie after the year 5138; milliseconds have reached it in 1973.
_MILLISECONDS_FROM = 1e11
_YEAR_1, _YEAR_10000 = -62_135_596_800.0, 253_402_300_800.0
_ISO = (
    r"^(?P<date>\d{4}-\d\d-\d\d)(?:[Tt ](?P<time>\d\d:\d\d)(?::(?P<second>\d\d(?:\.\d+)?))?"
    r"\s*(?P<zone>[Zz]|UTC|[+-]\d\d(?::?\d\d)?)?)?$"
)


def seconds(column: str) -> pl.Expr:
    """Seconds since 1970-01-01 UTC, float64, of a column of strings; null where it holds no time.

    Understood are numbers (seconds, with a fraction or without; milliseconds where larger than 10^11 in size) and ISO
    8601 dates and datetimes with hyphens and colons, such as 2024-02-29, 2024-02-29 17:05 and
    2024-02-29T17:05:01.5+01:00. Without a zone they are UTC. Years lie in 1..9999.

    Args:
        column: name of a string column.
    """
    text = pl.col(column).str.strip_chars()
    number = text.cast(pl.Float64, strict=False)
    number = pl.when(number.abs() > _MILLISECONDS_FROM).then(number / 1000.0).otherwise(number)
    value = pl.coalesce(number, _iso_seconds(text))
    return pl.when(value.is_finite() & (value >= _YEAR_1) & (value < _YEAR_10000)).then(value)


def _iso_seconds(text: pl.Expr) -> pl.Expr:
    groups = text.str.extract_groups(_ISO)
    parts = {name: groups.struct.field(name) for name in ("date", "time", "second", "zone")}
    time = parts["time"].fill_null("00:00") + ":" + parts["second"].fill_null("00")
    local = (parts["date"] + " " + time).str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    sign = pl.when(parts["zone"].str.starts_with("-")).then(-1.0).otherwise(1.0)
    digits = parts["zone"].str.replace_all(r"\D", "")
    hours = digits.str.slice(0, 2).cast(pl.Float64, strict=False).fill_null(0.0)
    minutes = digits.str.slice(2, 2).cast(pl.Float64, strict=False).fill_null(0.0)
    return local.dt.epoch("us") / 1e6 - sign * (hours * 3600.0 + minutes * 60.0)
