"""Numbered version folders, as TensorFlow Serving reads them: `recommender/1/saved_model.pb`."""

from __future__ import annotations

from pathlib import Path

from tfdvbpr_serving.errors import ModelLoadError


def version_folders(base_path: Path) -> dict[int, Path]:
    """The version folders under a model's base path: whole numbers that hold a SavedModel, smallest first."""
    if not base_path.is_dir():
        return {}
    numbered = {int(p.name): p for p in base_path.iterdir() if p.name.isascii() and p.name.isdigit()}
    return {
        version: numbered[version] for version in sorted(numbered) if (numbered[version] / "saved_model.pb").is_file()
    }


def check_base_path(name: str, base_path: Path) -> None:
    """Refuses a folder that holds nothing to serve.

    Raises:
        ModelLoadError: if there is no version folder with a SavedModel in it.
    """
    if not version_folders(base_path):
        found = "none" if base_path.is_dir() else "no such folder"
        raise ModelLoadError(
            f"The model folder {base_path} of {name!r} must hold numbered versions, such as {base_path / '1'}, each "
            f"with a saved_model.pb. Received {found}. Run tfdvbpr-export first."
        )
