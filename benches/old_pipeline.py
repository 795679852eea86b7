#!/usr/bin/env python3
"""The peer of the indexing figure: the steps of the Python pipeline drumfs replaces, written from its description.

For each file: soundfile reads it, its channels are averaged, librosa resamples it to 44,100 Hz where it has another
rate; librosa computes its RMS, spectral centroid and rolloff; it is padded or cut to 50,000 samples, of which librosa
computes 40 MFCCs (n_fft 2048, hop 512: 40 x 98); hashlib computes the file's MD5. The MFCCs of 32 files at a time go
through an ONNX network, and a line of JSON is written for each file.

The network stands in for the old one and has about the size of drumfs's own: three 3 x 3 convolutions (16, 32, 64
channels) with ReLU and 2 x 2 max pooling, a global average, a dense layer of 128 and one of 34: 36,002 parameters,
9.5 million multiplications. Its weights are random from a fixed seed, which changes its answers and not its speed.

Several processes share the work, each with one thread. Importing, compiling and loading the network are done before
the clock starts. Prints one object of JSON, with files per second.

    python benches/old_pipeline.py FOLDER --processes 2

Where the description leaves a choice, the faster one is taken: files are found before the clock starts, and RMS,
centroid and rolloff are those of the sound without its padding. Plain calls of librosa compute a spectrogram each and
the mel filters for every file. --best-case computes one spectrogram a file and the mel filters once, as the old
pipeline did not: the most a careful owner could have made of it.
"""

import argparse
import json
import os
import sys
import tempfile
import time

# One thread a process, before anything that starts a pool of threads is imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ[variable] = "1"

import functools
import hashlib
import multiprocessing
import warnings

import librosa
import numpy as np
import onnx
import onnxruntime
import soundfile
from onnx import TensorProto, helper, numpy_helper

# A sound shorter than one window is padded by librosa, which says so each time.
warnings.filterwarnings("ignore", message="n_fft=.* is too large")

SAMPLE_RATE = 44_100  # Hz
SAMPLES = 50_000
MFCCS = 40
N_FFT = 2048
HOP = 512
FRAMES = 1 + SAMPLES // HOP
BATCH = 32
LABELS = 34
SUFFIXES = (".wav", ".aif", ".aiff", ".aifc", ".flac", ".mp3", ".ogg", ".caf")


