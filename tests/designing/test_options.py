from __future__ import annotations

import pytest

from tfdvbpr.designing.options import DesignOptions, TailorOptions, parse_options
from tfdvbpr.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_starts", 0),
        ("num_steps", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("inf")),
        ("num_candidates", 0),
        ("realism_weight", -0.1),
        ("realism_weight", float("nan")),
    ],
)
def test_design_options_out_of_range(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"`{name}` must.*Received {value}"):
        DesignOptions(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"), [("num_starts", 0), ("num_starts", 65), ("invert_steps", 0), ("realism_weight", float("nan"))]
)
def test_tailor_options_out_of_range(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"`{name}` must.*Received {value}"):
        TailorOptions(**{name: value})  # type: ignore[arg-type]


def test_there_are_no_more_starts_than_candidates() -> None:
    with pytest.raises(ConfigError, match="`num_starts` must be at most num_candidates=256"):
        DesignOptions(num_starts=257)


def test_options_are_parsed() -> None:
    parsed = parse_options(DesignOptions, ["num-steps=20", "learning_rate=0.15", "realism_weight=2"])
    assert parsed == DesignOptions(num_steps=20, learning_rate=0.15, realism_weight=2.0)
    assert parse_options(TailorOptions, []) == TailorOptions()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("num_steps", "--set takes KEY=VALUE. Received 'num_steps'"),
        ("steps=3", "--set must name one of num_candidates, .*Received 'steps'. Nearest: 'num_steps'"),
        ("num_steps=many", "`num_steps` must be a whole number. Received 'many'"),
        ("num_steps=2.5", "`num_steps` must be a whole number. Received '2.5'"),
        ("learning_rate=fast", "`learning_rate` must be a number. Received 'fast'"),
        ("learning_rate=0", "`learning_rate` must be above 0. Received 0.0"),
    ],
)
def test_wrong_settings(setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_options(DesignOptions, [setting])
