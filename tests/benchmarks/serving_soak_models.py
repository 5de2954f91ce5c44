"""Two generations of a really trained and exported recommender and designer, with requests and their right answers."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tiny_data import BLUE, RED, checkerboard, encoded, noisy_picture

from tfdvbpr import api
from tfdvbpr.config import GanConfig
from tfdvbpr.designing.options import DesignOptions, TailorOptions
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_export import export_designer, export_recommender
from tfdvbpr_serving.protocol import messages
from tfdvbpr_serving.protocol.tensorflow_serving_pb2 import PredictResponse

GENERATIONS = 2
NUM_USERS, NUM_ITEMS = 32, 64
CATEGORIES = ("shirt", "shoe")
REQUESTS = {"recommend": 48, "recommend_for_items": 16, "score": 48, "similar_items": 16, "score_images": 16,
            "similar_images": 16, "embed_images": 16, "design": 12, "tailor": 6, "generate": 8}  # fmt: skip


def export_generations(folder: Path) -> None:
    """Writes recommender-0, designer-0, recommender-1, ... to a folder: the same data, other seeds."""
    dataset = checkerboard(folder / "data", num_users=NUM_USERS)
    designs = DesignOptions(num_starts=2, num_steps=6)
    tailoring = TailorOptions(num_candidates=4, num_starts=1, invert_steps=4, num_steps=4)
    for seed in range(GENERATIONS):
        config = recommender_config("dvbpr", epochs=2, embedding_dim=8, global_batch_size=64, seed=seed)
        run = api.train(dataset, folder / f"run-{seed}", config=config)
        gan_config = GanConfig(epochs=2, latent_dim=6, base_channels=4, discriminator_channels=4, global_batch_size=16,
                               average_decay=0.5, seed=seed)  # fmt: skip
        api.train_gan(dataset, folder / f"gan-{seed}", config=gan_config)
        export_recommender(run.path, folder / f"recommender-{seed}")
        export_designer(run.path, folder / f"gan-{seed}", folder / f"designer-{seed}", options=designs,
                        tailor_options=tailoring, max_steps=25)  # fmt: skip


def write_requests(folder: Path, file: Path) -> None:
    """JSON of requests: signature, PredictRequest and, for each generation, the PredictResponse with the right answer.

    The answers are TensorFlow's own, from the exported folders, without a server.
    """
    models = {
        (name, seed): tf.saved_model.load(str(folder / f"{name}-{seed}" / "1"))
        for name in ("recommender", "designer")
        for seed in range(GENERATIONS)
    }
    found = []
    for signature, count in REQUESTS.items():
        model = SIGNATURES[signature].model
        for number in range(count):
            inputs = inputs_of(signature, number)
            request = messages.predict_request(messages.model_spec(model, signature=signature), inputs)
            answers = [_answer(models[model, seed].signatures[signature], inputs) for seed in range(GENERATIONS)]
            found.append({"signature": signature, "request": _text(request), "answers": [_text(a) for a in answers]})
    file.write_text(json.dumps(found))


def inputs_of(signature: str, number: int) -> dict[str, np.ndarray[Any, Any]]:
    """One to three rows of users, items and images, some of them unknown."""
    rng = np.random.default_rng(number)
    rows = 1 if SIGNATURES[signature].model == "designer" else 1 + number % 3
    inputs = {}
    for name, tensor in SIGNATURES[signature].inputs.items():
        value = _value(name, rng, rows)
        if name == "categories" and SIGNATURES[signature].model == "designer":
            value = [CATEGORIES[number % 2]] * rows
        value = SIGNATURES[signature].neutral(name, rows) if value is None else value
        inputs[name] = np.array(value, dtype=object if tensor.dtype == "string" else tensor.dtype)
    return inputs


def _value(name: str, rng: np.random.Generator, rows: int) -> list[Any] | None:
    match name:
        case "user_ids":
            return [f"u{n}" for n in rng.integers(0, NUM_USERS + 2, rows)]
        case "item_ids" | "liked_item_ids":
            return [[f"i{n}" for n in rng.integers(0, NUM_ITEMS, 4)] for _ in range(rows)]
        case "query_item_ids":
            return [f"i{n}" for n in rng.integers(0, NUM_ITEMS + 2, rows)]
        case "categories":
            return [("", *CATEGORIES)[rng.integers(3)]] * rows
        case "k":
            return [int(rng.integers(1, 12))] * rows
        case "seeds":
            return rng.integers(0, 1000, rows).tolist()
        case "image_bytes":
            return [encoded(noisy_picture((RED, BLUE)[n % 2], (48, 40), int(n))) for n in rng.integers(0, 99, rows)]
    return None


def _answer(function: Any, inputs: dict[str, np.ndarray[Any, Any]]) -> PredictResponse:
    response = PredictResponse()
    for name, tensor in function(**{name: tf.constant(array) for name, array in inputs.items()}).items():
        messages.write_tensor(response.outputs[name], tensor.numpy())
    return response


def _text(message: Any) -> str:
    return base64.b64encode(message.SerializeToString()).decode("ascii")


if __name__ == "__main__":
    export_generations(Path(sys.argv[1]))
    write_requests(Path(sys.argv[1]), Path(sys.argv[1]) / "requests.json")
