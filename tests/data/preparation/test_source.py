from __future__ import annotations

from pathlib import Path

import pytest

from tfdvbpr.data.preparation.source import images_below


@pytest.mark.parametrize("image", ["a\0b", "loop/x", "../outside", "/etc/hostname", "link", "", "none", "x" * 5000])
def test_whatever_a_table_says_an_unreadable_image_is_an_os_error(tmp_path: Path, image: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside").write_bytes(b"secret")
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "loop").symlink_to(root / "loop")
    (root / "a.jpg").write_bytes(b"image")
    read = images_below(root)
    assert read("a.jpg") == b"image"
    with pytest.raises(OSError, match=r".+"):
        read(image)
