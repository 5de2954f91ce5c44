"""Dicts of choices that other distributions can add to through entry points."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pkgutil import resolve_name
from typing import Any, Generic, TypeVar

from tfdvbpr.errors import ConfigError

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """A read-only mapping from names to classes or functions: the built-in ones, then those of entry points.

    Another distribution adds an entry in its pyproject.toml:

        [project.entry-points."tfdvbpr.samplers"]
        my-sampler = "my_package.samplers:MySampler"

    Entry points are searched when an unknown name is looked up and when the names are listed, never at import. Listing
    names imports no plug-in; looking one up, `values()` and `items()` do.

    Args:
        group: the entry points' group, such as "tfdvbpr.samplers".
        builtin: the entries of this library, in the order in which they are listed.
        lazy: further ones as "module:attribute", imported when they are looked up.

    Raises:
        ConfigError: at a look-up or a listing, if two distributions give the same name or one gives a built-in name, or
            if a plug-in cannot be imported; the sentence names the distribution.

    Example:
        >>> shapes = Registry("tfdvbpr.shapes", {"round": "a circle"})
        >>> shapes["round"], "square" in shapes, list(shapes)
        ('a circle', False, ['round'])
    """

    def __init__(self, group: str, builtin: Mapping[str, T], *, lazy: Mapping[str, str] | None = None) -> None:
        self.group = group
        self._builtin = dict(builtin)
        self._lazy = dict(lazy or {})

    def __getitem__(self, name: str) -> T:
        if name in self._lazy:
            loaded: T = resolve_name(self._lazy[name])
            return loaded
        return self._builtin[name] if name in self._builtin else _loaded(self._plugins()[name])

    def __contains__(self, name: object) -> bool:
        return name in self._own() or name in self._plugins()

    def __iter__(self) -> Iterator[str]:
        yield from self._own()
        yield from self._plugins()

    def __len__(self) -> int:
        return len(self._own()) + len(self._plugins())

    def _own(self) -> Mapping[str, object]:
        return self._builtin | self._lazy

    def __repr__(self) -> str:
        return f"Registry({self.group!r}, {', '.join(self)})"

    def _plugins(self) -> Mapping[str, EntryPoint]:
        plugins: dict[str, EntryPoint] = {}
        for found in _entry_points(self.group, tuple(sys.path)):
            if found.name in self._own() or found.name in plugins:
                other = _distribution(plugins[found.name]) if found.name in plugins else "tfdvbpr"
                raise ConfigError(
                    f"A name must be registered once in {self.group}. {_distribution(found)} gives {found.name!r}, "
                    f"which {other} has already. Rename or uninstall one of them."
                )
            plugins[found.name] = found
        return plugins


@cache
def _entry_points(group: str, search_path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Entry points by name; `search_path` is the cache's key, so that a path added later is searched."""
    return tuple(sorted(entry_points(group=group), key=lambda each: each.name))


def _loaded(plugin: EntryPoint) -> Any:
    try:
        return plugin.load()
    except Exception as error:  # a plug-in's import can fail in any way
        raise ConfigError(
            f"The plug-in {plugin.name!r} of {_distribution(plugin)} must import as {plugin.value}. It fails with "
            f"{type(error).__name__}: {error}. Repair or uninstall {_distribution(plugin)}."
        ) from error


def _distribution(plugin: EntryPoint) -> str:
    return "an unnamed distribution" if plugin.dist is None else f"{plugin.dist.name} {plugin.dist.version}"
