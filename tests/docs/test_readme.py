from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "ten_lines.py"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_shows_the_example_as_it_is() -> None:
    shown = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert EXAMPLE.read_text(encoding="utf-8") in shown


def test_the_first_hour_takes_at_most_eight_commands_that_follow_from_each_other() -> None:
    """tests/benchmarks/first_hour.py runs them."""
    sys.path.insert(0, str(ROOT / "tests" / "benchmarks"))
    try:
        from first_hour import readme_commands
    finally:
        sys.path.pop(0)
    commands = readme_commands()
    assert 6 <= len(commands) <= 8
    made = {"shop"}
    for command in commands[1:]:
        _, _, source, *others = shlex.split(command)
        assert source in made, command
        made.add(others[others.index("--output") + 1] if "--output" in others else "")


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With a smaller shop, a smaller GAN, and fewer epochs and steps."""
    code = EXAMPLE.read_text(encoding="utf-8")
    for whole, less in (
        ('{"num_items": 300, "num_users": 200}', '{"num_items": 60, "num_users": 30}'),
        ('"dvbpr", epochs=5', '"dvbpr", epochs=1'),
        ("(epochs=2, base_channels=8)", "(epochs=1, base_channels=4, discriminator_channels=4)"),
        ('category="dress", seed=1', 'category="dress", seed=1, options=tfdvbpr.DesignOptions(num_steps=2)'),
    ):
        assert code.count(whole) == 1
        code = code.replace(whole, less)
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), str(tmp_path)])
    exec(compile(code, EXAMPLE.name, "exec"), {"__name__": "__main__"})
    lines = capsys.readouterr().out.splitlines()
    assert "'all'" in lines[0]
    assert len(re.findall(r"item-\d+", lines[1])) == 5
    assert lines[2].startswith("(1, 8, 64, 64, 3)")


def test_every_file_the_readme_names_is_there() -> None:
    named = re.findall(r"`((?:docs|serving|tests|export)/[\w./-]*)`", README)
    linked = re.findall(r"\]\((docs/[\w./-]*)\)", README)
    assert linked
    for name in [*named, *linked]:
        assert (ROOT / name).exists(), name
