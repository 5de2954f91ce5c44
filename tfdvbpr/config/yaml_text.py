"""YAML from outside: aliases may not grow it, nor nesting break the reader."""

from __future__ import annotations

from typing import Any

import yaml

from tfdvbpr.errors import ConfigError

MOST_CHARACTERS, MOST_VALUES, MOST_LEVELS = 1 << 20, 100_000, 100


class _Loader(yaml.SafeLoader):
    """Ends at a nesting that is too deep; to read it to its end would take the square of its length."""

    level = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The node that begins here, with all that is in it."""
        if self.level > MOST_LEVELS:
            raise ConfigError(f"YAML must be nested at most {MOST_LEVELS} deep. Received more.")
        self.level += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.level -= 1


def load_yaml(text: str) -> Any:
    """The value of a YAML text; aliases count as often as they are referred to.

    Raises:
        ConfigError: if it is no YAML, longer than 1 MiB, holds more than 100,000 values with its aliases written out,
            is nested more than 100 deep, or refers to itself.

    Example:
        >>> load_yaml("{a: &x [1, 2], b: *x}")
        {'a': [1, 2], 'b': [1, 2]}
    """
    if len(text) > MOST_CHARACTERS:
        raise ConfigError(f"YAML must have at most {MOST_CHARACTERS:,} characters. Received {len(text):,}.")
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_size(node)
        return loader.construct_document(node)
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        if isinstance(error, ConfigError):
            raise
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"YAML must be readable. It cannot be read: {first}.") from None
    finally:
        loader.dispose()


def _check_size(root: yaml.Node) -> None:
    """Counts values with aliases written out, each distinct node once."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node, level: int) -> int:
        if level > MOST_LEVELS:  # also an alias within its own anchor
            raise ConfigError(f"YAML must be nested at most {MOST_LEVELS} deep. Received more, or an alias of itself.")
        if id(node) not in sizes:
            parts = [] if isinstance(node, yaml.ScalarNode) else node.value
            if isinstance(node, yaml.MappingNode):
                parts = [part for pair in node.value for part in pair]
            sizes[id(node)] = 1 + sum(size(part, level + 1) for part in parts)
            if sizes[id(node)] > MOST_VALUES:
                raise ConfigError(f"YAML must hold at most {MOST_VALUES:,} values with its aliases. It holds more.")
        return sizes[id(node)]

    size(root, 0)
