"""Makes the small model that the tests of `drumfs learn` use: two outputs, a JSON and a knowledge file.

    python tests/learning/make_model.py target/release/drumfs

It learns the sounds of tests/archive by heart, and that falling tones are kicks and noises snares, which the tests want to
teach it otherwise; it is worth nothing beyond that. Needs what
models/training/requirements.txt lists."""

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import torch
import torch.nn.functional as F
import xxhash
from torch import nn

HERE = Path(__file__).resolve().parent
MODELS = HERE.parent.parent / "models"
sys.path.insert(0, str(MODELS / "training"))
from knowledge import write_knowledge  # noqa: E402
from net import BANDS, FRAMES  # noqa: E402

SIZE = 48


class Small(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.embedding = nn.Linear(64, SIZE)
        self.linear = nn.Linear(SIZE, outputs)

    def forward(self, x):
        picture = x[:, : BANDS * FRAMES].reshape(-1, 1, BANDS, FRAMES)
        embedding = F.relu(self.embedding(F.avg_pool2d(picture, 8).flatten(1)))
        return self.linear(embedding), embedding


def made_sounds(folder, count=5, rate=44100):
    """Sounds like those of tests/common/sounds.rs."""
    random = np.random.default_rng(1)
    t = np.arange(int(0.15 * rate)) / rate
    for number in range(count):
        hz = 50 + 4 * number + 200 * np.exp(-40 * t)
        tone = np.sin(2 * np.pi * np.cumsum(hz) / rate) * np.exp(-18 * t)
        for label, x in (("Kick", tone), ("Snare", random.uniform(-1, 1, len(t)) * np.exp(-30 * t))):
            path = Path(folder) / f"{label}-{number}.wav"
            soundfile.write(path, 0.6 * x, rate, subtype="PCM_16")
            yield {"path": path, "label": label}


def features_of(drumfs):
    rows = list(csv.DictReader(open(HERE.parent / "archive-labels.csv")))
    with tempfile.TemporaryDirectory() as folder:
        count = len(rows)
        rows += made_sounds(folder)
        manifest, out = Path(folder) / "paths.csv", Path(folder) / "features.npz"
        with open(manifest, "w", newline="") as file:
            csv.writer(file).writerows([["path"], *[[HERE.parent / "archive" / row["path"]] for row in rows]])
        subprocess.run([drumfs, "features", "--manifest", manifest, "--out", out])
        with np.load(out) as archive:
            return archive["features"], archive["ok"].astype(bool), [row["label"] for row in rows], count


def main():
    torch.manual_seed(1)
    description = json.loads((MODELS / "drums.json").read_text())
    names = json.loads((MODELS / "label_mapping.json").read_text())
    features, ok, labels, count = features_of(sys.argv[1])
    known = [index for index in np.flatnonzero(ok) if labels[index] in names]
    x = torch.from_numpy(features[known])
    y = torch.tensor([names.index(labels[index]) for index in known])
    net = Small(len(names))
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2, weight_decay=1e-4)
    for _ in range(300):
        optimiser.zero_grad()
        F.cross_entropy(net(x)[0], y, label_smoothing=0.05).backward()
        optimiser.step()
    folder = HERE / "model"
    path = folder / "small.onnx"
    torch.onnx.export(net.eval(), x[:1], path, opset_version=17, dynamo=False,
                      input_names=["features"], output_names=["logits", "embedding"])
    description |= {"name": "small", "embedding": {"output": "embedding", "size": SIZE}}
    (folder / "small.json").write_text(json.dumps(description, indent=1) + "\n")
    digest = f"{xxhash.xxh3_64_intdigest(path.read_bytes()):016x}"
    # The knowledge is of the archive's sounds alone: what is made may be forgotten.
    real = [place for place, index in enumerate(known) if index < count]
    x, y = x[real], y[real]
    with torch.no_grad():
        logits, embeddings = net(x)
    print(f"{len(known)} sounds, {float((logits.argmax(1) == y).float().mean()):.2f} right")
    write_knowledge(folder / "knowledge.bin", f"small-{digest[:8]}-{description['features']}",
                    description["labels_checksum"], net.linear.weight.detach().numpy(),
                    net.linear.bias.detach().numpy(), embeddings.numpy(), y.numpy())


if __name__ == "__main__":
    main()
