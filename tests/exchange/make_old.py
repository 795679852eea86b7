"""Makes golden/old.jsonl: an index as the pipeline that drumfs replaces wrote it, with each kind of line it had.

    python tests/exchange/make_old.py > tests/exchange/golden/old.jsonl
"""

import hashlib
import json
from pathlib import Path

ARCHIVE = Path(__file__).parent.parent / "archive"
LABELS = (
    "Agogo Bell Bongo Cabasa China Clap Clave Conga Cowbell Crash Cuica Cymbal FX Guiro Hihat Kick Maracas Metal Noise "
    "Perc Reverse Ride Rim Shaker Sizzle Snare Splash Tambourine Timbale Timpani Tom Triangle Vibraslap Vox"
).split()


def heard(path, tops, assigned, reason):
    """A line on a file that was heard: `tops` are its three best labels, the rest share what is left."""
    data = (ARCHIVE / path).read_bytes()
    rest = (1 - sum(p for _, p in tops)) / (len(LABELS) - len(tops))
    probs = [dict(tops).get(label, rest) for label in LABELS]
    return {
        "relative_path": path,
        "abs_path": "/old/archive/" + path,
        "size": len(data),
        "mtime": 1730723456.1234567,
        "duration_sec": 50000 / 44100,
        "rms_db": -24.713,
        "spectral_centroid": 812.25,
        "spectral_rolloff": 2100.5,
        "hash": hashlib.md5(data).hexdigest(),
        "label_top1": tops[0][0],
        "conf_top1": tops[0][1],
        "topk": [list(top) for top in tops],
        "probs": probs,
        "assigned_label": assigned,
        "assigned_reason": reason,
        "misc_routed": assigned == "misc",
        "below_misc_threshold": tops[0][1] < 0.5,
        "out_of_target": reason == "out_of_target",
        "errors": None,
    }


def without(record, *keys):
    return {key: value for key, value in record.items() if key not in keys}


kick = [("Kick", 0.90625), ("Tom", 0.0625), ("Snare", 0.015625)]
print(json.dumps(heard("Akai/Layered/BD_019.wav", kick, "Kick", "top1")))
rim = [("Rim", 0.75), ("Snare", 0.125), ("Clave", 0.0625)]
print(json.dumps(heard("Akai/Layered/RM_01.wav", rim, "Snare", "top1")))
print(json.dumps(heard("TR-808/CP.WAV", [("Clap", 0.875), ("Snare", 0.0625), ("Noise", 0.03125)], "misc", "out_of_target")))
low = [("Hihat", 0.40625), ("Ride", 0.375), ("Shaker", 0.125)]
print(json.dumps(heard("TR-808/CH.WAV", low, "misc", "low_confidence")))
# The same bytes were seen before: no label of its own.
twin = heard("Akai/Layered/BD_019.wav", kick, None, "duplicate")
kept = ("size", "mtime", "duration_sec", "rms_db", "spectral_centroid", "spectral_rolloff", "hash", "assigned_label", "assigned_reason")
twin = {"relative_path": "Copies/kick.wav", "abs_path": "/old/archive/Copies/kick.wav", **{key: twin[key] for key in kept}}
twin["skipped_duplicate"] = True
print(json.dumps(twin))
# dedup_hash: false and include_audio_stats: false.
plain = heard("TR-808/BD.WAV", kick, "Kick", "top1")
print(json.dumps(without(plain, "hash", "duration_sec", "rms_db", "spectral_centroid", "spectral_rolloff")))
# A path that is no UTF-8: Python carries its bytes as surrogates.
latin = dict(plain, relative_path="Caf\udce9/x.wav", abs_path="/old/archive/Caf\udce9/x.wav")
print(json.dumps(latin))
# Silence gave features that are no numbers.
nan = float("nan")
silent = heard("TR-808/MA.WAV", kick, "misc", "low_confidence")
print(json.dumps(dict(silent, conf_top1=nan, topk=[["Agogo", nan]], probs=[nan] * len(LABELS), label_top1="Agogo")))
print(json.dumps({"file": "/old/archive/_unsorted/click.wav", "relative_path": "_unsorted/click.wav", "error": "too_short"}))
print(json.dumps({"file": "/old/archive/_unsorted/broken/empty.aif", "relative_path": "_unsorted/broken/empty.aif", "error": "Error opening: Format not recognised."}))
