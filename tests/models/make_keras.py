"""Makes keras.onnx the way docs/models.md says, and what Keras itself says of the sounds of make.py.

    pip install tensorflow tf2onnx librosa soundfile onnxruntime
    python tests/models/make_keras.py

A small network of the older pipeline's kind, with random but seeded weights, saved by Keras and converted by tf2onnx with
no option but the opset: an open batch, a reshape to a size that is computed from it, and a softmax.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
from make import ARCHIVE, HERE, SOUNDS, old_layout


def main():
    keras.utils.set_random_seed(5)
    spread = keras.initializers.RandomNormal(stddev=0.5)
    model = keras.Sequential(
        [
            keras.Input((40, 98, 1)),
            keras.layers.Conv2D(6, 3, activation="relu", kernel_initializer=spread),
            keras.layers.MaxPooling2D(4),
            keras.layers.BatchNormalization(),
            keras.layers.Conv2D(8, 3, activation="relu", padding="same", kernel_initializer=spread),
            keras.layers.MaxPooling2D(4),
            keras.layers.Dropout(0.3),
            keras.layers.Flatten(),
            keras.layers.Dense(34, activation="softmax", kernel_initializer=spread),
        ]
    )
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "model.keras"
        model.save(saved)
        convert = ["-m", "tf2onnx.convert", "--keras", saved, "--output", HERE / "keras.onnx", "--opset", "17"]
        subprocess.run([sys.executable, *convert], check=True)
    (HERE / "keras.json").write_text(json.dumps({"features": "mfcc", "output": "probabilities"}, indent=1) + "\n")
    expected = {}
    for sound in SOUNDS:
        output = model.predict(old_layout(ARCHIVE / sound)[np.newaxis, ..., np.newaxis], verbose=0)[0]
        expected[sound] = [float(f"{value:.7g}") for value in output]
    (HERE / "keras-expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
