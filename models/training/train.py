"""Trains the drum classifier that drumfs ships, evaluates it on kits it has not heard, and writes everything that belongs
to it: the ONNX file, its JSON files, what `drumfs learn` needs, the calibration, the evaluation and the model card.

    cargo build --release
    python models/training/train.py --manifest samples/manifest.csv

The manifest is a CSV file with the columns path, label and kit, and perhaps source; paths start from its folder. Features
come from `drumfs features`, so that training and inference hear the same thing. See ../README.md for what came out.
"""

import argparse
import csv
import json
import multiprocessing
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import soundfile
import torch
import xxhash

import card
import evaluate
from data import Samples, drumfs_features, hear
from fit import fit, outputs_of
from knowledge import write_knowledge
from labels import CANONICAL, LABELS, MAPPING, TO_CANONICAL
from net import ATTACK, BANDS, EMBEDDING, FRAMES, PICTURE, VALUES, Exported, Scaling
from synthesis import write_sounds

NAME = "drums-cnn"
FEATURES = "picture64x64+32x32+63-1"
# The shipped net leaves a part in so many out, to be calibrated and judged on: the one of most makers.
SHIPPED_FOLDS = 8
# Labels that synthesis imitates well, and those it imitates only in part.
PLENTY = {"Kick", "Snare", "Tom", "Hihat", "Crash", "Ride", "Clap"}
FEW = {"Timpani", "Perc", "FX", "Noise", "Metal", "Vox", "Cymbal", "Reverse"}


def parse_arguments():
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True, help="CSV file with path, label, kit")
    parser.add_argument("--drumfs", type=Path, default=here.parent.parent / "target/release/drumfs")
    parser.add_argument("--out", type=Path, default=here.parent, help="folder for the model [models/]")
    parser.add_argument("--variants", type=int, default=12, help="altered copies of each sample [12]")
    parser.add_argument("--synthetic", type=int, default=200, help="synthesised sounds of a common label [200]")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3, help="repetitions of the cross-validation [3]")
    parser.add_argument("--steps", type=int, default=2000, help="batches of 128 per training [2000]")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="trainings at a time, of one thread each")
    parser.add_argument("--predictions", type=Path, help="write what was said of each held-out sample to this CSV file")
    parser.add_argument("--cache", type=Path, help="keep the computed features in this folder and use them again")
    return parser.parse_args()


def hear_everything(arguments, samples):
    """What training is made from: features of the samples and of synthesised sounds, each as it is and altered."""
    features, attributes = hear(arguments.drumfs, samples.paths, arguments.variants, 1, arguments.processes)
    counts = {label: arguments.synthetic if label in PLENTY else arguments.synthetic // (5 if label in FEW else 2)
              for label in LABELS}
    with tempfile.TemporaryDirectory() as folder:
        rows = write_sounds(folder, counts, seed=1, processes=arguments.processes)
        paths = [Path(folder) / path for path, *_ in rows]
        made = np.zeros((0, 2, VALUES), np.float32)
        if paths:
            made, _ = hear(arguments.drumfs, paths, 1, 2, arguments.processes)
    labels = np.array([LABELS.index(row[1]) for row in rows], int)
    return {"features": features, "attributes": attributes, "synthetic": made.reshape(-1, made.shape[-1]),
            "synthetic_labels": np.repeat(labels, made.shape[1])}


def load(arguments, samples):
    """What training is made from, from the cache where there is one."""
    cache = arguments.cache and arguments.cache / "heard.npz"
    if cache and cache.exists():
        with np.load(cache) as archive:
            return SimpleNamespace(**archive)
    heard = hear_everything(arguments, samples)
    if cache:
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez(cache, **heard)
    return SimpleNamespace(**heard)


# What the training processes share with this one, by forking.
SHARED = {}


