"""What the demo refuses; the whole of it is `make demo`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfdvbpr.demo import walk
from tfdvbpr.errors import OutputExistsError


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(OutputExistsError, match="holds other things"):
        walk.run_demo(tmp_path)
    assert (tmp_path / "letter.txt").is_file()


def test_a_demo_of_another_seed_is_not_mixed_in(tmp_path: Path) -> None:
    (tmp_path / walk.MARKER_NAME).write_text('{"seed": 1, "version": "0"}\n')
    with pytest.raises(OutputExistsError, match="another seed or version"):
        walk.run_demo(tmp_path, seed=0)
