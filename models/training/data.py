"""Samples, their groups, and their features as drumfs computes them."""

import csv
import subprocess
import tempfile
import warnings
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from augment import write_variants
from labels import LABELS

# Sources that collect the machines of many makers: their kits have nothing in common. Kits of any other source were
# recorded or programmed by one hand, sound alike, and stay together.
MANY_MAKERS = {
    "psemiletov/drumlabooh-kits", "smpldsnds/drum-machines", "GoogleChromeLabs/web-audio-samples", "oramics/sampled",
    "LMMS/lmms",
}


class Samples:
    """What a manifest (CSV: path, label, kit, and source where there is one) lists."""

    def __init__(self, manifest):
        with open(manifest, newline="") as file:
            rows = list(csv.DictReader(file))
        unknown = sorted({row["label"] for row in rows} - set(LABELS))
        if unknown:
            raise SystemExit(f"{manifest}: labels that the model does not have: {', '.join(unknown)}")
        self.names = [row["path"] for row in rows]
        self.paths = [Path(manifest).parent / name for name in self.names]
        self.labels = np.array([LABELS.index(row["label"]) for row in rows])
        self.kits = np.array([row["kit"] for row in rows])
        self.groups = groups(self.kits, [row.get("source") or f"kit {row['kit']}" for row in rows])

    def __len__(self):
        return len(self.names)

    def folds(self, count, seed):
        """Pairs of indices (known, held out): no group is on both sides, labels are spread evenly."""
        splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            # Rare labels are in fewer groups than there are folds.
            warnings.simplefilter("ignore", UserWarning)
            splits = list(splitter.split(np.zeros(len(self)), self.labels, self.groups))
        for known, held_out in splits:
            assert not set(self.groups[known]) & set(self.groups[held_out])
        return splits


def groups(kits, sources):
    """Kits joined where they share a source that is one maker's."""
    parent = {}

    def find(name):
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for kit, source in zip(kits, sources):
        kit = find(("kit", kit))
        if source not in MANY_MAKERS:
            parent[find(("source", source))] = kit
    return np.array(["/".join(find(("kit", kit))) for kit in kits])


def drumfs_features(drumfs, paths, folder):
    """Features [n, values], attributes [n, 4] and whether there are any, by the program itself."""
    manifest, out = Path(folder) / "paths.csv", Path(folder) / "features.npz"
    with open(manifest, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path"])
        writer.writerows([[Path(path).resolve()] for path in paths])
    status = subprocess.run([drumfs, "features", "--manifest", manifest, "--out", out]).returncode
    if status not in (0, 3):
        raise SystemExit(f"{drumfs} features failed with status {status}")
    with np.load(out) as archive:
        return archive["features"], archive["attributes"], archive["ok"].astype(bool)


def hear(drumfs, paths, variants, seed, processes):
    """Features [n, 1 + variants, values], the original first, and the originals' attributes [n, 4]. A variant that can't
    be heard is replaced by the original. Variants are written and heard some at a time, to spare the disk."""
    parts, attributes = [], None
    for first in range(0, max(variants, 1), 4):
        numbers = range(first, min(first + 4, variants))
        with tempfile.TemporaryDirectory() as folder:
            written = write_variants(paths, numbers, folder, seed, processes)
            files = [path for original, copies in zip(paths, written)
                     for path in [*([original] if first == 0 else []), *copies]]
            features, heard, ok = drumfs_features(drumfs, files, folder)
        features, ok = features.reshape(len(paths), -1, features.shape[1]), ok.reshape(len(paths), -1)
        if first == 0:
            if not ok[:, 0].all():
                raise SystemExit("not heard: " + ", ".join(str(paths[i]) for i in np.flatnonzero(~ok[:, 0])))
            attributes = heard.reshape(len(paths), -1, heard.shape[1])[:, 0]
            originals = features[:, 0]
        for sample, variant in np.argwhere(~ok):
            features[sample, variant] = originals[sample]
        parts.append(features)
    return np.concatenate(parts, 1), attributes
