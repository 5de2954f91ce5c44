"""Which versions of a model are to be served, in TensorFlow Serving's terms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType


@dataclass(frozen=True)
class VersionPolicy:
    """A `model_version_policy`.

    Attributes:
        latest: how many of the newest versions; None for all of them.
        specific: these and no others, where any are named.
    """

    latest: int | None = 1
    specific: tuple[int, ...] = ()

    def wanted(self, found: Iterable[int]) -> list[int]:
        """Those of the versions on disk that are to be served, smallest first."""
        versions = sorted(found)
        if self.specific:
            return [version for version in versions if version in self.specific]
        return versions if self.latest is None else versions[-self.latest :]


@dataclass(frozen=True)
class ModelSource:
    """A model to serve.

    Attributes:
        name: as requests name it.
        base_path: holds the numbered version folders.
        policy: which of them.
        labels: versions by label, such as {"stable": 3, "canary": 4}.
    """

    name: str
    base_path: Path
    policy: VersionPolicy = VersionPolicy()
    labels: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
