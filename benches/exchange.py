#!/usr/bin/env python3
"""Export and aggregate at a million records: time and peak memory of each format, beside those of fewer records.

    cargo build --release
    python3 benches/exchange.py --json exchange.json
    python3 benches/exchange.py --records 20000 --rounds 1

Makes an index.jsonl of N records with 34 probabilities each, in which a tenth share their content with others, and one of
N / 10. Then, round by round, exports both in every format, and aggregates the larger one with another run of itself. Peak
memory is the kernel's (ru_maxrss of the child). Memory that does not grow with the records is what is promised: the ratio
of both peaks is printed. Needs Linux and Python 3.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import time

import common
from common import digits, median, say

FORMATS = {"jsonl": [], "jsonl.gz": [], "parquet": [], "parquet -q": ["--quantize"], "csv": [], "hf": [], "manifest": [],
           "labelstudio": []}
NAMES = {"hf": "metadata.csv", "manifest": "manifest.csv", "labelstudio": "tasks.json", "parquet -q": "q.parquet"}
GROWTH = 1.3


def make(path, records, seed):
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
            name = "Pack %04d/Folder %02d/sample_%07d.wav" % (number % 3000, number % 17, number)
            content = number if number % 10 else number // 10 % 1000
            file.write('{"relative_path": "%s", "abs_path": "/archive/%s", "hash": "%032x", "hash_algorithm": "xxh3", '
                       '"size": 12345, "mtime": 1730723456.123456789, "duration_sec": 0.412, "rms": -24.7, '
                       '"centroid_hz": 812.0, "rolloff_hz": 2100.0, "sample_rate": 44100, "channels": 1, '
                       '"codec": "pcm_s16le", %s"gate_refused": false, "assigned_reason": "top1", "misc_routed": false, '
                       '"below_misc_threshold": false, "out_of_target": false, "status": "ok", "errors": null, '
                       '"model": "m%d", "features": "f"}\n'
                       % (name, name, content * 2654435761 % (1 << 96), choice.choice(sounds), seed))


def measured(command):
    """Seconds and peak megabytes of a command."""
    begin = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.monotonic() - begin, usage.ru_maxrss / 1024


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
        at = lambda name: os.path.join(work, name)
        make(at("large.jsonl"), args.records, 1)
        make(at("small.jsonl"), args.records // 10, 1)
        make(at("other.jsonl"), args.records, 2)
        figures = {}
        for number in range(args.rounds):
            say("round", number + 1)
            for name, options in FORMATS.items():
                for size in ("small", "large"):
                    to = at(NAMES.get(name, "out." + name))
                    command = [binary, "export", "--index", at(size + ".jsonl"), "-o", to, *options]
                    figures.setdefault((name, size), []).append((*measured(command), os.path.getsize(to) / 1e6))
            for size, inputs in (("small", ["small.jsonl"]), ("large", ["large.jsonl", "other.jsonl"])):
                command = [binary, "aggregate", *map(at, inputs), "-o", at("all.jsonl"), "--conflicts", at("conflicts.jsonl")]
                figure = (*measured(command), os.path.getsize(at("all.jsonl")) / 1e6)
                figures.setdefault(("aggregate", size), []).append(figure)
        rows, result = [], {"records": args.records, "rounds": args.rounds, "machine": common.machine(binary, work),
                        "formats": {}}
        for name in [*FORMATS, "aggregate"]:
            small, large = ([median(column) for column in zip(*figures[name, size])] for size in ("small", "large"))
            records = args.records * (2 if name == "aggregate" else 1)
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
