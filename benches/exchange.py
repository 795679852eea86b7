#!/usr/bin/env python3
"""Import, export and aggregate at a million records: time and peak memory of each format, beside those of fewer records.

    cargo build --release
    python3 benches/exchange.py --json exchange.json
    python3 benches/exchange.py --records 20000 --rounds 1

Makes an archive of N empty files and an index.jsonl of them with 34 probabilities each, in which a tenth share their content
with others, and the same of N / 10. Then, round by round: each index is imported into a fresh store; every format is
exported out of that store, and from the index itself; every format that carries labels is read back, where one row in a
thousand was changed; and the larger index is aggregated with two more runs of itself. Peak memory is the kernel's
(ru_maxrss of the child). Memory that does not grow with the records is what is promised: the ratio of both peaks is
printed. Needs Linux, Python 3, and 4 GB of disk for a million records.
"""

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import time

import common
from common import digits, median, say

FORMATS = {"jsonl": [], "jsonl.gz": [], "parquet": [], "parquet -q": ["--quantize"], "csv": [], "hf": [], "manifest": [],
           "labelstudio": []}
NAMES = {"hf": "metadata.csv", "manifest": "manifest.csv", "labelstudio": "tasks.json", "parquet -q": "q.parquet"}
LABELS = ["csv", "hf", "manifest", "parquet", "labelstudio"]
GROWTH = 1.3


def make_archive(folder, records):
    """So many empty files."""
    for number in range(records):
        path = os.path.join(folder, name_of(number))
        try:
            file = open(path, "x")
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path))
            file = open(path, "x")
        file.close()


def name_of(number):
    return "Pack %04d/Folder %02d/sample_%07d.wav" % (number % 3000, number % 17, number)


def changed(path):
    """Another label in every thousandth row of a file of labels, or one more annotation in Label Studio's tasks."""
    new = path + ".new"
    with open(path) as rows, open(new, "w") as out:
        label = None
        for number, row in enumerate(rows):
            if path.endswith(".json"):
                if number % 1000 == 500:
                    task = json.loads(row.rstrip(",\n"))
                    result = [{"from_name": "label", "to_name": "audio", "type": "choices", "value": {"choices": ["Tom"]}}]
                    task["annotations"] = [{"id": number, "result": result}]
                    row = json.dumps(task) + row[len(row.rstrip(",\n")):]
            elif number == 0:
                label = row.rstrip("\n").split(",").index("label")
            elif number % 1000 == 500:
                fields = row.split(",")  # no field before the label needs quotes here
                fields[label] = "Ride" if fields[label] == "Tom" else "Tom"
                row = ",".join(fields)
            out.write(row)
    os.rename(new, path)


def make(path, archive, records, seed):
    """An index of so many records."""
    with open(os.path.join(common.HERE, "..", "models", "label_mapping.json")) as file:
        labels = json.load(file)
    choice = random.Random(seed)
    sounds = []
    for _ in range(300):
        weights = [choice.random() ** 6 for _ in labels]
        probs = [round(weight / sum(weights), 6) for weight in weights]
        best = sorted(range(len(labels)), key=lambda place: -probs[place])[:3]
        top = [[labels[place], probs[place]] for place in best]
        sounds.append('"label_top1": "%s", "conf_top1": %r, "topk": %s, "probs": %s, "assigned_label": "%s", '
                      '"assigned_confidence": %r, ' % (top[0][0], top[0][1], json.dumps(top), json.dumps(probs), top[0][0],
                                                       top[0][1]))
    with open(path, "w") as file:
        for number in range(records):
            name = name_of(number)
            content = number if number % 10 else number // 10 % 1000
            file.write('{"relative_path": "%s", "abs_path": "%s/%s", "hash": "%032x", "hash_algorithm": "xxh3", '
                       '"size": 0, "mtime": 1730723456.123456789, "duration_sec": 0.412, "rms": -24.7, '
                       '"centroid_hz": 812.0, "rolloff_hz": 2100.0, "sample_rate": 44100, "channels": 1, '
                       '"codec": "pcm_s16le", %s"gate_refused": false, "assigned_reason": "top1", "misc_routed": false, '
                       '"below_misc_threshold": false, "out_of_target": false, "status": "ok", "errors": null, '
                       '"model": "m%d", "features": "f"}\n'
                       % (name, archive, name, content * 2654435761 % (1 << 96), choice.choice(sounds), seed))


