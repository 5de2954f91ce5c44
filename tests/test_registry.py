from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tfdvbpr.errors import ConfigError
from tfdvbpr.registry import Registry

GROUP = "tfdvbpr.test_shapes"


def _install(folder: Path, name: str, entries: dict[str, str], module: str = "") -> None:
    """Writes a distribution as pip would leave it: a module and a dist-info folder."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = "".join(f"{entry} = {value}\n" for entry, value in entries.items())
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{lines}")
    (folder / f"{name}.py").write_text(module)


@pytest.fixture
def shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[str]:
    monkeypatch.syspath_prepend(str(tmp_path))
    return Registry(GROUP, {"round": "circle", "flat": "line"})


def test_builtin_entries_come_first_and_in_order(shapes: Registry[str], tmp_path: Path) -> None:
    _install(tmp_path, "shapes_plugin_a", {"angular": "shapes_plugin_a:SQUARE"}, "SQUARE = 'square'")
    assert list(shapes) == ["round", "flat", "angular"]
    assert len(shapes) == 3
    assert "angular" in shapes
    assert "shapes_plugin_a" not in sys.modules  # listing imports nothing
    assert shapes["angular"] == "square"
    assert dict(shapes) == {"round": "circle", "flat": "line", "angular": "square"}


def test_unknown_name(shapes: Registry[str]) -> None:
    assert "angular" not in shapes
    assert shapes.get("angular") is None
    with pytest.raises(KeyError, match="angular"):
        shapes["angular"]


def test_a_path_added_later_is_searched(shapes: Registry[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "late" not in shapes
    _install(tmp_path / "later", "shapes_plugin_b", {"late": "shapes_plugin_b:LATE"}, "LATE = 'late'")
    monkeypatch.syspath_prepend(str(tmp_path / "later"))
    assert shapes["late"] == "late"


def test_broken_plugin_is_reported_with_its_distribution(shapes: Registry[str], tmp_path: Path) -> None:
    _install(tmp_path, "shapes_plugin_c", {"broken": "shapes_plugin_c:X"}, "raise RuntimeError('no licence')")
    assert shapes["round"] == "circle"  # does not hinder the others
    with pytest.raises(ConfigError, match=r"'broken' of shapes_plugin_c 1\.0 .* RuntimeError: no licence"):
        shapes["broken"]


def test_missing_attribute_is_reported(shapes: Registry[str], tmp_path: Path) -> None:
    _install(tmp_path, "shapes_plugin_d", {"absent": "shapes_plugin_d:X"})
    with pytest.raises(ConfigError, match=r"shapes_plugin_d 1\.0 .*AttributeError"):
        shapes["absent"]


def test_builtin_name_cannot_be_replaced(shapes: Registry[str], tmp_path: Path) -> None:
    _install(tmp_path, "shapes_plugin_e", {"round": "shapes_plugin_e:X"}, "X = 'oval'")
    assert shapes["round"] == "circle"
    with pytest.raises(ConfigError, match=r"shapes_plugin_e 1\.0 gives 'round', which tfdvbpr has already"):
        list(shapes)


def test_two_distributions_with_one_name_are_refused(shapes: Registry[str], tmp_path: Path) -> None:
    for name in ("shapes_plugin_f", "shapes_plugin_g"):
        _install(tmp_path, name, {"twice": f"{name}:X"}, "X = 1")
    with pytest.raises(ConfigError, match=r"'twice', which shapes_plugin_\w 1\.0 has already"):
        shapes["twice"]
