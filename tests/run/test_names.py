from __future__ import annotations

from pathlib import Path

import pytest

from tfdvbpr.run.names import distinct_names, run_title


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (["/a/dvbpr", "/a/popularity"], ["dvbpr", "popularity"]),
        (["/a/runs/dvbpr", "/b/runs/dvbpr"], ["a/runs/dvbpr", "b/runs/dvbpr"]),
        (["/dvbpr", "/b/dvbpr"], ["/dvbpr", "b/dvbpr"]),
        (["/a/x", "/a/x", "/a/x"], ["x", "x-2", "x-3"]),
        (["/a/x", "/a/x", "/a/x-2"], ["x", "x-2", "x-2-2"]),
        (["/a/x", "/a/../a/x"], ["x", "x-2"]),
    ],
)
def test_names_are_distinct_and_short(folders: list[str], names: list[str]) -> None:
    assert distinct_names([Path(folder) for folder in folders]) == names
    assert len(set(names)) == len(folders)


def test_a_name_that_is_taken_is_numbered() -> None:
    assert distinct_names([Path("/a/photos")], taken=["photos"]) == ["photos-2"]
    assert run_title("spring", "dvbpr") == "spring (dvbpr)"
