"""Makes the small model that the tests of `drumfs learn` use: two outputs, a JSON and a knowledge file.

    python tests/learning/make_model.py target/release/drumfs

It learns the sounds of tests/archive by heart and is worth nothing beyond that. Needs what
models/training/requirements.txt lists."""

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import xxhash
from torch import nn

HERE = Path(__file__).resolve().parent
MODELS = HERE.parent.parent / "models"
sys.path.insert(0, str(MODELS / "training"))
from knowledge import write_knowledge  # noqa: E402

SIZE = 48


class Small(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.embedding = nn.Linear(48, SIZE)
        self.linear = nn.Linear(SIZE, outputs)

    def forward(self, x):
        embedding = F.relu(self.embedding(F.avg_pool2d(x, 8).flatten(1)))
        return self.linear(embedding), embedding


def features_of(drumfs):
    rows = list(csv.DictReader(open(HERE.parent / "archive-labels.csv")))
    with tempfile.TemporaryDirectory() as folder:
        manifest, out = Path(folder) / "paths.csv", Path(folder) / "features.npz"
        with open(manifest, "w", newline="") as file:
            csv.writer(file).writerows([["path"], *[[HERE.parent / "archive" / row["path"]] for row in rows]])
        subprocess.run([drumfs, "features", "--manifest", manifest, "--out", out])
        with np.load(out) as archive:
            return archive["features"], archive["ok"].astype(bool), [row["label"] for row in rows]


def main():
    torch.manual_seed(1)
    description = json.loads((MODELS / "drums.json").read_text())
    names = json.loads((MODELS / "label_mapping.json").read_text())
    features, ok, labels = features_of(sys.argv[1])
    known = [index for index in np.flatnonzero(ok) if labels[index] in names]
    x = torch.from_numpy(features[known]).unsqueeze(1)
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
    with torch.no_grad():
        logits, embeddings = net(x)
    print(f"{len(known)} sounds, {float((logits.argmax(1) == y).float().mean()):.2f} right")
    write_knowledge(folder / "knowledge.bin", f"small-{digest[:8]}-{description['features']}",
                    description["labels_checksum"], net.linear.weight.detach().numpy(),
                    net.linear.bias.detach().numpy(), embeddings.numpy(), y.numpy())


if __name__ == "__main__":
    main()