def train_one(task):
    """Trains on the known samples; returns the weights and the logits of the others."""
    seed, known, held_out = task
    torch.set_num_threads(1)
    # What CUDA wants for it; it says so and stops otherwise.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    started = time.time()
    heard, labels, scaling, steps = (SHARED[name] for name in ("heard", "labels", "scaling", "steps"))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    net = fit(heard.features[known], labels[known], heard.synthetic, heard.synthetic_labels, scaling, steps, seed, device)
    return net, outputs_of(net, heard.features[held_out, 0], scaling)[0], time.time() - started


def shipped_split_of(samples):
    """What the shipped net has heard, and what it has not."""
    return max(samples.folds(SHIPPED_FOLDS, 0), key=lambda split: len(set(samples.groups[split[1]])))


def train_all(heard, samples, scaling, arguments):
    """For each seed the logits of every sample, calibrated and not, by nets that have heard no sample of its group, and the
    fold of each; and the net to ship, with the samples it has not heard."""
    splits = [(seed, fold, *split) for seed in range(1, arguments.seeds + 1)
              for fold, split in enumerate(samples.folds(arguments.folds, seed))]
    shipped_split = shipped_split_of(samples)
    tasks = [(0, *shipped_split), *((seed * 100 + fold, known, held_out) for seed, fold, known, held_out in splits)]
    SHARED.update(heard=heard, labels=samples.labels, scaling=scaling, steps=arguments.steps)
    logits = np.zeros((arguments.seeds, len(samples), len(LABELS)), np.float32)
    fold_of = np.zeros((arguments.seeds, len(samples)), int)
    # A graphics card can't be shared by forked processes.
    start = "spawn" if torch.cuda.is_available() else "fork"
    pool = None if start == "spawn" else multiprocessing.get_context(start).Pool(arguments.processes)
    for number, (net, said, seconds) in enumerate((pool.imap if pool else map)(train_one, tasks)):
        if number == 0:
            shipped = net
            print(f"the net to ship: {seconds:.0f} s", flush=True)
            continue
        seed, fold, _, held_out = splits[number - 1]
        logits[seed - 1, held_out], fold_of[seed - 1, held_out] = said, fold
        told = evaluate.figures(said, samples.labels[held_out], 1.0)
        print(f"repetition {seed} fold {fold + 1}: {len(set(samples.kits[held_out]))} kits held out, {seconds:.0f} s:",
              json.dumps({name: round(float(value), 3) for name, value in told.items()}), flush=True)
    return logits, fold_of, shipped, shipped_split[1]


def calibrated(logits, fold_of, labels):
    """Logits divided by the temperature that was fitted on the other folds."""
    scaled = np.zeros_like(logits)
    for fold in np.unique(fold_of):
        inside = fold_of == fold
        scaled[inside] = logits[inside] / evaluate.fit_temperature(logits[~inside], labels[~inside])
    return scaled


def report_of(logits, fold_of, heard, samples, shipped, arguments):
    labels = samples.labels
    scaled = [calibrated(said, folds, labels) for said, folds in zip(logits, fold_of)]
    some = lambda index: [evaluate.figures(said[index], labels[index], 1.0) for said in scaled]
    curves = lambda index: [evaluate.folder_curve(said[index], labels[index], 1.0) for said in scaled]
    spread_of_curves = lambda rows: {t: evaluate.mean_and_spread([row[t] for row in rows]) for t in rows[0]}
    everything = np.arange(len(labels))
    single = [evaluate.figures(said[folds == fold], labels[folds == fold], 1.0)
              for said, folds in zip(scaled, fold_of) for fold in range(arguments.folds)]
    picture = heard.features[:, 0, :PICTURE].reshape(-1, BANDS, FRAMES)
    # Within 60 of the 80 dB that the picture shows.
    bandwidth = np.array([np.flatnonzero(bands > 0.25)[-1] for bands in picture.max(2)])
    quarters = evaluate.quarters(heard.attributes, bandwidth)
    fine = evaluate.softmax(scaled[0])
    said = evaluate.to_canonical(fine).argmax(1)
    confusion = np.zeros((len(CANONICAL), len(CANONICAL)), int)
    np.add.at(confusion, (TO_CANONICAL[labels], said), 1)
    fine_confusion = np.zeros((len(LABELS), len(LABELS)), int)
    np.add.at(fine_confusion, (labels, fine.argmax(1)), 1)
    command = " ".join(["python models/training/train.py --manifest MANIFEST", *own_options()])
    return {
        "command": command,
        "samples": len(samples), "kits": len(set(samples.kits)), "groups": len(set(samples.groups)),
        "folds": arguments.folds, "seeds": arguments.seeds,
        "figures": evaluate.mean_and_spread(some(everything)),
        "uncalibrated": evaluate.mean_and_spread([evaluate.figures(said, labels, 1.0) for said in logits]),
        "single_folds": {name: {"least": round(float(min(row[name] for row in single)), 4),
                                "most": round(float(max(row[name] for row in single)), 4)} for name in single[0]},
        "folders": spread_of_curves(curves(everything)),
        "quarters": {name: {"figures": evaluate.mean_and_spread(some(index)), "folders": spread_of_curves(curves(index))}
                     for name, index in quarters.items()},
        "confusion_of_7": confusion.tolist(),
        "confusion_of_34": fine_confusion.tolist(),
        "commonest_mistakes_of_34": evaluate.mistakes(scaled[0], labels),
        "classes": evaluate.classes(scaled[0], labels, samples.kits, 1.0),
        "shipped": shipped,
    }, scaled[0]


