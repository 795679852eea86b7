"""Trains the drum classifier that drumfs ships, evaluates it on kits it has not heard, and writes everything that
belongs to it.

    python train.py --manifest samples/manifest.csv --drumfs ../../target/release/drumfs

The manifest is a CSV file with the columns path, label and kit; paths start from its folder. Features come from
`drumfs features`, so that training and inference hear the same thing. See ../README.md for what came out.
"""

import argparse
import csv
import json
import multiprocessing
import os
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import soundfile
import torch
import torch.nn.functional as F
import xxhash
from scipy.optimize import minimize_scalar
from sklearn.metrics import confusion_matrix, f1_score
from sklearn.model_selection import StratifiedGroupKFold
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from augment import augment

NAME = "drums-cnn"
FEATURES = "logmel64x48-1"
LABELS = (
    "Agogo Bell Bongo Cabasa China Clap Clave Conga Cowbell Crash Cuica Cymbal FX Guiro Hihat Kick Maracas Metal Noise "
    "Perc Reverse Ride Rim Shaker Sizzle Snare Splash Tambourine Timbale Timpani Tom Triangle Vibraslap Vox"
).split()
CANONICAL = ["Crash", "Hihat", "Kick", "Ride", "Snare", "Tom", "misc"]
COLLECTED = {
    "China": "Crash", "Splash": "Crash", "Cymbal": "Crash", "Sizzle": "Crash",
    "Rim": "Snare", "Timbale": "Tom", "Timpani": "Tom",
}
MAPPING = {label: COLLECTED.get(label, label if label in CANONICAL else "misc") for label in LABELS}
TO_CANONICAL = np.array([CANONICAL.index(MAPPING[label]) for label in LABELS])

BATCH = 128
LABEL_SMOOTHING = 0.05
MIXUP_ALPHA = 0.3
CANONICAL_WEIGHT = 0.5
EMA = 0.995


