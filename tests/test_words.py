"""The field's words in names and texts: what a search box would not find is a defect.

`python tests/test_words.py` lists every place that breaks the rule.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = (ROOT / "tfdvbpr", ROOT / "export" / "tfdvbpr_export", ROOT / "serving" / "tfdvbpr_serving")

# A private word, and what the field says.
NAMES = {
    "told": "logging, or `metrics`",
    "asked": "`request`",
    "redrawn": "`reconstructions`",
    "drawn": "`generated`, `sampled`",
    "fresh": "`prior_samples`, `new`",
    "picture": "`image`",
    "pictures": "`images`",
    "pictured": "`images`",
    "looks": "`item_embeddings`, `features`",
    "tastes": "`user_embeddings`, `user_profiles`",
    "taste": "`user_embedding`",
    "stranger": "unknown id",
    "strangers": "unknown ids",
    "somebody": "`new_user`",
    "people": "`users`",
    "climb": "`gradient_ascent`",
    "perceive": "`perceptual_features`",
    "judge": "`evaluate`",
    "judging": "`evaluate`",
    "judged": "`evaluated`",
    "judgement": "`evaluation`",
    "arms": "`baselines`",
    "sheet": "`sample_grid`",
    "sheets": "`sample_grids`",
    "moment": "`training_progress`",
    "around": "(removed)",
    "agreed": "`all_reduce`",
    "settle": "`recalibrate`",
    "settled": "`recalibrated`",
    "trunk": "`backbone`",
    "trunks": "`backbones`",
    "learnt": "`trainable`",
    "questions": "`requests`",
    "answers": "`responses`",
    "refusals": "`errors`",
}
TEXTS = {
    **{word: NAMES[word] for word in ("told", "redrawn", "learnt", "somebody", "stranger", "strangers", "tastes")},
    **{word: NAMES[word] for word in ("pictures", "picture", "trunk", "trunks", "judgement", "climb")},
    **dict.fromkeys(("she", "her", "hers"), "the user"),
    "cannot be had": "is unavailable, is not installed",
    "around which": "(removed)",
}
# What stays, and why: (part of a path, word).
EXCEPTIONS: dict[tuple[str, str], str] = {}

Place = tuple[str, int, str, str]


def _named(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that the module itself defines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno


def _texts(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every string constant: docstrings, help, errors and log lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value, node.lineno


def _words(name: str) -> list[str]:
    """The words of an identifier, lower case: `ItemLooks` and `item_looks` have the same."""
    return [word.lower() for part in name.split("_") for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", part)]


def _found(path: Path) -> Iterator[Place]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    place = path.relative_to(ROOT).as_posix()
    for word in _words(path.stem):
        if word in NAMES:
            yield place, 1, word, NAMES[word]
    for name, line in _named(tree):
        for word in _words(name):
            if word in NAMES:
                yield place, line, f"{word} (in `{name}`)", NAMES[word]
    for text, line in _texts(tree):
        for word, better in TEXTS.items():
            if re.search(rf"\b{word}\b", text, flags=re.IGNORECASE):
                yield place, line, word, better


def places() -> list[Place]:
    """Every place with a private word that no exception covers."""
    files = [file for source in SOURCES for file in sorted(source.rglob("*.py")) if not file.name.endswith("_pb2.py")]
    return [
        found
        for file in files
        for found in _found(file)
        if not any(part in found[0] and word == found[2].split(" ")[0] for part, word in EXCEPTIONS)
    ]


def test_names_and_texts_use_the_fields_words() -> None:
    shown = [f"{path}:{line}: {word}; write {better}" for path, line, word, better in places()]
    assert not shown, "\n".join(shown)


def test_a_private_word_is_found() -> None:
    assert _words("ItemLooks") == ["item", "looks"]
    assert list(_named(ast.parse("def told(asked): pass"))) == [("told", 1), ("asked", 1)]


if __name__ == "__main__":
    for path, line, word, better in places():
        print(f"{path}:{line}: {word}; write {better}")