def own_options():
    """The options that were given, but for paths."""
    options, skip = [], False
    for word in sys.argv[1:]:
        if skip or word.split("=")[0] in ("--manifest", "--drumfs", "--out", "--cache", "--predictions", "--processes"):
            skip = not skip and "=" not in word
        else:
            options.append(shlex.quote(word))
    return options


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


def write_golden(net, scaling, arguments):
    """What the net said of sounds from recipes, and of every twelfth sound of tests/archive, by PyTorch."""
    archive = Path(__file__).resolve().parent.parent.parent / "tests/archive"
    shipped = sorted(path for path in archive.rglob("*") if path.suffix in (".flac", ".wav") and path.is_file())
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for index, recipe in enumerate(GOLDEN):
            paths.append(Path(folder) / f"{index}.wav")
            soundfile.write(paths[-1], golden_sound(recipe), recipe["rate"], subtype="FLOAT")
        features, _, ok = drumfs_features(arguments.drumfs, [*paths, *shipped], folder)
    assert ok[: len(GOLDEN)].all()
    logits, _ = outputs_of(net, features, scaling)
    entries = [*GOLDEN, *({"kind": "file", "path": path.relative_to(archive).as_posix()} for path in shipped)]
    sounds = [{**entry, "logits": [round(float(value), 5) for value in row]}
              for entry, row, heard in zip(entries, logits, ok) if heard]
    files = sounds[len(GOLDEN):]
    write_json(arguments.out / "golden.json", sounds[: len(GOLDEN)] + files[:: max(len(files) // 12, 1)])


def write_json(path, value, **options):
    path.write_text(json.dumps(value, indent=1, **options) + "\n")


def export(net, scaling, heard, labels, held_out, arguments):
    """The ONNX file and everything that must agree with it; returns how the net does on what it has not heard."""
    path = arguments.out / "drums.onnx"
    torch.onnx.export(Exported(net, scaling).eval(), torch.zeros(1, VALUES), path, opset_version=17, dynamo=False,
                      input_names=["features"], output_names=["logits", "embedding"])
    onnx.checker.check_model(onnx.load(path))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    logits, embeddings = outputs_of(net, heard.features[:, 0], scaling)
    exported = np.concatenate([session.run(None, {"features": values[None]})[0] for values in heard.features[:32, 0]])
    assert np.abs(exported - logits[:32]).max() < 1e-3
    checksum = f"{xxhash.xxh3_64_intdigest(chr(10).join(LABELS).encode()):016x}"
    digest = f"{xxhash.xxh3_64_intdigest(path.read_bytes()):016x}"
    model = f"{NAME}-{digest[:8]}-{FEATURES}"
    write_json(arguments.out / "drums.json", {
        "name": NAME, "features": FEATURES, "input": [1, VALUES], "outputs": len(LABELS), "labels_checksum": checksum,
        "embedding": {"output": "embedding", "size": EMBEDDING}})
    write_json(arguments.out / "label_mapping.json", LABELS)
    write_json(arguments.out / "canonical_mapping.json", {"model_class_to_canonical": MAPPING})
    known = np.setdiff1d(np.arange(len(labels)), held_out)
    altered = outputs_of(net, heard.features[known, 1], scaling)[1]
    write_knowledge(arguments.out / "knowledge.bin", model, checksum, net.last.weight.detach().numpy(),
                    net.last.bias.detach().numpy(), np.concatenate([embeddings[known], altered]),
                    np.tile(labels[known], 2))
    return logits[held_out]


def calibrate(samples, held_out, arguments):
    """Has drumfs fit the calibration on the kits that the net has not heard; returns the temperature."""
    with tempfile.TemporaryDirectory() as folder:
        config, manifest = Path(folder) / "config.yml", Path(folder) / "held-out.csv"
        out = arguments.out.resolve()
        # None that is there already is of this model.
        (out / "calibration.json").unlink(missing_ok=True)
        config.write_text(f"model_path: {json.dumps(str(out / 'drums.onnx'))}\n")
        with open(manifest, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "label", "kit"])
            writer.writerows([[samples.paths[i].resolve(), LABELS[samples.labels[i]], samples.kits[i]] for i in held_out])
        subprocess.run([arguments.drumfs, "calibrate", "--config", config, "--val-manifest", manifest,
                        "--out", out / "calibration.json"], check=True)
    return json.loads((out / "calibration.json").read_text())["temperature"]


def write_predictions(path, samples, logits, fold_of):
    """What the first repetition said of each sample, uncalibrated."""
    with open(path, "w") as file:
        file.write(",".join(["path", "label", "kit", "fold", *LABELS]) + "\n")
        for row in zip(samples.names, samples.labels, samples.kits, fold_of[0], logits[0]):
            name, label, kit, fold, said = row
            file.write(",".join([f'"{name}"', LABELS[label], f'"{kit}"', str(fold), *(f"{x:.4f}" for x in said)]) + "\n")


def shipped_report(logits, samples, held_out, temperature):
    """How the shipped net does on what it has not heard, which is also what its calibration was fitted on."""
    rounded = lambda t: {name: round(float(value), 4)
                         for name, value in evaluate.figures(logits, samples.labels[held_out], t).items()}
    return {"held_out_samples": len(held_out), "held_out_kits": sorted(set(samples.kits[held_out].tolist())),
            "temperature": round(temperature, 4), "figures": rounded(temperature), "uncalibrated": rounded(1.0)}


def main():
    arguments = parse_arguments()
    started = time.time()
    samples = Samples(arguments.manifest)
    heard = load(arguments, samples)
    print(f"{len(samples)} samples of {len(set(samples.kits))} kits in {len(set(samples.groups))} groups, "
          f"{heard.features.shape[1] - 1} altered copies each, {len(heard.synthetic)} synthesised: "
          f"{time.time() - started:.0f} s", flush=True)
    described = heard.features.reshape(-1, heard.features.shape[-1])[:, PICTURE + ATTACK:]
    scaling = Scaling(described)
    logits, fold_of, net, held_out = train_all(heard, samples, scaling, arguments)
    held_logits = export(net, scaling, heard, samples.labels, held_out, arguments)
    write_golden(net, scaling, arguments)
    shipped = shipped_report(held_logits, samples, held_out, calibrate(samples, held_out, arguments))
    report, scaled = report_of(logits, fold_of, heard, samples, shipped, arguments)
    write_json(arguments.out / "evaluation.json", report)
    evaluate.draw_confusion(scaled, samples.labels, 1.0, arguments.out / "confusion.svg")
    card.write(arguments.out / "README.md", report)
    if arguments.predictions:
        write_predictions(arguments.predictions, samples, logits, fold_of)
    print(card.figures_section(report))
    print(f"{time.time() - started:.0f} s in all")


if __name__ == "__main__":
    main()