class Block(nn.Module):
    """Convolution of stride 2, normalisation, ReLU."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return F.relu(self.norm(self.conv(x)))


class Net(nn.Module):
    """Halves bands and frames four times, then looks at every place that is left: where in frequency and when after
    the onset something happens is what tells drums apart."""

    def __init__(self, widths=(16, 32, 80, 160)):
        super().__init__()
        inputs = (1, *widths)
        self.blocks = nn.Sequential(
            *[Block(inputs[i], widths[i]) for i in range(len(widths))]
        )
        self.dropout = nn.Dropout(0.4)
        self.linear = nn.Linear(widths[-1] * 4 * 3, len(LABELS))

    def forward(self, x):
        return self.linear(self.dropout(self.blocks(x).flatten(1)))

    def folded(self):
        """The same function without normalisation layers, for inference."""
        self.eval()
        convs = [fuse_conv_bn_eval(block.conv, block.norm) for block in self.blocks]
        return nn.Sequential(*[layer for conv in convs for layer in (conv, nn.ReLU())], nn.Flatten(1), self.linear)


def parse_arguments():
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True, help="CSV file with path, label, kit")
    parser.add_argument("--drumfs", type=Path, default=here.parent.parent / "target/release/drumfs")
    parser.add_argument("--out", type=Path, default=here.parent, help="folder for the model [models/]")
    parser.add_argument("--variants", type=int, default=10, help="augmented variants of each sample")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=700, help="batches of %d per training" % BATCH)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="trainings at a time, of one thread each")
    parser.add_argument("--cache", type=Path, help="keep the computed features in this file and use them again")
    return parser.parse_args()


def read_manifest(path):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    unknown = sorted({row["label"] for row in rows} - set(LABELS))
    if unknown:
        raise SystemExit(f"{path}: labels that the model does not have: {', '.join(unknown)}")
    paths = [path.parent / row["path"] for row in rows]
    labels = np.array([LABELS.index(row["label"]) for row in rows])
    return paths, labels, np.array([row["kit"] for row in rows])


def drumfs_features(drumfs, paths, folder):
    """Features and whether they could be computed, by the program itself."""
    manifest, out = Path(folder) / "paths.csv", Path(folder) / "features.npz"
    with open(manifest, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path"])
        writer.writerows([[Path(path).resolve()] for path in paths])
    status = subprocess.run([drumfs, "features", "--manifest", manifest, "--out", out]).returncode
    if status not in (0, 3):
        raise SystemExit(f"{drumfs} features failed with status {status}")
    with np.load(out) as archive:
        return archive["features"], archive["ok"].astype(bool)


def load_features(arguments, paths):
    """Features [files, 1 + variants, bands, frames], the original first; variants that could not be heard are
    replaced by the original."""
    if arguments.cache and arguments.cache.exists():
        return np.load(arguments.cache)
    with tempfile.TemporaryDirectory() as folder:
        names = augment(paths, arguments.variants, folder, arguments.seed, arguments.processes)
        everything = [path for original, files in zip(paths, names)
                      for path in [original, *[Path(folder) / name for name in files]]]
        features, ok = drumfs_features(arguments.drumfs, everything, folder)
    features = features.reshape(len(paths), 1 + arguments.variants, *features.shape[1:])
    ok = ok.reshape(len(paths), -1)
    if not ok[:, 0].all():
        raise SystemExit("not heard: " + ", ".join(str(paths[i]) for i in np.flatnonzero(~ok[:, 0])))
    for index, variant in np.argwhere(~ok):
        features[index, variant] = features[index, 0]
    if arguments.cache:
        np.save(arguments.cache, features)
    return features


def masked(x, generator):
    """Shifts by a band or two, and masks of some bands and frames."""
    shift = int(torch.randint(-2, 3, (1,), generator=generator))
    if shift:
        x = torch.roll(x, shift, dims=2)
        if shift > 0:
            x[:, :, :shift] = 0
        else:
            x[:, :, shift:] = 0
    for dim, size, widest in ((2, x.shape[2], 8), (3, x.shape[3], 6)):
        width = torch.randint(0, widest + 1, (len(x),), generator=generator)
        start = (torch.rand(len(x), generator=generator) * (size - width)).long()
        place = torch.arange(size)
        hidden = (place >= start[:, None]) & (place < (start + width)[:, None])
        shape = (len(x), 1, size, 1) if dim == 2 else (len(x), 1, 1, size)
        x = x.masked_fill(hidden.view(shape), 0)
    return x


def canonical_loss(logits, target):
    """Cross-entropy of the probabilities summed over canonical labels: what the folders are made from."""
    probabilities = logits.softmax(1)
    to_canonical = torch.from_numpy(np.eye(len(CANONICAL), dtype=np.float32)[TO_CANONICAL])
    return -((target @ to_canonical) * (probabilities @ to_canonical + 1e-7).log()).sum(1).mean()


def train(features, labels, arguments, seed):
    """A net trained on features [files, variants, bands, frames]."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    net = Net()
    average = Net()
    average.load_state_dict(net.state_dict())
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=2e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=3e-3, total_steps=arguments.steps, pct_start=0.15)
    # Rare classes are drawn more often, by the square root of how rare they are.
    counts = np.bincount(labels, minlength=len(LABELS))
    weights = torch.from_numpy(1 / np.sqrt(counts[labels]))
    features, labels = torch.from_numpy(features), torch.from_numpy(labels)
    for step in range(arguments.steps):
        files = torch.multinomial(weights, BATCH, replacement=True, generator=generator)
        variants = torch.randint(0, features.shape[1], (BATCH,), generator=generator)
        # Every fourth is the original.
        variants[::4] = 0
        x = masked(features[files, variants].unsqueeze(1).float(), generator)
        target = F.one_hot(labels[files], len(LABELS)).float()
        share = float(np.random.default_rng([seed, step]).beta(MIXUP_ALPHA, MIXUP_ALPHA))
        share = max(share, 1 - share)
        other = torch.randperm(BATCH, generator=generator)
        x = share * x + (1 - share) * x[other]
        target = share * target + (1 - share) * target[other]
        logits = net(x)
        loss = F.cross_entropy(logits, target, label_smoothing=LABEL_SMOOTHING)
        loss = loss + CANONICAL_WEIGHT * canonical_loss(logits, target)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        optimiser.step()
        schedule.step()
        decay = min(EMA, (1 + step) / (10 + step))
        with torch.no_grad():
            for slow, fast in zip(average.state_dict().values(), net.state_dict().values()):
                if slow.dtype.is_floating_point:
                    slow.lerp_(fast, 1 - decay)
                else:
                    slow.copy_(fast)
    return average.eval()


@torch.no_grad()
def logits_of(net, features):
    return net(torch.from_numpy(features).unsqueeze(1).float()).numpy()


def softmax(logits, temperature=1.0):
    scaled = logits / temperature
    scaled = np.exp(scaled - scaled.max(1, keepdims=True))
    return scaled / scaled.sum(1, keepdims=True)


def to_canonical(probabilities):
    return probabilities @ np.eye(len(CANONICAL))[TO_CANONICAL]


