"""Records what moving code must not move, and compares two records.

    python tests/benchmarks/recorded_figures.py record DIRECTORY
    python tests/benchmarks/recorded_figures.py compare BEFORE AFTER

A record holds, for one seed and the tests' small dataset: weights, factors and metrics of every recommender after a few
epochs, 40 steps of each GAN preset, designs, tailored items, and the recorded answers of exported models. Run both
commits on the same machine: equal code gives equal bits there, and another BLAS kernel may not.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
TAILOR = {"num_candidates": 6, "num_starts": 2, "invert_steps": 5, "num_steps": 4}


class Record(dict[str, Any]):
    """Arrays by name."""

    def weights(self, name: str, file: Path) -> None:
        """Adds every array of a Keras weights file, numbered in the file's order."""
        import h5py

        found: list[Any] = []
        with h5py.File(file) as opened:
            opened.visititems(lambda _, node: found.append(np.asarray(node)) if hasattr(node, "dtype") else None)
        self.update({f"{name}/{number:03d}": array for number, array in enumerate(found)})

    def numbers(self, name: str, value: Any) -> None:
        """Adds the numbers of nested mappings, times left out."""
        if isinstance(value, Mapping):
            for key, each in value.items():
                self.numbers(f"{name}/{key}", each)
        elif isinstance(value, int | float) and "seconds" not in name:
            self[name] = np.float64(value)

    def answers(self, name: str, folder: Path) -> None:
        """Adds the answers that an export recorded."""
        import tensorflow as tf
        from tensorflow_serving.apis import prediction_log_pb2

        file = next(folder.rglob("tfdvbpr_recorded_answers"))
        for number, record in enumerate(tf.data.TFRecordDataset([str(file)])):
            log = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log
            for key, tensor in log.response.outputs.items():
                array = tf.make_ndarray(tensor)
                signature = log.response.model_spec.signature_name or log.request.model_spec.signature_name
                self[f"{name}/{number}/{signature}/{key}"] = array.astype("S") if array.dtype == object else array


def record(output: Path) -> None:
    """Trains, evaluates, designs and exports, and writes `output`/arrays.npz."""
    arrays = Record()
    with tempfile.TemporaryDirectory() as scratch:
        _record(arrays, Path(scratch))
    output.mkdir(parents=True, exist_ok=True)
    np.savez(output / "arrays.npz", **arrays)
    print(f"{len(arrays)} arrays in {output / 'arrays.npz'}")


def _record(arrays: Record, work: Path) -> None:
    import polars as pl
    from tiny_data import checkerboard

    from tfdvbpr import api
    from tfdvbpr.config import gan_config
    from tfdvbpr.designing.designer import Designer
    from tfdvbpr.designing.options import DesignOptions, TailorOptions
    from tfdvbpr.designing.tailor import Tailor
    from tfdvbpr.models.recommenders import RECOMMENDERS, recommender_config
    from tfdvbpr_export import export_designer, export_recommender

    dataset = checkerboard(work)
    runs: dict[str, Any] = {}
    few: dict[str, Any] = {"epochs": 4, "embedding_dim": 4, "global_batch_size": 16}
    kinds: dict[str, tuple[str, dict[str, Any]]] = {name: (name, dict(few)) for name in RECOMMENDERS}
    kinds |= {name: (name, {}) for name in ("visrank", "popularity")}
    for name in ("hybrid-dvbpr", "vbpr"):
        kinds[name][1]["factor_dim"] = 3
    kinds["paper-dvbpr"] = ("dvbpr", {**few, "epochs": 1, "preset": "paper", "backbone": "small_cnn"})
    kinds["free-triplet-dvbpr"] = ("dvbpr", {**few, "user_embeddings": "free", "batching": "triplet"})
    for name, (model, values) in kinds.items():
        run = runs[name] = api.train(dataset, work / f"run-{name}", config=recommender_config(model, **values))
        for field in ("user_embeddings", "item_embeddings", "item_biases"):
            arrays[f"recommender/{name}/factors/{field}"] = getattr(run.factors, field)
        for file in run.path.glob("*.h5"):
            arrays.weights(f"recommender/{name}/weights", file)
        arrays.numbers(f"recommender/{name}/metrics", api.evaluate(run))
    options = DesignOptions(num_starts=3, num_steps=6)
    sizes = {"latent_dim": 6, "base_channels": 4, "discriminator_channels": 4, "global_batch_size": 8}
    gans: dict[str, Any] = {}
    for preset in ("default", "plain", "paper"):
        config = gan_config(preset, epochs=20, steps=0, min_category_images=8, **sizes)
        gan = gans[preset] = api.train_gan(dataset, work / f"gan-{preset}", config=config)
        for file in sorted(gan.path.glob("*.h5")):
            arrays.weights(f"gan/{preset}/{file.stem}", file)
        table = pl.read_csv(gan.path / "history.csv")
        kept = [column for column in table.columns if "second" not in column]
        arrays.update({f"gan/{preset}/history/{column}": table[column].to_numpy() for column in kept})
        designer = Designer(runs["dvbpr"], gan, options=options)
        designs = designer.design(["u0", "u3"], ["shirt", "shoe"], seeds=[1, 2])
        for field in ("images", "preferences", "latents"):
            arrays[f"design/{preset}/{field}"] = getattr(designs, field)
        photos = arrays[f"generate/{preset}"] = designer.generate(["shirt", "shoe"], seeds=[101, 102])
        tailor = Tailor(designer, options=TailorOptions(**TAILOR))
        tailored = tailor.tailor(["u0", "u3"], ["shirt", "shoe"], photos, strengths=(0.0, 1.0), num_frames=3)
        for field in ("images", "reconstructions", "losses", "preferences", "initial_preferences", "distances", "ssim"):
            arrays[f"tailor/{preset}/{field}"] = getattr(tailored, field)
    for name in ("dvbpr", "hybrid-dvbpr", "vbpr", "popularity"):
        export_recommender(runs[name].path, work / f"export-{name}")
        arrays.answers(f"export/{name}", work / f"export-{name}")
    for preset in ("plain", "default"):
        folder = work / f"designer-{preset}"
        runs_of = (runs["dvbpr"].path, gans[preset].path)
        export_designer(*runs_of, folder, options=options, tailor_options=TailorOptions(**TAILOR))
        arrays.answers(f"designer/{preset}", folder)


def compare(before: Path, after: Path) -> int:
    """Prints what differs; 0 where nothing does."""
    first, second = (np.load(folder / "arrays.npz") for folder in (before, after))
    gone, new = sorted(set(first) - set(second)), sorted(set(second) - set(first))
    changed = [name for name in first if name in second and first[name].tobytes() != second[name].tobytes()]
    for name in changed:
        one, other = first[name], second[name]
        numeric = one.shape == other.shape and one.dtype.kind in "fiu"
        apart = f"by at most {np.nanmax(np.abs(one.astype(float) - other)):.3g}" if numeric else "in shape or text"
        print(f"differs {apart}: {name}")
    for kind, names in (("missing", gone), ("new", new)):
        for name in names:
            print(f"{kind}: {name}")
    print(f"{len(set(first) & set(second)) - len(changed)} of {len(set(first))} arrays are the same to the bit")
    return int(bool(changed or gone))


if __name__ == "__main__":
    for place in (ROOT / "tests", ROOT / "serving", ROOT / "export", ROOT):
        sys.path.insert(0, str(place))
    match sys.argv[1:]:
        case ["record", output]:
            record(Path(output))
        case ["compare", before, after]:
            sys.exit(compare(Path(before), Path(after)))
        case _:
            sys.exit(__doc__)
