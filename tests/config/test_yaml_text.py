"""YAML that grows, nests or refers to itself, in a file, after --set and in a run folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_data import Command

from tfdvbpr.config import RecommenderConfig, resolve_config
from tfdvbpr.config.yaml_text import load_yaml
from tfdvbpr.errors import ConfigError

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 30)
)
HOSTILE = {
    "laughs": (LAUGHS, "at most 100,000 values"),
    "merged": ("a: &a {k: 1}\n" + "b: &b [" + "*a, " * 60_000 + "*a]\nc: *b", "at most 100,000 values"),
    "itself": ("a: &a [*a]", "an alias of itself"),
    "nested": ("[" * 500_000, "at most 100 deep"),
    "mapped": ("{a: " * 100_000, "at most 100 deep"),
    "indented": ("- " * 100_000, "at most 100 deep"),
    "deep": ("[" * 200 + "]" * 200, "at most 100 deep"),
    "long": ("a: " + "x" * (1 << 20), "at most 1,048,576 characters"),
    "open": ("a: [", "cannot be read"),
    "digits": ("a: " + "9" * 5000, "cannot be read"),
    "date": ("a: 2001-99-99", "cannot be read"),
    "code": ("a: !!python/object/apply:os.system [ls]", "cannot be read"),
    "key": ("? [a, b]\n: 1", "cannot be read"),
}


@pytest.mark.parametrize(("text", "named"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_yaml_is_an_error_in_a_sentence(text: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        load_yaml(text)
    assert len(str(caught.value)) < 500
    file = tmp_path / "x.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError):
        resolve_config(RecommenderConfig, file=file)
    with pytest.raises(ConfigError):
        resolve_config(RecommenderConfig, overrides=[f"epochs={text}"])


def test_aliases_and_merges_of_a_usual_size_are_read() -> None:
    text = "base: &base {epochs: 3}\nmodels: [{<<: *base, name: a}, {<<: *base, name: b}]"
    models = load_yaml(text)["models"]
    assert [model["epochs"] for model in models] == [3, 3]
    assert load_yaml("") is None
    assert load_yaml("0.5") == 0.5


def test_a_long_value_is_not_repeated_whole() -> None:
    with pytest.raises(ConfigError, match=r"`epochs` has a wrong value: .*…\.") as caught:
        resolve_config(RecommenderConfig, overrides=[f"epochs=[{'x, ' * 10_000}x]"])
    assert len(str(caught.value)) < 400


def test_an_experiment_file_that_grows_is_one_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(LAUGHS)
    code, _, complaint = command("experiment", tmp_path / "x.yaml", "--output", tmp_path / "out")
    assert code == 2
    assert len(complaint.splitlines()) == 1
