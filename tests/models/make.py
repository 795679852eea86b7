"""Makes the models of this folder, and what librosa and ONNX Runtime say of a few sounds of tests/archive.

    pip install numpy librosa soundfile onnx onnxruntime
    python tests/models/make.py

The models are small and their weights random but for the seed, so the figures mean nothing: they are there to be the same
in drumfs. The features are computed the way the older pipeline did: soundfile, the mean of the channels,
librosa.resample (soxr_hq), padded or cut to 50,000 samples, librosa.feature.mfcc, librosa.util.normalize.
"""

import json
from pathlib import Path

import librosa
import numpy as np
import onnx
import onnxruntime
import soundfile
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
ARCHIVE = HERE.parent / "archive"
SOUNDS = [
    "Akai/Layered/BD_019.wav",  # 44.1 kHz
    "Akai/Layered/SD_005.wav",  # 44.1 kHz, stereo
    "Akai/Layered/HH_002.wav",  # 44.1 kHz, 32 bits
    "Latin Perc Vol.1/congas/quinto slap.wav",
    "Simmons or similar/tom 1 of 4.aiff",
    "99 Sounds of Dust (free)/Claps/Clap - Room 01.flac",  # 48 kHz, 24 bits
    "99 Sounds of Dust (free)/Toms/Tom - Cellar.flac",  # 48 kHz, longer than 50,000 samples
    "Akai/S950 dump/HAT1.wav",  # 22.05 kHz
    "Akai/S950 dump/SN2.wav",  # 11.025 kHz
    "_unsorted/NEW FOLDER (2)/asdf 7.wav",  # 96 kHz
]
LABELS = json.loads((HERE.parent.parent / "models" / "label_mapping.json").read_text())
SIX = ["Crash", "Hihat", "Kick", "Ride", "Snare", "Tom"]


def load(path, rate):
    """A sound as the older pipeline loaded it, at `rate` Hz."""
    sound, found = soundfile.read(path)
    if sound.ndim > 1:
        sound = sound.mean(axis=1)
    if found != rate:
        sound = librosa.resample(sound, orig_sr=found, target_sr=rate)
    return sound


def fixed(sound, samples):
    return librosa.util.fix_length(sound, size=samples) if len(sound) < samples else sound[:samples]


def old_layout(path):
    mfcc = librosa.feature.mfcc(y=fixed(load(path, 44_100), 50_000), sr=44_100, n_mfcc=40, n_fft=2048, hop_length=512)
    return librosa.util.normalize(mfcc).astype(np.float32)


def small_layout(path):
    mfcc = librosa.feature.mfcc(
        y=fixed(load(path, 22_050), 11_025), sr=22_050, n_mfcc=13, n_fft=1024, hop_length=512, n_mels=40
    )
    return mfcc.astype(np.float32)


def waveform(path):
    sound = fixed(load(path, 8_000), 8_000)
    return (sound / np.abs(sound).max()).astype(np.float32)


