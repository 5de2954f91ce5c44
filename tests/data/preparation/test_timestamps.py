from __future__ import annotations

from datetime import datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfdvbpr.data import DateOrder
from tfdvbpr.data.preparation.dates import read_times

LEAP_DAY = 1_709_164_800.0  # 2024-02-29T00:00:00Z


def _read(*texts: str | None, order: DateOrder | None = None) -> list[float | None]:
    return read_times(pl.Series(texts, dtype=pl.String), order).seconds.to_list()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0.0),
        ("-1", -1.0),
        ("1709164800", LEAP_DAY),
        ("1709164800.5", LEAP_DAY + 0.5),
        ("1.7091648e9", LEAP_DAY),
        ("1709164800500", LEAP_DAY + 0.5),
        ("100000000000", 1e11),
        ("100000000001", 1e8 + 0.001),
        ("2024-02-29", LEAP_DAY),
        (" 2024-02-29 ", LEAP_DAY),
        ("2024-02-29 01:00", LEAP_DAY + 3600),
        ("2024-02-29T00:00:01Z", LEAP_DAY + 1),
        ("2024-02-29 00:00:01 UTC", LEAP_DAY + 1),
        ("2024-02-29 00:00:00.250000", LEAP_DAY + 0.25),
        ("2024-02-29T01:30:00+01:30", LEAP_DAY),
        ("2024-02-28T19:00:00-0500", LEAP_DAY),
        ("2024-02-29T01:00:00+01", LEAP_DAY),
        ("1969-12-31T23:59:59Z", -1.0),
        ("2024/2/29", LEAP_DAY),
        ("20240229", LEAP_DAY),
        ("20240229.0", LEAP_DAY),
        ("20240229010000", LEAP_DAY + 3600),
        ("20240229T010000", LEAP_DAY + 3600),
        ("29.02.2024", LEAP_DAY),
        ("29/2/2024 1:00", LEAP_DAY + 3600),
        ("2/29/2024, 12:00:01 AM", LEAP_DAY + 1),
        ("2/29/2024 1:00 pm", LEAP_DAY + 13 * 3600),
    ],
)
def test_times_in_common_formats(text: str, expected: float) -> None:
    assert _read(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "yesterday", "nan", "inf", "-inf", "1e300", "2023-02-29", "2024-13-01", "2024-02-29T25:00"),
        *(
            "20240230",
            "20241301",
            "30.02.2024",
            "2.29.2024 25:00",
            "29/02/24",
            "2024-02-29T10",
            "2024-02-29T10:00:00X",
            "2024-02-29 extra",
            "1709164800500000000",
        ),
    ],
)
def test_what_is_no_time(text: str) -> None:
    assert _read(text) == [None]


def test_rows_are_read_one_by_one() -> None:
    assert _read("5", None, "2024-02-29", "", "no") == [5.0, None, LEAP_DAY, None, None]


@pytest.mark.parametrize(
    ("texts", "order", "days", "forms"),
    [
        (("03/04/2024", "05/01/2024"), "mdy", [63, 121], ("MM/DD/YYYY",)),
        (("03/04/2024", "05/01/2024"), "dmy", [93, 4], ("DD/MM/YYYY",)),
        (("03/04/2024", "15/01/2024"), None, [93, 14], ("DD/MM/YYYY",)),
        (("03/04/2024", "01/15/2024"), None, [63, 14], ("MM/DD/YYYY",)),
        (("03/04/2024", "15/01/2024"), "mdy", [63, None], ("MM/DD/YYYY",)),
        (("03.04.2024", "05.01.2024"), None, [93, 4], ("DD.MM.YYYY",)),
        (("03-04-2024", "2024-01-05", "13-01-2024"), None, [93, 4, 12], ("DD-MM-YYYY", "ISO 8601")),
    ],
)
def test_the_order_of_day_and_month(
    texts: tuple[str, ...], order: DateOrder | None, days: list[int | None], forms: tuple[str, ...]
) -> None:
    times = read_times(pl.Series(texts), order)
    new_year = 1_704_067_200.0
    assert times.seconds.to_list() == [None if day is None else new_year + 86_400 * day for day in days]
    assert times.forms == forms
    assert not times.ambiguous.any()


@pytest.mark.parametrize("says", [(), ("15/01/2024", "01/15/2024")], ids=["nothing", "both"])
def test_an_order_that_no_date_says_is_never_guessed(says: tuple[str, ...]) -> None:
    times = read_times(pl.Series(["03/04/2024", "4/4/2024", *says]))
    assert times.ambiguous.to_list() == [True, False, *(False for _ in says)]
    assert times.seconds.is_null().to_list() == times.ambiguous.to_list()


def test_a_column_of_several_forms_names_them() -> None:
    texts = ["20240229", "2024-02-29", "2024-02-29", "1709164800", "1709164800000", "never", None]
    times = read_times(pl.Series(texts))
    assert times.seconds.to_list() == [LEAP_DAY] * 5 + [None] * 2
    assert times.forms[0] == "ISO 8601"
    assert set(times.forms[1:]) == {"YYYYMMDD", "seconds since 1970", "milliseconds since 1970"}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    moment=st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)),
    minutes=st.integers(-14 * 60, 14 * 60),
)
def test_one_moment_is_one_number_however_it_is_written(moment: datetime, minutes: int) -> None:
    zone = timezone(timedelta(minutes=minutes))
    zoned = moment.replace(tzinfo=timezone.utc).astimezone(zone)
    micros = (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)
    plain, reported, as_number = _read(
        moment.isoformat(" "), zoned.isoformat(), f"{micros // 1_000_000}.{micros % 1_000_000:06d}"
    )
    assert plain == reported
    assert plain == pytest.approx(micros / 1e6, abs=1e-4, rel=1e-15)
    if 0 <= micros < 10**15:  # a float64 tells microseconds apart, and the number is no milliseconds
        assert as_number == plain
        assert plain == pytest.approx(micros / 1e6, abs=5e-7)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(text=st.text(max_size=30))
def test_no_text_stops_it(text: str) -> None:
    (value,) = _read(text)
    assert value is None or -62_135_596_800 <= value < 253_402_300_800
