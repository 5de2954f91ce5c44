from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
from export_helpers import OPTIONS, TAILORING, Unsaved, difference
from PIL import Image

from tfdvbpr.config import dump_yaml
from tfdvbpr.config.upscaler import UpscalerConfig
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.sample import sample_images, shown_images
from tfdvbpr.designing.tailor import Tailor
from tfdvbpr.models.gans.upscaler import Upscaler
from tfdvbpr.run import GanRun, Run
from tfdvbpr_export.designer.heads import ServedDesigner


def test_images_have_the_upscalers_size(tiny_run: Run, lively_gan_run: GanRun, tmp_path: Path) -> None:
    """Figures stay those of the small images; the saved model holds the upscaler's weights."""
    large = _upscaled(lively_gan_run, tmp_path / "large")
    small_designer, designer = (Designer(tiny_run, run, options=OPTIONS) for run in (lively_gan_run, large))
    module = ServedDesigner(designer, Tailor(designer, options=TAILORING), max_steps=9)
    assert {id(weight.value) for weight in large.upscaler.weights} <= {id(each) for each in module.network_weights}
    answer = Unsaved(module)("generate", categories=["shoe"], seeds=[5])
    expected = sample_images(large, ["shoe"], seeds=[5], shown=True)
    image = np.asarray(Image.open(io.BytesIO(answer["image_bytes"][0])))
    assert image.shape == (64, 64, 3)
    assert difference(image, expected[0]) <= 1
    answer = Unsaved(module)("design", user_ids=["u0"], categories=["shirt"], seeds=[7], num_steps=[2])
    designs = small_designer.design(["u0"], ["shirt"], seeds=[7], num_steps=2)
    np.testing.assert_allclose(answer["preferences"], designs.preferences, rtol=1e-5, atol=1e-7)
    for file, small in zip(answer["image_bytes"][0], designs.images[0], strict=True):
        expected = shown_images(large, small[None], ["shirt"])[0]
        assert difference(np.asarray(Image.open(io.BytesIO(file))), expected) <= 1


def _upscaled(gan_run: GanRun, folder: Path) -> GanRun:
    """The run with an upscaler of random weights."""
    shutil.copytree(gan_run.path, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "upscaled_size": [64, 64]}))
    (folder / "upscaling").mkdir()
    (folder / "upscaling" / "config.yaml").write_text(dump_yaml(UpscalerConfig(base_channels=3)))
    upscaler = Upscaler((32, 32), num_categories=2, base_channels=3)
    random = np.random.default_rng(0)
    upscaler.set_weights([random.normal(0, 0.1, weight.shape) for weight in upscaler.get_weights()])
    upscaler.save_weights(folder / "upscaler.weights.h5")
    return GanRun.open(folder)