def calibration_error(probabilities, labels, bins=15):
    """Expected calibration error (Guo et al. 2017) over equally wide bins."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    return sum(abs(right[index == b].mean() - confidence[index == b].mean()) * (index == b).mean()
               for b in range(bins) if (index == b).any())


def fit_temperature(logits, labels):
    """The temperature with the least negative log likelihood of the canonical label, which thresholds are set on."""
    def loss(log_temperature):
        probabilities = to_canonical(softmax(logits, np.exp(log_temperature)))
        return -np.log(probabilities[np.arange(len(labels)), TO_CANONICAL[labels]] + 1e-9).mean()

    return float(np.exp(minimize_scalar(loss, bounds=(-2, 2), method="bounded").x))


def figures(logits, labels, temperature):
    """What a model is worth on samples it has not heard."""
    fine = softmax(logits, temperature)
    folders = to_canonical(fine)
    canonical = TO_CANONICAL[labels]
    present = np.unique(labels)
    return {
        "samples": len(labels),
        "top1_of_34": round(float((fine.argmax(1) == labels).mean()), 4),
        "top3_of_34": round(float((np.argsort(-fine, 1)[:, :3] == labels[:, None]).any(1).mean()), 4),
        "macro_f1_of_34": round(float(f1_score(labels, fine.argmax(1), labels=present, average="macro",
                                               zero_division=0)), 4),
        "top1_of_7": round(float((folders.argmax(1) == canonical).mean()), 4),
        "macro_f1_of_7": round(float(f1_score(canonical, folders.argmax(1), average="macro", zero_division=0)), 4),
        "ece_of_34": round(float(calibration_error(fine, labels)), 4),
        "ece_of_7": round(float(calibration_error(folders, canonical)), 4),
    }


# What the training processes share with this one, by forking.
SHARED = {}


def train_one(task):
    """Trains on some samples; returns the weights and the logits of the others."""
    seed, known, held_out = task
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    started = time.time()
    features, labels, arguments = SHARED["features"], SHARED["labels"], SHARED["arguments"]
    net = train(features[known], labels[known], arguments, seed)
    logits = logits_of(net, features[held_out, 0]) if len(held_out) else None
    return net.state_dict(), logits, time.time() - started


def train_all(features, labels, kits, arguments):
    """Logits of every sample by a net that has heard no sample of its kit, the fold of each, and a net that has heard
    everything."""
    splitter = StratifiedGroupKFold(arguments.folds, shuffle=True, random_state=arguments.seed)
    # Rare labels are in fewer kits than there are folds, as scikit-learn would say here.
    warnings.simplefilter("ignore", UserWarning)
    splits = list(splitter.split(np.zeros(len(labels)), labels, kits))
    for known, held_out in splits:
        assert not set(kits[known]) & set(kits[held_out])
    tasks = [(arguments.seed * 100 + fold, *split) for fold, split in enumerate(splits)]
    tasks.append((arguments.seed * 100 + 99, np.arange(len(labels)), np.array([], int)))
    SHARED.update(features=features, labels=labels, arguments=arguments)
    logits = np.zeros((len(labels), len(LABELS)), np.float32)
    fold_of = np.zeros(len(labels), int)
    with multiprocessing.get_context("fork").Pool(arguments.processes) as pool:
        for fold, (weights, heard, seconds) in enumerate(pool.imap(train_one, tasks, chunksize=1)):
            if fold == len(splits):
                break
            held_out = splits[fold][1]
            logits[held_out], fold_of[held_out] = heard, fold
            print(f"fold {fold + 1}: {len(set(kits[held_out]))} kits held out, {seconds:.0f} s, uncalibrated:",
                  json.dumps(figures(heard, labels[held_out], 1.0)), flush=True)
    net = Net()
    net.load_state_dict(weights)
    return logits, fold_of, net.eval()


def evaluation(logits, labels, fold_of, temperature, arguments, kits):
    fine = softmax(logits, temperature)
    folders = to_canonical(fine)
    canonical = TO_CANONICAL[labels]
    matrix = confusion_matrix(canonical, folders.argmax(1), labels=range(len(CANONICAL)))
    fine_matrix = confusion_matrix(labels, fine.argmax(1), labels=range(len(LABELS)))
    np.fill_diagonal(fine_matrix, 0)
    mistakes = [{"truth": LABELS[pair // len(LABELS)], "said": LABELS[pair % len(LABELS)],
                 "times": int(fine_matrix.flat[pair])}
                for pair in np.argsort(-fine_matrix, axis=None, kind="stable")[:25]]
    classes = {}
    for index, label in enumerate(LABELS):
        heard = labels == index
        said = fine.argmax(1) == index
        classes[label] = {
            "samples": int(heard.sum()),
            "kits": len(set(kits[heard])),
            "recall": round(float(said[heard].mean()), 3) if heard.any() else None,
            "precision": round(float(heard[said].mean()), 3) if said.any() else None,
            "canonical_recall":
                round(float((folders.argmax(1) == canonical)[heard].mean()), 3) if heard.any() else None,
        }
    return {
        "command": f"python models/training/train.py --manifest MANIFEST --folds {arguments.folds} "
                   f"--variants {arguments.variants} --steps {arguments.steps} --seed {arguments.seed}",
        "split": f"{arguments.folds} folds, grouped by kit",
        "temperature": round(temperature, 4),
        "calibrated": figures(logits, labels, temperature),
        "uncalibrated": figures(logits, labels, 1.0),
        "folds": [figures(logits[fold_of == fold], labels[fold_of == fold], temperature)
                  for fold in range(arguments.folds)],
        "confusion_of_7": {"labels": CANONICAL, "rows_are_truth": matrix.tolist()},
        "commonest_mistakes_of_34": mistakes,
        "classes": classes,
    }


def golden_sound(recipe):
    """A made-up sound that the test-suite makes in the same way: a decaying sine, or decaying noise of a linear
    congruential generator."""
    rate = recipe["rate"]
    n = np.arange(int(recipe["seconds"] * rate))
    decay = np.exp(-n / (recipe["decay_sec"] * rate))
    if recipe["kind"] == "sine":
        wave = np.sin(2 * np.pi * recipe["hz"] * n / rate)
    else:
        state, wave = recipe["seed"], np.zeros(len(n))
        for index in range(len(n)):
            state = (state * 1664525 + 1013904223) % 2**32
            wave[index] = state / 2**31 - 1
    return (0.8 * decay * wave).astype(np.float32)


GOLDEN = [
    {"kind": "sine", "hz": 60, "decay_sec": 0.12, "seconds": 0.5, "rate": 44100},
    {"kind": "sine", "hz": 180, "decay_sec": 0.2, "seconds": 0.6, "rate": 48000},
    {"kind": "noise", "seed": 1, "decay_sec": 0.03, "seconds": 0.2, "rate": 44100},
    {"kind": "noise", "seed": 2, "decay_sec": 0.5, "seconds": 1.5, "rate": 96000},
    {"kind": "sine", "hz": 2500, "decay_sec": 0.02, "seconds": 0.1, "rate": 22050},
]


def write_golden(net, arguments):
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for index, recipe in enumerate(GOLDEN):
            paths.append(Path(folder) / f"{index}.wav")
            soundfile.write(paths[-1], golden_sound(recipe), recipe["rate"], subtype="FLOAT")
        features, ok = drumfs_features(arguments.drumfs, paths, folder)
    assert ok.all()
    logits = logits_of(net, features)
    sounds = [{**recipe, "logits": [round(float(v), 5) for v in row]} for recipe, row in zip(GOLDEN, logits)]
    write_json(arguments.out / "golden.json", sounds)


def write_json(path, value, **options):
    path.write_text(json.dumps(value, indent=1, **options) + "\n")


def export(net, temperature, features, arguments):
    """The ONNX file and everything that must agree with it."""
    shape = (1, 1, features.shape[-2], features.shape[-1])
    path = arguments.out / "drums.onnx"
    folded = net.folded().eval()
    torch.onnx.export(folded, torch.zeros(shape), path, opset_version=17, dynamo=False,
                      input_names=["features"], output_names=["logits"])
    onnx.checker.check_model(onnx.load(path))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    some = features[:32, 0]
    exported = np.concatenate([session.run(None, {"features": x[None, None]})[0] for x in some])
    assert np.abs(exported - logits_of(net, some)).max() < 1e-4
    checksum = f"{xxhash.xxh3_64_intdigest(chr(10).join(LABELS).encode()):016x}"
    digest = f"{xxhash.xxh3_64_intdigest(path.read_bytes()):016x}"
    description = {"name": NAME, "features": FEATURES, "input": list(shape), "outputs": len(LABELS),
                   "labels_checksum": checksum}
    write_json(arguments.out / "drums.json", description)
    write_json(arguments.out / "label_mapping.json", LABELS)
    write_json(arguments.out / "canonical_mapping.json", {"model_class_to_canonical": MAPPING})
    write_json(arguments.out / "calibration.json", {
        "model": f"{NAME}-{digest[:8]}-{FEATURES}", "labels_checksum": checksum, "temperature": round(temperature, 4)})


def main():
    arguments = parse_arguments()
    started = time.time()
    paths, labels, kits = read_manifest(arguments.manifest)
    features = load_features(arguments, paths)
    print(f"{len(paths)} samples of {len(set(kits))} kits, {features.shape[1] - 1} variants each:",
          f"{time.time() - started:.0f} s", flush=True)
    logits, fold_of, net = train_all(features, labels, kits, arguments)
    temperature = fit_temperature(logits, labels)
    report = evaluation(logits, labels, fold_of, temperature, arguments, kits)
    print(f"temperature {temperature:.3f}")
    print("held-out kits, calibrated:", json.dumps(report["calibrated"]), flush=True)
    export(net, temperature, features, arguments)
    write_golden(net, arguments)
    write_json(arguments.out / "evaluation.json", report)
    print(f"{time.time() - started:.0f} s in all")


if __name__ == "__main__":
    main()
