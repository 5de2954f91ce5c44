"""A SavedModel needs TensorFlow and nothing else."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from export_helpers import Exported
from tiny_data import RED, encoded, noisy_picture

SCRIPT = Path(__file__).with_name("isolated_script.py")
PICTURE = encoded(noisy_picture(RED, (40, 30), 1))


def _answers_alike(served: Exported, tmp_path: Path, requests: dict[str, dict[str, Any]]) -> None:
    assert set(requests) == set(served.model.signatures)
    written = {
        name: {
            key: [base64.b64encode(image).decode() for image in value] if key == "images" else value
            for key, value in inputs.items()
        }
        for name, inputs in requests.items()
    }
    (tmp_path / "requests.json").write_text(json.dumps(written), encoding="utf-8")
    command = [sys.executable, "-I", str(SCRIPT), str(served.folder), "requests.json", "answers.npz"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {"signatures": sorted(requests), "refused": []}
    with np.load(tmp_path / "answers.npz") as answers:
        for name, inputs in requests.items():
            for key, expected in served(name, **inputs).items():
                found = answers[f"{name}/{key}"]
                if expected.dtype == object:
                    assert found.tolist() == expected.tolist(), (name, key)
                elif expected.dtype == np.uint8:
                    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1, (name, key)
                else:
                    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7, err_msg=f"{name}/{key}")


def test_the_recommender_alone(recommender: Exported, tmp_path: Path) -> None:
    ranking: dict[str, Any] = {
        "user_ids": ["u1", "nobody"],
        "k": [3, 2],
        "categories": ["", "shoe"],
        "exclude_seen": [True, False],
    }
    requests = {
        "recommend": ranking,
        "serving_default": ranking,
        "score": {"user_ids": ["u1", "nobody"], "item_ids": [["i3", "i4"], ["i5", "none"]]},
        "embed_images": {"images": [PICTURE]},
    }
    _answers_alike(recommender, tmp_path, requests)


def test_the_designer_alone(served_designer: Exported, tmp_path: Path) -> None:
    design: dict[str, Any] = {"user_ids": ["u1"], "categories": ["shoe"], "seeds": [4]}
    requests = {
        "design": design,
        "serving_default": design,
        "generate": {"categories": ["shirt", "hat"], "seeds": [4, 5]},
    }
    _answers_alike(served_designer, tmp_path, requests)
