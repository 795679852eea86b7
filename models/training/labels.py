"""The labels, in the order of the model's outputs, and where each is collected."""

import numpy as np

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
