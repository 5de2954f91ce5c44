"""What the shell completes: folders by kind, models, configuration keys and metrics. Nothing here loads TensorFlow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_MOST = 200  # folders that are looked into
_MANIFEST_BYTES = 1_000_000


def _folders(incomplete: str, kinds: tuple[str, ...]) -> list[str]:
    """Folders of a kind that begin as typed, and others to go on in, which end with a slash."""
    typed = Path(incomplete)
    parent, start = (typed, "") if incomplete.endswith("/") or not incomplete else (typed.parent, typed.name)
    found = []
    try:
        children = sorted(each for each in parent.iterdir() if each.name.startswith(start) and each.is_dir())
    except OSError:
        return []
    for child in children[:_MOST]:
        if child.name.startswith(".") and not start.startswith("."):
            continue
        kind = _kind(child)
        if kind in kinds:
            found.append(str(child))
        elif kind is None:
            found.append(f"{child}/")
    return found


def _kind(folder: Path) -> str | None:
    """ "recommender" or "gan" for a run, "dataset" for a prepared dataset, None for another folder."""
    path = folder / "manifest.json"
    try:
        if path.stat().st_size > _MANIFEST_BYTES:
            return None
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(manifest, dict):
        return None
    return str(manifest["kind"]) if "kind" in manifest else "dataset" if "source_format" in manifest else None


def runs(incomplete: str) -> list[str]:
    """Folders made by `tfdvbpr train`."""
    return _folders(incomplete, ("recommender",))


def gan_runs(incomplete: str) -> list[str]:
    """Folders made by `tfdvbpr train-gan`."""
    return _folders(incomplete, ("gan",))


def datasets(incomplete: str) -> list[str]:
    """Folders made by `tfdvbpr prepare`."""
    return _folders(incomplete, ("dataset",))


def models(incomplete: str) -> list[str]:
    """Names of recommenders."""
    from tfdvbpr.models.recommenders import RECOMMENDERS

    return [name for name in RECOMMENDERS if name.startswith(incomplete)]


def config_keys(ctx: Any, incomplete: str) -> list[str]:
    """Keys for --set, as KEY=, of the command's configuration."""
    from tfdvbpr.config import GanConfig, RecommenderConfig

    kind = GanConfig if ctx.info_name == "train-gan" or ctx.params.get("model") == "gan" else RecommenderConfig
    return [f"{name}=" for name in kind.model_fields if name.startswith(incomplete)]
