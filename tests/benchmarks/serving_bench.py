"""What the serving benchmarks share: a catalogue of some size, a server in a process of its own, load from another."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from serving_requests import ITEMS, USERS

from tfdvbpr.signatures import SIGNATURES

_SERVING = r"Serving on (\S+) \(gRPC\)(?: and (\S+) \(REST)?"

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "serving"))  # the toy models

FACTORS, DEFAULT_K = 64, 10


def _specs(name: str) -> list[tf.TensorSpec]:
    return [tf.TensorSpec(d.shape, d.dtype, name=n) for n, d in SIGNATURES[name].inputs.items()]


def _table(prefix: str, count: int) -> tf.lookup.StaticHashTable:
    keys = tf.constant([f"{prefix}{number}" for number in range(count)])
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, tf.range(count)), default_value=-1)


class Catalogue(tf.Module):
    """`score` and `recommend` over 50,000 items of 64 factors: look-ups, a matrix product, the best k."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.user_table, self.item_table = _table("u", USERS), _table("i", ITEMS)
        self.users = tf.Variable(rng.normal(size=(USERS, FACTORS)).astype(np.float32))
        self.items = tf.Variable(rng.normal(size=(ITEMS, FACTORS)).astype(np.float32))
        self.item_ids = tf.constant([f"i{number}" for number in range(ITEMS)])

    def embeddings_of(self, user_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        rows = self.user_table.lookup(user_ids)
        return tf.gather(self.users, tf.maximum(rows, 0)), rows >= 0

    @tf.function(input_signature=_specs("score"))
    def score(self, user_ids: tf.Tensor, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        user_embeddings, known = self.embeddings_of(user_ids)
        rows = self.item_table.lookup(item_ids)
        scores = tf.einsum("bd,bnd->bn", user_embeddings, tf.gather(self.items, tf.maximum(rows, 0)))
        return {"scores": scores, "known_users": known, "known_items": rows >= 0}

    @tf.function(input_signature=_specs("recommend"))
    def recommend(  # type: ignore[no-untyped-def]
        self, user_ids, k, categories, exclude_item_ids, exclude_seen, filters
    ) -> dict[str, tf.Tensor]:
        user_embeddings, known = self.embeddings_of(user_ids)
        k = tf.where(k == 0, DEFAULT_K, tf.minimum(k, 1000))
        scores, rows = tf.math.top_k(tf.matmul(user_embeddings, self.items, transpose_b=True), tf.reduce_max(k))
        return {
            "item_ids": tf.gather(self.item_ids, rows),
            "scores": scores,
            "counts": k,
            "known_users": known,
            "known_categories": tf.equal(categories, ""),
            "known_excluded_items": self.item_table.lookup(exclude_item_ids) >= 0,
            "known_filters": tf.equal(filters, ""),
        }


def save_catalogue(folder: Path) -> None:
    module = Catalogue()
    tf.saved_model.save(module, str(folder), signatures={"score": module.score, "recommend": module.recommend})


def environment() -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "COLUMNS": "200",
        "NO_COLOR": "1",
    }


@dataclass(frozen=True)
class Served:
    """A server in another process."""

    target: str
    pid: int
    rest_url: str = ""


@contextmanager
def served(*arguments: str) -> Iterator[Served]:
    """`tfdvbpr-serve` with these arguments, until the block ends; it must then stop in good order."""
    command = [sys.executable, "-m", "tfdvbpr_serving.cli", *arguments, "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment()
    ) as process:
        assert process.stdout
        try:
            serving = next((found for line in process.stdout if (found := re.search(_SERVING, line))), None)
            assert serving, "The server must start. It did not."
            yield Served(serving[1], process.pid, serving[2] or "")
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()


def load(target: str, signature: str, *, concurrency: int, seconds: float) -> dict[str, float]:
    """Latencies in ms and responses a second of a closed loop in a second process."""
    command = [sys.executable, str(HERE / "serving_load_client.py"), target, signature, str(concurrency), str(seconds)]
    most = 4 * seconds + 120
    out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=most, env=environment())
    found: dict[str, float] = json.loads(out.stdout)
    return found
