"""Letters of images and plots, with fonts that are made for the test: which are installed differs by machine."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from tfdvbpr import fonts

SKIRT = "スカート"
NOWHERE = chr(0x10FFFD)


def _font(path: Path, family: str, characters: str) -> str:
    """A font whose letters are squares."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 700), (800, 700), (800, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square = pen.glyph()
    names = [".notdef", *(f"u{ord(each):04X}" for each in characters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(each): f"u{ord(each):04X}" for each in characters})
    builder.setupGlyf(dict.fromkeys(names, square))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (900, 100)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=800, sTypoDescender=-200, usWinAscent=800, usWinDescent=200)
    builder.setupPost()
    builder.save(path)
    return str(path)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The fonts that the system has: none, until a test adds some."""
    files: list[str] = []
    monkeypatch.setattr(fonts, "_installed", lambda: tuple(files))
    fonts._fonts.cache_clear()
    yield files
    fonts._fonts.cache_clear()


def _drawn(text: str) -> Any:
    shown = Image.new("RGB", (200, 30), (255, 255, 255))
    fonts.draw_text(ImageDraw.Draw(shown), (2, 2), text, size=12, fill=(0, 0, 0))
    return np.asarray(shown)


def test_what_no_font_has_is_an_escape_and_said_once(installed: list[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tfdvbpr")
    assert fonts.drawable("Rock 12 é Ж فستان אדום") == "Rock 12 é Ж فستان אדום"
    assert not caplog.messages
    assert fonts.drawable(f"a{SKIRT[0]}b") == r"a\u30b9b"
    assert fonts.drawable(SKIRT) == r"\u30b9\u30ab\u30fc\u30c8"
    assert len(caplog.messages) == 1
    assert "Noto Sans CJK" in caplog.messages[0]


def test_the_font_with_most_of_the_letters_is_taken(installed: list[str], tmp_path: Path) -> None:
    installed += [_font(tmp_path / "a.ttf", "A", SKIRT[0]), _font(tmp_path / "b.ttf", "B", SKIRT)]
    assert fonts.drawable(f"x {SKIRT}") == f"x {SKIRT}"
    assert list(fonts._runs(f"x {SKIRT} y")) == [
        ("x ", fonts.bundled_font()),
        (f"{SKIRT} ", installed[1]),
        ("y", fonts.bundled_font()),
    ]
    assert (_drawn(SKIRT) < 128).any()
    assert fonts.text_width(SKIRT, 10) == 36  # four squares of 0.9 em


def test_fonts_of_boxes_and_damaged_files_are_passed_over(installed: list[str], tmp_path: Path) -> None:
    installed += [str(tmp_path / "none.ttf"), _font(tmp_path / "box.ttf", "Last Resort High-Efficiency", SKIRT)]
    (tmp_path / "damaged.ttf").write_bytes(b"no font")
    installed.append(str(tmp_path / "damaged.ttf"))
    assert fonts.drawable(SKIRT[0]) == r"\u30b9"


def test_matplotlib_draws_names_without_a_warning(installed: list[str], tmp_path: Path) -> None:
    """Neither a missing glyph nor mathematics; with the font and without."""
    for files in ([], [_font(tmp_path / "kana.ttf", "Squares", SKIRT)]):
        installed[:] = files
        fonts._fonts.cache_clear()
        name = f"{SKIRT} $x^$ {NOWHERE}"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with fonts.plot_fonts([name]):
                figure = Figure()
                figure.suptitle(fonts.plot_text(name))
                figure.canvas.draw()


def test_a_text_is_cut_by_its_width_in_pixels(installed: list[str]) -> None:
    text = "a long name of a dress"
    cut = fonts.fitted(text, 60, 10)
    assert cut.endswith("…")
    assert text.startswith(cut[:-1])
    assert fonts.text_width(cut, 10) <= 60 < fonts.text_width(text, 10)
    assert fonts.fitted("dress", 60, 10) == "dress"
    assert fonts.fitted("dress", 0, 10) == "…"


def test_marks_and_joiners_stay_with_their_letter(installed: list[str]) -> None:
    assert fonts.drawable("e\u0301 \u200c") == "e\u0301 \u200c"
    assert len(list(fonts._runs("e\u0301\u00a0x"))) == 1
