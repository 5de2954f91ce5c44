"""Answers requests from a SavedModel in a process that can import neither Keras nor this project.

Usage: python -I isolated_script.py VERSION_FOLDER REQUESTS.json ANSWERS.npz
"""

import base64
import importlib
import json
import sys

import numpy as np

REFUSED = ("keras", "tf_keras", "tfdvbpr", "tfdvbpr_export", "tfdvbpr_serving")


# None means: not there. TensorFlow itself looks for Keras when it is imported; a finder that raises would stop it.
sys.modules.update(dict.fromkeys(REFUSED))
for refused in REFUSED:
    try:
        importlib.import_module(refused)
    except ModuleNotFoundError:
        continue
    sys.exit(f"{refused} could be imported")

import tensorflow as tf  # noqa: E402

folder, requests, answers = sys.argv[1:]
model = tf.saved_model.load(folder)
arrays = {}
with open(requests, encoding="utf-8") as file:
    asked = json.load(file)
for signature, inputs in asked.items():
    function = model.signatures[signature]
    if "images" in inputs:
        inputs["images"] = [base64.b64decode(image) for image in inputs["images"]]
    specs = function.structured_input_signature[1]
    outputs = function(**{name: tf.constant(value, specs[name].dtype) for name, value in inputs.items()})
    for name, value in outputs.items():
        array = value.numpy()
        arrays[f"{signature}/{name}"] = array.astype(bytes) if array.dtype == object else array
np.savez(answers, **arrays)
refused = [name for name, module in sys.modules.items() if module and name.partition(".")[0] in REFUSED]
print(json.dumps({"signatures": sorted(model.signatures), "refused": refused}))
