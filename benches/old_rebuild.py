#!/usr/bin/env python3
"""The peer of the rebuild figures: the steps of the Python pipeline drumfs replaces, written from its description.

All lines of index.jsonl are read. For each record in turn: what failed or was a duplicate is passed over; the label may
be filtered; the original is looked for; the label's folder is made; the name is made free with _1, _2 and so on, where
it is taken; shutil.copy2, os.symlink or os.link puts the file there. Lists by label and a summary are written at the end.
What the old one printed and its progress bar are left out. Prints one object of JSON, with files a second.

    python3 benches/old_rebuild.py --index index.jsonl --out DIR --copy-mode copy
"""

import argparse
import collections
import json
import os
import pathlib
import shutil
import time


def rebuild(index, out, mode, allowed=None):
    """Puts the files of an index into `out`; how many."""
    put = {"copy": shutil.copy2, "symlink": os.symlink, "hardlink": os.link}[mode]
    counts = collections.Counter()
    manifests = collections.defaultdict(list)
    out.mkdir(parents=True, exist_ok=True)
    with open(index, encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines if line.strip()]
    for record in records:
        label = record.get("assigned_label")
        if record.get("errors") or record.get("skipped_duplicate") or not label:
            counts["passed over"] += 1
            continue
        if allowed and label not in allowed:
            label = "misc"
        original = pathlib.Path(record["abs_path"])
        if not original.exists():
            counts["missing"] += 1
            continue
        folder = out / label
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / pathlib.Path(record["relative_path"]).name
        number = 1
        stem, suffix = target.stem, target.suffix
        while target.exists():
            target = folder / f"{stem}_{number}{suffix}"
            number += 1
        put(original, target)
        counts["put"] += 1
        counts[f"label {label}"] += 1
        manifests[label].append(record["relative_path"])
    (out / "_manifests").mkdir(exist_ok=True)
    for label, paths in manifests.items():
        (out / "_manifests" / f"{label}.txt").write_text("\n".join(sorted(paths)))
    (out / "_rebuild_summary.json").write_text(json.dumps(counts, indent=2))
    return counts["put"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--index", required=True)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--copy-mode", default="copy", choices=["copy", "symlink", "hardlink"])
    arguments = parser.parse_args()
    started = time.perf_counter()
    files = rebuild(arguments.index, arguments.out, arguments.copy_mode)
    seconds = time.perf_counter() - started
    print(json.dumps({"files": files, "seconds": round(seconds, 3), "files_per_sec": round(files / seconds, 1)}))


if __name__ == "__main__":
    main()
