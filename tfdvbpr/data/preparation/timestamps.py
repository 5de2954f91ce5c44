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
    microseconds = (number * pl.when(number.abs() > _MILLISECONDS_FROM).then(1e3).otherwise(1e6)).round()
    in_reach = (microseconds >= _YEAR_1 * 1e6) & (microseconds < _YEAR_10000 * 1e6)  # false for NaN and infinity
    # Whole microseconds first, so that the same moment is the same number however it was written.
    whole = pl.coalesce(pl.when(in_reach).then(microseconds).cast(pl.Int64), _iso_microseconds(text))
    return whole / 1e6


def _iso_microseconds(text: pl.Expr) -> pl.Expr:
    groups = text.str.extract_groups(_ISO)
    parts = {name: groups.struct.field(name) for name in ("date", "time", "second", "zone")}
    time = parts["time"].fill_null("00:00") + ":" + parts["second"].fill_null("00")
    local = (parts["date"] + " " + time).str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    sign = pl.when(parts["zone"].str.starts_with("-")).then(-1).otherwise(1)
    digits = parts["zone"].str.replace_all(r"\D", "")
    hours = digits.str.slice(0, 2).cast(pl.Int64, strict=False).fill_null(0)
    minutes = digits.str.slice(2, 2).cast(pl.Int64, strict=False).fill_null(0)
    microseconds = local.dt.epoch("us") - sign * (hours * 3600 + minutes * 60) * 1_000_000
    in_reach = (microseconds >= int(_YEAR_1) * 1_000_000) & (microseconds < int(_YEAR_10000) * 1_000_000)
    return pl.when(in_reach).then(microseconds)
