"""Writes what `drumfs learn` needs beside a model: its last layer, and what it learnt from as that layer saw it.

The format is described in src/classify/knowledge.rs."""

import struct
from pathlib import Path

import numpy as np
import xxhash

MAGIC = b"drumknow"
VERSION = 1


def quantise(embeddings):
    """Rows of bytes, with the minimum and the step of each row: an embedding is minimum + step * value."""
    embeddings = np.asarray(embeddings, np.float32)
    low = embeddings.min(1)
    step = ((embeddings.max(1) - low) / 255).astype(np.float32)
    values = np.round((embeddings - low[:, None]) / np.where(step > 0, step, 1)[:, None])
    return values.clip(0, 255).astype(np.uint8), low, step


def write_knowledge(path, model_id, labels_checksum, weights, bias, embeddings, labels):
    """Writes the knowledge file of a model.

    model_id: name, first 8 hexadecimal digits of the ONNX file's XXH3 and feature version, joined with "-", as
        calibration.json has it.
    labels_checksum: that of the model's JSON.
    weights [K, N], bias [K]: the last layer.
    embeddings [M, N]: its input for each training sample (and altered copies, as further rows).
    labels [M]: the index of the right output.
    """
    weights, bias = np.asarray(weights, "<f4"), np.asarray(bias, "<f4")
    labels = np.asarray(labels)
    (outputs, size), count = weights.shape, len(labels)
    assert bias.shape == (outputs,) and np.shape(embeddings) == (count, size)
    assert np.isfinite(weights).all() and np.isfinite(bias).all() and np.isfinite(embeddings).all()
    assert labels.min() >= 0 and labels.max() < outputs
    values, low, step = quantise(embeddings)
    rows = np.zeros(count, np.dtype([("label", "<u2"), ("min", "<f4"), ("step", "<f4"), ("values", "u1", size)]))
    rows["label"], rows["min"], rows["step"], rows["values"] = labels, low, step, values
    body = MAGIC + struct.pack("<4I", VERSION, outputs, size, count)
    for text in (model_id, labels_checksum):
        body += struct.pack("<H", len(text.encode())) + text.encode()
    body += weights.tobytes() + bias.tobytes() + rows.tobytes()
    Path(path).write_bytes(body + struct.pack("<Q", xxhash.xxh3_64_intdigest(body)))
