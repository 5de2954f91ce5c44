"""The names that a wrong one may have meant."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 40  # characters of a name that are compared: the time grows with their square


def edit_distance(first: str, second: str, *, most: int) -> int:
    """Insertions, deletions, replacements and swaps of neighbours from one text to the other, at most `most` + 1.

    The optimal string alignment distance (Damerau 1964, Levenshtein 1966).

    Example:
        >>> edit_distance("epohcs", "epochs", most=3), edit_distance("a", "abcdef", most=3)
        (1, 4)
    """
    if abs(len(first) - len(second)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(second) + 1))
    for number, left in enumerate(first, start=1):
        before, last, row = row, before, [number]
        for place, right in enumerate(second, start=1):
            cost = min(before[place] + 1, row[place - 1] + 1, before[place - 1] + (left != right))
            if number > 1 and place > 1 and left == second[place - 2] and first[number - 2] == right:
                cost = min(cost, last[place - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return row[-1]


def nearest(received: str, names: Iterable[str], *, count: int = 3) -> list[str]:
    """Up to `count` names that are near to a wrong one, without case.

    Those come first that it begins, then those of few edits; where there are none, those that it is a part of.
    An edit is allowed for every three characters, and one more. Symbols before a name, such as the dashes of an
    option, count as characters.

    Example:
        >>> nearest("recal@10", ["auc", "recall@10"]), nearest("emb", ["embedding_dim"]), nearest("zzz", ["auc"])
        (['recall@10'], ['embedding_dim'], [])
    """
    wanted = received.casefold()[:_LONGEST]
    most = 1 + len(wanted) // 3
    found, holding = [], []
    for place, name in enumerate(names):
        folded = name.casefold()[:_LONGEST]
        begins = len(wanted) > 1 and (folded.startswith(wanted) or (len(folded) > 1 and wanted.startswith(folded)))
        distance = edit_distance(wanted, folded, most=most)
        if begins or distance <= most:
            found.append((min(distance, 1) if begins else distance, distance, place, name))
        elif len(wanted) > 2 and wanted in folded:
            holding.append(name)
    return [name for *_, name in sorted(found)[:count]] or holding[:count]
