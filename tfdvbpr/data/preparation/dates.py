"""Times as shops write them, as seconds since 1970: the form of a column is found once, for all of its rows."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from tfdvbpr.data import DateOrder

# Seconds beyond this lie after the year 5138; milliseconds have reached it in 1973.
_MILLISECONDS_FROM = 1e11
_YEAR_1, _YEAR_10000 = -62_135_596_800.0, 253_402_300_800.0
_CLOCK = r"(?P<time>\d{1,2}:\d\d)(?::(?P<second>\d\d(?:\.\d+)?))?"
_ZONE = r"\s*(?P<zone>[Zz]|UTC|[+-]\d\d(?::?\d\d)?)?"
_ISO = rf"^(?P<year>\d{{4}})[-/.](?P<month>\d{{1,2}})[-/.](?P<day>\d{{1,2}})(?:[Tt ]+{_CLOCK}{_ZONE})?$"
# 20240301, perhaps with 170501 behind, or .0 by a spreadsheet; as seconds these were all in August 1970.
_COMPACT = (
    r"^(?P<year>(?:19|20)\d\d)(?P<month>\d\d)(?P<day>\d\d)"
    r"(?:[Tt ]?(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d))?(?:\.0+)?$"
)
DAY_AND_MONTH = (
    r"^(?P<first>\d{1,2})(?P<sign>[-/.])(?P<other>\d{1,2})[-/.](?P<year>\d{4})"
    rf"(?:,?[Tt ]+{_CLOCK}\s*(?P<half>[AaPp][Mm])?)?$"
)


class Times(NamedTuple):
    """A column of times.

    Attributes:
        seconds: since 1970-01-01 UTC, float64, null where it is not known.
        forms: how they are written, in words; the most frequent first.
        ambiguous: bool, true where a date can be day and month or month and day; such a time is not known.
    """

    seconds: pl.Series
    forms: tuple[str, ...]
    ambiguous: pl.Series


def read_times(texts: pl.Series, order: DateOrder | None = None) -> Times:
    """Reads a column of times, each without a zone as UTC, in the years 1 to 9999.

    Understood are numbers (seconds, with a fraction or without; milliseconds where larger than 10^11 in size), ISO 8601
    (2024-02-29, 2024-02-29T17:05:01.5+01:00; also with / or . and without leading zeros), the same without signs
    (20240229, 20240229T170501), and days and months before the year (29.02.2024 17:05, 2/29/2024 5:05 PM).

    Args:
        texts: strings.
        order: of day and month before a year. Left out, it is the column's own: a number above 12 is no month, and
            points mean that the day is first. Where nothing says it, or one row says this and another that, the dates
            that can be both are ambiguous.

    Example:
        >>> read_times(pl.Series(["29.02.2024"])).seconds.to_list()
        [1709164800.0]
    """
    texts = texts.str.strip_chars()
    seconds = pl.Series("time", [None], dtype=pl.Float64).extend_constant(None, len(texts))[: len(texts)]
    ambiguous = pl.Series("ambiguous", [False]).extend_constant(False, len(texts))[: len(texts)]
    counts: dict[str, int] = {}
    left = texts.is_not_null() & (texts != "")

    def take(rows: pl.Series, values: pl.Series, form: str) -> None:
        nonlocal seconds
        known = values.is_not_null()
        if known.any():
            seconds = seconds.scatter(rows.filter(known), values.filter(known))
            counts[form] = counts.get(form, 0) + int(known.sum())

    for pattern, read in ((_COMPACT, _compact), (_ISO, _iso)):
        rows = (left & texts.str.contains(pattern)).arg_true()
        if len(rows):
            take(rows, *read(texts.gather(rows)))
            left = left.scatter(rows, False)
    rows = (left & texts.str.contains(DAY_AND_MONTH)).arg_true()
    if len(rows):
        for part, values, form, unclear in _days_and_months(texts.gather(rows), order):
            take(rows.gather(part), values, form)
            ambiguous = ambiguous.scatter(rows.gather(part).filter(unclear), True)
        left = left.scatter(rows, False)
    rows = left.arg_true()
    if len(rows):
        numbers, milliseconds = _numbers(texts.gather(rows))
        for large, form in ((False, "seconds since 1970"), (True, "milliseconds since 1970")):
            part = (milliseconds == large).arg_true()
            take(rows.gather(part), numbers.gather(part), form)
    forms = sorted(counts, key=lambda form: -counts[form])
    return Times(seconds, tuple(forms), ambiguous)


def _numbers(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Seconds, and whether the numbers are milliseconds."""
    number = texts.cast(pl.Float64, strict=False)
    large = (number.abs() > _MILLISECONDS_FROM).fill_null(False)
    # Whole microseconds first, so that the same time is the same number however it was written.
    micros = (number * pl.select(pl.when(large).then(1e3).otherwise(1e6)).to_series()).round()
    return _within_reach(micros), large


