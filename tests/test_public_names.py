from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import tfdvbpr

EXPECTED = [
    "Audience",
    "DesignOptions",
    "Designer",
    "GanConfig",
    "GanRun",
    "PrepareOptions",
    "PreparedDataset",
    "RecommenderConfig",
    "Run",
    "Tailor",
    "TailorOptions",
    "TfdvbprError",
    "UpscalerConfig",
    "__version__",
    "attack",
    "check_source",
    "compare",
    "describe",
    "design",
    "ensemble",
    "evaluate",
    "evaluate_attributes",
    "evaluate_designs",
    "evaluate_gan",
    "evaluate_panel",
    "experiment",
    "explain",
    "export_designer",
    "export_recommender",
    "gan_config",
    "generate",
    "interpolate",
    "make_strategy",
    "prepare",
    "recommend",
    "recommender_config",
    "tailor",
    "train",
    "train_gan",
    "train_upscaler",
    "update_items",
    "update_users",
    "write_report",
]
_IMPORT = """
import sys
import tfdvbpr
loaded = {name.partition(".")[0] for name in sys.modules}
heavy = {"tensorflow", "keras", "numpy", "polars", "scipy", "pydantic"} & loaded
print(",".join(sorted(heavy)))
"""


def test_public_names() -> None:
    assert tfdvbpr.__all__ == EXPECTED
    assert dir(tfdvbpr) == sorted(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_public_name_resolves_and_says_what_it_is(name: str) -> None:
    value = getattr(tfdvbpr, name)
    assert name == "__version__" or value.__doc__


@pytest.mark.parametrize("name", EXPECTED)
def test_no_public_name_is_a_module_of_the_package(name: str) -> None:
    """Importing the module would put it in the name's place."""
    assert not (Path(tfdvbpr.__file__).parent / name).exists()
    assert not (Path(tfdvbpr.__file__).parent / f"{name}.py").exists()


def test_no_such_name() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = tfdvbpr.nonsense  # type: ignore[attr-defined]


def test_importing_loads_nothing_heavy() -> None:
    paths = ":".join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT], env={"PYTHONPATH": paths}, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(("given", "found"), [({}, "1"), ({"TF_ENABLE_ONEDNN_OPTS": "0"}, "0")])
def test_tensorflow_computes_by_onednn_unless_the_environment_decides(given: dict[str, str], found: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import os, tfdvbpr; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"],
        env={"PYTHONPATH": ":".join(path for path in sys.path if path), **given},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == found
