"""What a build of the site would refuse, without building it: links, anchors, navigation, names of the reference."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

import tfdvbpr

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
LINKING = [*PAGES, ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("*/README.md"))]
_IMAGES = {".png", ".jpg", ".gif", ".svg"}


def _prose(page: Path) -> str:
    """The page without its code, whose brackets are no links."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def _links(text: str) -> Iterator[tuple[str, str]]:
    """(path, anchor) of every relative link and image; either may be empty."""
    for target in re.findall(r"\]\(([^()\s]+)\)", text):
        if not re.match(r"\w+:", target):
            path, _, anchor = target.partition("#")
            yield path, anchor


def _anchors(page: Path) -> set[str]:
    """The anchors that MyST and GitHub give to headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#{1,3} (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def _broken(page: Path) -> list[str]:
    found = []
    for path, anchor in _links(_prose(page)):
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in _anchors(target)):
            found.append(f"{path}#{anchor}" if anchor else path)
    return found


@pytest.mark.parametrize("page", LINKING, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert _broken(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# Other page: one\n", encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md#other-page-one) [b](other.md#two) [c](gone.md) `[d](code)` [e](https://a.org) ![f](gone.png)\n",
        encoding="utf-8",
    )
    assert _broken(page) == ["other.md#two", "gone.md", "gone.png"]


def _toctrees() -> Iterator[Path]:
    """Every page that a toctree of another page names, without its suffix."""
    for page in PAGES:
        for tree in re.findall(
            r"^```\{toctree\}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        ):
            for entry in tree.splitlines():
                entry = re.sub(r"^.* <(.+)>$", r"\1", entry)
                if entry and not entry.startswith(":"):
                    matches = sorted(page.parent.glob(f"{entry}.*"))
                    assert matches, f"{page.name} names {entry}"
                    yield from (match.with_suffix("") for match in matches)


def test_every_page_is_in_the_navigation_once() -> None:
    named = list(_toctrees())
    pages = [page.with_suffix("") for page in (*PAGES, *DOCS.glob("notebooks/*.ipynb"))]
    assert sorted(named) == sorted(set(pages) - {DOCS / "index"})


def test_every_image_is_on_a_page() -> None:
    shown = {(page.parent / path).resolve() for page in LINKING for path, _ in _links(_prose(page)) if path}
    stored = {path for path in DOCS.rglob("*") if path.suffix in _IMAGES and "_build" not in path.parts}
    assert stored - shown == set()


def _documented() -> list[str]:
    pages = [page.read_text(encoding="utf-8") for page in (DOCS / "reference" / "python").glob("*.md")]
    return [name for page in pages for name in re.findall(r"^\.\. auto\w+:: (\S+)$", page, flags=re.MULTILINE)]


def test_every_public_name_is_in_the_reference() -> None:
    public = {f"tfdvbpr.{name}" for name in tfdvbpr.__all__} - {"tfdvbpr.__version__", "tfdvbpr.TfdvbprError"}
    assert public - set(_documented()) == set()


@pytest.mark.parametrize("name", _documented())
def test_a_documented_name_exists_and_says_what_it_is(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    value: Any
    try:
        value = import_module(name)
    except ModuleNotFoundError:
        value = getattr(import_module(module), attribute)
    assert value.__doc__


def test_read_the_docs_builds_what_make_docs_builds() -> None:
    config = yaml.safe_load((ROOT / ".readthedocs.yaml").read_text(encoding="utf-8"))
    assert (ROOT / config["sphinx"]["configuration"]).is_file()
    assert config["sphinx"]["fail_on_warning"]
    assert "--fail-on-warning" in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {"requirements": "requirements-docs.lock"} in config["python"]["install"]


def _pins(lock: str) -> dict[str, set[str]]:
    """The versions of each package in a lock."""
    pins: dict[str, set[str]] = {}
    for line in (ROOT / lock).read_text(encoding="utf-8").splitlines():
        name, version = line.split()[0].split("==")
        pins.setdefault(name, set()).add(version)
    return pins


def test_the_docs_are_built_with_the_versions_that_are_tested() -> None:
    tested, docs = _pins("requirements.lock"), _pins("requirements-docs.lock")
    both = tested.keys() & docs.keys()
    assert {"tensorflow", "keras", "numpy", "pydantic"} <= both
    assert {name: docs[name] for name in both} == {name: tested[name] for name in both}
    assert "sphinx" in docs.keys() - tested.keys()