def _compact(texts: pl.Series) -> tuple[pl.Series, str]:
    parts = texts.str.extract_groups(_COMPACT).struct.unnest()
    clock = parts.select(pl.format("{}:{}", "hour", "minute").alias("time"), "second")
    return _assembled(parts.select("year", "month", "day").hstack(clock)), "YYYYMMDD"


def _iso(texts: pl.Series) -> tuple[pl.Series, str]:
    return _assembled(texts.str.extract_groups(_ISO).struct.unnest()), "ISO 8601"


def _days_and_months(texts: pl.Series, order: DateOrder | None) -> list[tuple[pl.Series, pl.Series, str, pl.Series]]:
    """By sign and order: rows, seconds, the form in words, and which rows are ambiguous."""
    parts = texts.str.extract_groups(DAY_AND_MONTH).struct.unnest().with_row_index("row")
    first, other = pl.col("first").cast(pl.Int32), pl.col("other").cast(pl.Int32)
    parts = parts.with_columns((first <= 12).alias("mdy"), (other <= 12).alias("dmy"), (first == other).alias("equal"))
    found = []
    for (sign,), rows in parts.group_by("sign", maintain_order=True):
        says = {"mdy": rows.filter(~pl.col("dmy")).height > 0, "dmy": rows.filter(~pl.col("mdy")).height > 0}
        own = order or next((each for each in ("mdy", "dmy") if says[each] and sum(says.values()) == 1), None)
        if own is None and sign == "." and not says["mdy"]:
            own = "dmy"
        for kind in ("mdy", "dmy"):
            other_kind = "dmy" if kind == "mdy" else "mdy"
            if own is None:  # each row by itself; what reads both ways is left with the second
                part = rows.filter(~pl.col(other_kind)) if kind == "mdy" else rows.filter(pl.col("dmy"))
                unclear = part["mdy"] & part["dmy"] & ~part["equal"]
            elif own == kind:
                part, unclear = rows, pl.Series([False]).extend_constant(False, rows.height)[: rows.height]
            else:
                continue
            month, day = ("first", "other") if kind == "mdy" else ("other", "first")
            values = _assembled(part.rename({month: "month", day: "day"}))
            values = pl.select(pl.when(~unclear).then(values)).to_series()
            form = f"MM{sign}DD{sign}YYYY" if kind == "mdy" else f"DD{sign}MM{sign}YYYY"
            found.append((part["row"], values, form, unclear))
    return found


def _assembled(parts: pl.DataFrame) -> pl.Series:
    """Seconds of columns year, month, day, and where they are there time, second, half and zone."""
    given = {name: pl.col(name) if name in parts.columns else pl.lit(None, pl.String) for name in ("half", "zone")}
    date = pl.concat_str("year", pl.col("month").str.zfill(2), pl.col("day").str.zfill(2), separator="-")
    clock = pl.col("time").fill_null("00:00").str.zfill(5) + ":" + pl.col("second").fill_null("00")
    local = (date + " " + clock).str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    hour = local.dt.hour()
    half = given["half"].str.to_lowercase()
    add = pl.when((half == "pm") & (hour < 12)).then(12).when((half == "am") & (hour == 12)).then(-12).otherwise(0)
    sign = pl.when(given["zone"].str.starts_with("-")).then(-1).otherwise(1)
    digits = given["zone"].str.replace_all(r"\D", "")
    hours = digits.str.slice(0, 2).cast(pl.Int64, strict=False).fill_null(0)
    minutes = digits.str.slice(2, 2).cast(pl.Int64, strict=False).fill_null(0)
    micros = local.dt.epoch("us") + (add * 3600 - sign * (hours * 3600 + minutes * 60)) * 1_000_000
    return _within_reach(parts.select(micros.alias("time")).to_series())


def _within_reach(micros: pl.Series) -> pl.Series:
    """Seconds, null outside the years 1 to 9999; false for NaN and infinity."""
    near = (micros >= _YEAR_1 * 1e6) & (micros < _YEAR_10000 * 1e6)
    return pl.select(pl.when(near).then(micros).cast(pl.Int64) / 1e6).to_series()