def measured(command):
    """Seconds and peak megabytes of a command."""
    begin = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.monotonic() - begin, usage.ru_maxrss / 1024


def a_round(binary, work, size, records, note):
    """Everything once; `note` takes the name of a command and its seconds, peak MB and MB of output."""
    archive, at = os.path.join(work, size), lambda name: os.path.join(work, name)
    make(at("1.jsonl"), archive, records, 1)
    store = ["--store", at("store")]
    note("import index.jsonl", (*measured([binary, "import", archive, at("1.jsonl"), *store]), size_of(at("store"))))
    for name, options in FORMATS.items():
        to = at(NAMES.get(name, "out." + name))
        command = [binary, "export", archive, "-o", to, *options, *store]
        note(f"export {name}", (*measured(command), os.path.getsize(to) / 1e6))
        if name in LABELS:
            if name != "parquet":
                changed(to)
            note(f"import labels of {name}", (*measured([binary, "import", archive, to, *store]), 0))
        command = [binary, "export", "--index", at("1.jsonl"), "-o", to, *options]
        note(f"export --index {name}", (*measured(command), os.path.getsize(to) / 1e6))
        os.remove(to)
    shutil.rmtree(at("store"))
    make(at("2.jsonl"), archive, records, 2)
    make(at("3.jsonl"), archive, records, 3)
    inputs = [at(f"{number}.jsonl") for number in (1, 2, 3)]
    command = [binary, "aggregate", *inputs, "-o", at("all.jsonl"), "--conflicts", at("conflicts.jsonl")]
    note("aggregate", (*measured(command), os.path.getsize(at("all.jsonl")) / 1e6))
    for name in [*inputs, at("all.jsonl"), at("conflicts.jsonl")]:
        os.remove(name)


def size_of(folder):
    """The megabytes of all files below a folder."""
    return sum(os.path.getsize(os.path.join(above, name)) for above, _, names in os.walk(folder) for name in names) / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--binary", default=common.DRUMFS)
    parser.add_argument("--work", help="where the files are made [default: a new folder, removed at the end]")
    parser.add_argument("--json", help="write the figures to this file")
    args = parser.parse_args()
    binary = common.drumfs_binary(args.binary)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with common.scratch(args.work) as work:
        figures = {}
        for size, records in (("small", args.records // 10), ("large", args.records)):
            make_archive(os.path.join(work, size), records)
        for number in range(args.rounds):
            for size, records in (("small", args.records // 10), ("large", args.records)):
                a_round(binary, work, size, records, lambda name, figure: figures.setdefault((name, size), []).append(figure))
                say(f"round {number + 1}: {records:,} records done")
        rows, result = [], {"records": args.records, "rounds": args.rounds, "machine": common.machine(binary, work),
                        "formats": {}}
        for name in dict.fromkeys(name for name, _ in figures):
            small, large = ([median(column) for column in zip(*figures[name, size])] for size in ("small", "large"))
            records = args.records * (3 if name == "aggregate" else 1)
            row = {"seconds": large[0], "records_a_second": records / large[0], "peak_mb": large[1],
                   "peak_mb_of_a_tenth": small[1], "growth": large[1] / small[1], "output_mb": large[2]}
            result["formats"][name] = row
            rows.append([name, *(digits(value) for value in row.values())])
        head = ["", "s", "records/s", "peak MB", "peak MB of a tenth", "ratio", "output MB"]
        print(common.table(head, rows))
        if args.json:
            common.write_json(args.json, result)
        worst = max(result["formats"].values(), key=lambda row: row["growth"])
        if args.records >= 1_000_000 and worst["growth"] > GROWTH:
            raise SystemExit(f"memory grows with the records: {worst}")


if __name__ == "__main__":
    main()