class Graph:
    """Collects the nodes and constants of a model."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.nodes, self.constants = [], []

    def constant(self, values, kind=np.float32):
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def weights(self, *shape):
        return self.constant(self.random.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape))

    def add(self, kind, *inputs, **attributes):
        name = f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=f"node_{len(self.nodes)}", **attributes))
        return name

    def save(self, name, shape, output, outputs, batch=1):
        """Writes the model. A batch that is a text is left open."""
        said = helper.make_tensor_value_info("input_1", TensorProto.FLOAT, [batch, *shape])
        given = helper.make_tensor_value_info(output, TensorProto.FLOAT, [batch, outputs])
        graph = helper.make_graph(self.nodes, name, [said], [given], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, HERE / f"{name}.onnx")


def make_old():
    """What tf2onnx makes of a Keras network: an open batch, the channel last, a softmax at the end."""
    g = Graph(1)
    x = g.add("Transpose", "input_1", perm=[0, 3, 1, 2])
    x = g.add("Relu", g.add("Conv", x, g.weights(8, 1, 3, 3), kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"))
    x = g.add("Relu", g.add("Conv", x, g.weights(6, 8, 3, 3), kernel_shape=[3, 3], strides=[4, 4], auto_pad="SAME_UPPER"))
    x = g.add("Transpose", x, perm=[0, 2, 3, 1])
    x = g.add("Reshape", x, g.constant([-1, 5 * 13 * 6], np.int64))
    x = g.add("Add", g.add("MatMul", x, g.constant(g.random.normal(0, 0.7, (5 * 13 * 6, 34)))), g.weights(34))
    x = g.add("Softmax", x, axis=-1)
    g.save("old", [40, 98, 1], x, 34, batch="unk__6")


def make_six():
    """Six classes on a small layout, frames first."""
    g = Graph(2)
    x = g.add("Reshape", "input_1", g.constant([1, 22 * 13], np.int64))
    x = g.add("Gemm", x, g.constant(g.random.normal(0, 0.002, (22 * 13, 6))), g.weights(6))
    g.save("six", [22, 13], x, 6)


def make_waveform():
    """Seven classes on the sound itself."""
    g = Graph(3)
    x = g.add("Relu", g.add("Conv", "input_1", g.weights(8, 1, 64), kernel_shape=[64], strides=[16]))
    x = g.add("Relu", g.add("Conv", x, g.weights(12, 8, 16), kernel_shape=[16], strides=[8]))
    x = g.add("ReduceMax", x, axes=[2], keepdims=0)
    x = g.add("Gemm", x, g.constant(g.random.normal(0, 1, (12, 7))), g.weights(7))
    g.save("waveform", [1, 8_000], x, 7)


def make_gate():
    """Refuses what is still loud after 0.6 s: one output, the log odds of a kit sound."""
    g = Graph(4)
    x = g.add("Slice", "input_1", *(g.constant([n], np.int64) for n in (4_800, 8_000, 2)))
    x = g.add("ReduceMean", g.add("Abs", x), axes=[1, 2], keepdims=0)
    x = g.add("Reshape", g.add("Mul", x, g.constant([-200.0])), g.constant([1, 1], np.int64))
    x = g.add("Add", x, g.constant([[4.0]]))
    g.save("gate", [1, 8_000], x, 1)


DESCRIPTIONS = {
    "old": {"features": "mfcc", "output": "probabilities"},
    "six": {
        "features": {
            "mfcc": {
                "sample_rate": 22050,
                "samples": 11025,
                "n_fft": 1024,
                "n_mels": 40,
                "n_mfcc": 13,
                "normalize": False,
            }
        },
        "labels": SIX,
    },
    "waveform": {
        "features": {"waveform": {"sample_rate": 8000, "samples": 8000, "normalize": "peak"}},
        "labels": [*SIX, "misc"],
    },
    "gate": {"features": {"waveform": {"sample_rate": 8000, "samples": 8000, "normalize": "peak"}}, "outputs": 1},
}


def main():
    make_old()
    make_six()
    make_waveform()
    make_gate()
    for name, description in DESCRIPTIONS.items():
        (HERE / f"{name}.json").write_text(json.dumps(description, indent=1) + "\n")
    run = {name: onnxruntime.InferenceSession(HERE / f"{name}.onnx") for name in DESCRIPTIONS}
    inputs = {
        "old": lambda path: old_layout(path)[np.newaxis, ..., np.newaxis],
        "six": lambda path: small_layout(path).T[np.newaxis],
        "waveform": lambda path: waveform(path)[np.newaxis, np.newaxis],
        "gate": lambda path: waveform(path)[np.newaxis, np.newaxis],
    }
    expected = []
    for sound in SOUNDS:
        path = ARCHIVE / sound
        row = {"sound": sound, "sample_rate": soundfile.info(path).samplerate}
        for name, of in inputs.items():
            (output,) = run[name].run(None, {"input_1": of(path)})
            row[name] = [float(f"{value:.7g}") for value in output[0]]
        expected.append(row)
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    for number in (0, 1, 5, 7):
        np.save(HERE / f"mfcc-{number}.npy", old_layout(ARCHIVE / SOUNDS[number]))


if __name__ == "__main__":
    main()
