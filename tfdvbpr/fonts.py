"""The letters of images and plots: each character in a font that has it, else as an escape such as `\\u30b9`.

Matplotlib brings DejaVu Sans: Latin, Greek, Cyrillic, Arabic, Hebrew and more. What it lacks, Chinese, Japanese, Korean
and Thai among them, is sought in the fonts that are installed. Nothing is downloaded.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from tfdvbpr.text import printable

if TYPE_CHECKING:
    from PIL import ImageDraw, ImageFont

# Fonts that have a box, and no letter, for every character.
_PLACEHOLDERS = ("last resort", "lastresort", "adobe blank", "adobenotdef")
# Marks that change the letter before them, and joiners: any font draws them, or leaves them out.
_WITHOUT_LETTER = ("Mn", "Me", "Cf", "Zs")

_log = logging.getLogger(__name__)


@cache
def bundled_font() -> str:
    """The file of DejaVu Sans that Matplotlib brings."""
    import matplotlib

    return f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"


class _Fonts:
    """Which file has a character; files that had one before are tried before all that are installed."""

    def __init__(self) -> None:
        self.file_of: dict[str, str | None] = {}
        self.families = ["DejaVu Sans"]
        self._used = [bundled_font()]
        self._noted = False

    def locate(self, text: str) -> None:
        """Finds a font for each character of a text."""
        missing = {each for each in text if unicodedata.category(each) not in _WITHOUT_LETTER} - self.file_of.keys()
        for path in self._used:
            missing -= self._take(path, missing)
        while missing:
            found = {path: len(_having(path, missing)) for path in _installed()}
            best = max(found, key=lambda path: found[path], default=None)
            if best is None or not found[best]:
                break
            self._used.append(best)
            self.families.append(_family(best))
            missing -= self._take(best, missing)
        self.file_of.update(dict.fromkeys(missing))
        if missing and not self._noted:
            self._noted = True
            _log.info(
                "No installed font has %s and perhaps others of its script; images show the code %s. "
                "Install a font that has them, such as Noto Sans CJK.",
                (first := min(missing)),
                _escape(first),
            )

    def _take(self, path: str, wanted: set[str]) -> set[str]:
        had = _having(path, wanted) if wanted else set()
        self.file_of.update(dict.fromkeys(had, path))
        return had


@cache
def _fonts() -> _Fonts:
    return _Fonts()


@cache
def _installed() -> tuple[str, ...]:
    """Font files of the system, regular ones first: of equals the first is taken."""
    from matplotlib.font_manager import findSystemFonts

    # Not Matplotlib's list of fonts, which it keeps from when it was first used.
    return tuple(sorted(findSystemFonts(), key=lambda path: ("regular" not in path.lower(), path)))


def _family(path: str) -> str:
    """The family by which Matplotlib knows a file from now on."""
    from matplotlib.font_manager import fontManager
    from matplotlib.ft2font import FT2Font

    fontManager.addfont(path)
    return str(FT2Font(path).family_name)


def _having(path: str, characters: set[str]) -> set[str]:
    """Those of the characters that a font file has letters for; none where it cannot be read or scaled."""
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(path)
    except (OSError, RuntimeError):
        return set()
    if not font.scalable or font.family_name.lower().startswith(_PLACEHOLDERS):
        return set()
    return {each for each in characters if font.get_char_index(ord(each))}


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def drawable(text: str) -> str:
    r"""The printable text; a character that no installed font has is an escape, as Python writes it.

    Example:
        >>> drawable("dress, no character: " + chr(0x10FFFD))
        'dress, no character: \\U0010fffd'
    """
    text = printable(text)
    fonts = _fonts()
    fonts.locate(text)
    return "".join(_escape(each) if fonts.file_of.get(each, "") is None else each for each in text)


def _runs(text: str) -> Iterator[tuple[str, str]]:
    """Parts of a drawable text, each with the file of its font; marks and spaces go with the letter before them."""
    fonts = _fonts()
    fonts.locate(text)
    part, current = "", bundled_font()
    for each in text:
        path = fonts.file_of.get(each) or current
        if part and path != current:
            yield part, current
            part = ""
        part, current = part + each, path
    if part:
        yield part, current


@cache
def _opened(path: str, size: int) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.truetype(path, size)


def text_width(text: str, size: int) -> int:
    """Pixels of a drawable text on one line, of letters of a size in pixels."""
    return round(sum(_opened(path, size).getlength(part) for part, path in _runs(text)))


def fitted(text: str, width: int, size: int) -> str:
    """A drawable text, cut with an ellipsis where it is wider than so many pixels."""
    if text_width(text, size) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        fits = text_width(text[:middle] + "…", size) <= width
        low, high = (middle, high) if fits else (low, middle - 1)
    return text[:low].rstrip() + "…"


def draw_text(
    draw: ImageDraw.ImageDraw, position: tuple[float, float], text: str, *, size: int, fill: tuple[int, int, int]
) -> None:
    """Draws a drawable text on one line, its upper left corner at a position in pixels."""
    x, y = position
    base = y + _opened(bundled_font(), size).getmetrics()[0]
    for part, path in _runs(text):
        font = _opened(path, size)
        draw.text((x, base), part, fill=fill, font=font, anchor="ls")
        x += font.getlength(part)


def plot_text(text: str) -> str:
    r"""The text for Matplotlib within `plot_fonts`; two dollars would begin and end mathematics there.

    Example:
        >>> plot_text("$x^$")
        '\\$x^\\$'
    """
    return drawable(text).replace("$", r"\$")


@contextmanager
def plot_fonts(texts: Iterable[str]) -> Iterator[None]:
    """Within it Matplotlib's new texts have letters for what stands in `texts`, where a font is installed."""
    import matplotlib

    fonts = _fonts()
    for text in texts:
        fonts.locate(printable(text))
    with matplotlib.rc_context({"font.family": fonts.families}):
        yield