def make_network(path):
    """Writes the ONNX network to `path` and returns its number of parameters."""
    rng = np.random.default_rng(1)
    weights = {}

    def dense(name, *shape):
        fan_in = int(np.prod(shape[1:])) if len(shape) == 4 else shape[0]
        weights[f"{name}_w"] = (rng.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)
        weights[f"{name}_b"] = np.zeros(shape[0] if len(shape) == 4 else shape[1], np.float32)

    nodes = []
    source, channels = "mfcc", 1
    for layer, out in enumerate((16, 32, 64)):
        dense(f"conv{layer}", out, channels, 3, 3)
        nodes += [
            helper.make_node(
                "Conv", [source, f"conv{layer}_w", f"conv{layer}_b"], [f"c{layer}"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]
            ),
            helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"]),
            helper.make_node("MaxPool", [f"r{layer}"], [f"p{layer}"], kernel_shape=[2, 2], strides=[2, 2]),
        ]
        source, channels = f"p{layer}", out
    dense("hidden", channels, 128)
    dense("out", 128, LABELS)
    nodes += [
        helper.make_node("GlobalAveragePool", [source], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"], axis=1),
        helper.make_node("Gemm", ["f", "hidden_w", "hidden_b"], ["h"]),
        helper.make_node("Relu", ["h"], ["hr"]),
        helper.make_node("Gemm", ["hr", "out_w", "out_b"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probs"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "old_pipeline",
        [helper.make_tensor_value_info("mfcc", TensorProto.FLOAT, ["batch", 1, MFCCS, FRAMES])],
        [helper.make_tensor_value_info("probs", TensorProto.FLOAT, ["batch", LABELS])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return sum(value.size for value in weights.values())


@functools.cache
def mel_filters():
    return librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT)


def features(path, best_case):
    """The MFCCs (40 x 98, float32) and the record of one file."""
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = audio.mean(axis=1)
    duration = len(mono) / rate
    if rate != SAMPLE_RATE:
        mono = librosa.resample(mono, orig_sr=rate, target_sr=SAMPLE_RATE)
    fixed = librosa.util.fix_length(mono, size=SAMPLES)
    rms = librosa.feature.rms(y=mono, frame_length=N_FFT, hop_length=HOP)
    if best_case:
        spectrum = np.abs(librosa.stft(fixed, n_fft=N_FFT, hop_length=HOP))
        mel = librosa.power_to_db(mel_filters() @ (spectrum * spectrum))
        mfcc = librosa.feature.mfcc(S=mel, n_mfcc=MFCCS)
        spectrum = spectrum[:, : 1 + len(mono) // HOP]
        centroid = librosa.feature.spectral_centroid(S=spectrum, sr=SAMPLE_RATE)
        rolloff = librosa.feature.spectral_rolloff(S=spectrum, sr=SAMPLE_RATE)
    else:
        mfcc = librosa.feature.mfcc(y=fixed, sr=SAMPLE_RATE, n_mfcc=MFCCS, n_fft=N_FFT, hop_length=HOP)
        centroid = librosa.feature.spectral_centroid(y=mono, sr=SAMPLE_RATE, n_fft=N_FFT, hop_length=HOP)
        rolloff = librosa.feature.spectral_rolloff(y=mono, sr=SAMPLE_RATE, n_fft=N_FFT, hop_length=HOP)
    with open(path, "rb") as file:
        digest = hashlib.md5(file.read()).hexdigest()
    record = {
        "abs_path": path,
        "hash": digest,
        "duration_sec": duration,
        "rms": float(rms.mean()),
        "centroid_hz": float(centroid.mean()),
        "rolloff_hz": float(rolloff.mean()),
        "sample_rate": rate,
    }
    return mfcc.astype(np.float32), record


session = None
frugal = False


def start_worker(model_path, best_case, barrier):
    """Loads the network and runs every step once, then waits for the other processes."""
    global session, frugal
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model_path, options, providers=["CPUExecutionProvider"])
    frugal = best_case
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "warm.wav")
        noise = np.random.default_rng(0).standard_normal(24_000) * 0.1
        soundfile.write(path, noise, 48_000)
        hear([path] * BATCH)
    barrier.wait()


def hear(paths):
    """Analyses up to 32 files: their lines of JSON, how many could not be read, and the CPU time it took in s."""
    started = time.process_time()
    inputs, records, failed = [], [], 0
    for path in paths:
        try:
            mfcc, record = features(path, frugal)
        except Exception as error:  # whatever a file makes the libraries raise counts as one failed file
            failed += 1
            print(f"{path}: {error}", file=sys.stderr)
            continue
        inputs.append(mfcc)
        records.append(record)
    if inputs:
        (probs,) = session.run(None, {"mfcc": np.stack(inputs)[:, None]})
        for record, row in zip(records, probs):
            top = np.argsort(row)[::-1][:3]
            record["topk"] = [[int(label), float(row[label])] for label in top]
            record["probs"] = row.tolist()
    return [json.dumps(record) for record in records], failed, time.process_time() - started


def find_files(folder, limit):
    """The sound files of `folder`, in order."""
    found = []
    for directory, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        found += [
            os.path.join(directory, name)
            for name in sorted(names)
            if name.lower().endswith(SUFFIXES) and not name.startswith(".")
        ]
    return found[:limit] if limit else found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--limit", type=int, default=0, help="at most so many files")
    parser.add_argument("--best-case", action="store_true", help="one spectrogram a file, mel filters computed once")
    parser.add_argument("--out", help="where the lines of JSON go (default: a temporary file)")
    arguments = parser.parse_args()

    paths = find_files(arguments.folder, arguments.limit)
    if not paths:
        sys.exit(f"no sound files in {arguments.folder}")
    batches = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]

    with tempfile.TemporaryDirectory() as work:
        model_path = os.path.join(work, "old.onnx")
        parameters = make_network(model_path)
        context = multiprocessing.get_context("spawn")
        barrier = context.Barrier(arguments.processes + 1)
        with context.Pool(
            arguments.processes, start_worker, (model_path, arguments.best_case, barrier)
        ) as pool, open(arguments.out or os.path.join(work, "index.jsonl"), "w") as out:
            barrier.wait(timeout=300)
            started = time.perf_counter()
            heard = failed = 0
            cpu_seconds = 0.0
            for lines, batch_failed, batch_cpu in pool.imap_unordered(hear, batches):
                out.writelines(line + "\n" for line in lines)
                heard += len(lines)
                failed += batch_failed
                cpu_seconds += batch_cpu
            out.flush()
            seconds = time.perf_counter() - started
    print(
        json.dumps(
            {
                "files": len(paths),
                "heard": heard,
                "failed": failed,
                "processes": arguments.processes,
                "best_case": arguments.best_case,
                "parameters": parameters,
                "seconds": round(seconds, 3),
                "files_per_sec": round(len(paths) / seconds, 1),
                "files_per_cpu_sec": round(len(paths) / cpu_seconds, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
