#!/usr/bin/env python3
"""The figures of a mount: how soon a save of rules.yml is seen, and how long an unchanged archive takes to check.

    cargo build --release
    python3 benches/rules_save.py --samples 50000 --saves 20

Makes an archive of N distinct tiny WAVs (0.05 s of a decaying tone at 11,025 Hz, 16 bits, about 1.1 KB: what is timed
does not depend on their length) in 40 packs, indexes it, indexes it again unchanged, mounts it, and saves two rules
files in turn, each of which moves two fifths of the samples. Needs nothing but Python 3 and Linux.

For every save it measures, in this process:
  write    from open to the return of close: when it returns every later call sees the new view
  stat     the first stat of a sample under its new name, and that its old name is gone
  ls       listing the new folder whole
and reads `view_build_ms` (routing and tree, without notifying the kernel) from status.json. Everything listed before a
save was listed in the old view, so the kernel's memory is full of what must be forgotten.

Prints a table on stderr and JSON on stdout: medians and worst.
"""

import argparse
import json
import math
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
DRUMFS = os.path.join(HERE, "..", "target", "release", "drumfs")


def wav(number):
    rate, length = 11025, 551
    step = 2 * math.pi * (60 + number % 4000) / rate
    frames = [int(20000 * math.exp(-i / 120) * math.sin(step * i)) for i in range(length)]
    frames[-2:] = [(number >> 15) & 0x7FFF, number & 0x7FFF]
    data = struct.pack(f"<{length}h", *frames)
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16,
                       b"data", len(data))
    return head + data


def make(folder, count):
    for number in range(count):
        pack = os.path.join(folder, f"Pack {number % 40:02}")
        if number < 40:
            os.makedirs(pack)
        with open(os.path.join(pack, f"{number:07}.wav"), "wb") as file:
            file.write(wav(number))


def timed(work):
    start = time.perf_counter()
    result = work()
    return (time.perf_counter() - start) * 1000, result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=50000)
    parser.add_argument("--saves", type=int, default=20)
    parser.add_argument("--layout", default="preserve", choices=["preserve", "flat", "by-pack"])
    parser.add_argument("--archive", help="use or make the archive here, and keep it")
    args = parser.parse_args()
    work = tempfile.mkdtemp(prefix="drumfs-bench-")
    archive = args.archive or os.path.join(work, "archive")
    store, mount = os.path.join(work, "store"), os.path.join(work, "mount")
    try:
        if not os.path.isdir(archive):
            print(f"making {args.samples} files", file=sys.stderr)
            make(archive, args.samples)
        index = [DRUMFS, "index", archive, "--store", store, "--json"]
        first = json.loads(subprocess.run(index, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)
        again = [json.loads(subprocess.run(index, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)
                 for _ in range(3)]
        subprocess.run([DRUMFS, "mount", archive, mount, "--store", store, "--background"], check=True,
                       stderr=subprocess.DEVNULL)
        result = saves(args, mount)
        result["samples"] = first["found"]
        result["first_pass_files_per_sec"] = round(first["heard"] / first["seconds"])
        seconds = statistics.median(run["seconds"] for run in again)
        result["unchanged_pass_seconds"] = round(seconds, 3)
        result["unchanged_pass_files_per_sec"] = round(first["found"] / seconds)
        for key, value in result.items():
            print(f"{key:40} {value}", file=sys.stderr)
        print(json.dumps(result))
    finally:
        subprocess.run(["umount", "-l", mount], stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        shutil.rmtree(work, ignore_errors=True)


def saves(args, mount):
    control = os.path.join(mount, "_control")
    status = lambda: json.load(open(os.path.join(control, "status.json")))
    while status()["indexing"]["passes"] == 0:
        time.sleep(0.1)
    packs = [f"Pack {number:02}/**" for number in range(16)]
    texts = []
    for folder in ["Moved", "Elsewhere"]:
        routes = "".join(f"  - {{path: {json.dumps(pack)}, to: {folder}}}\n" for pack in packs)
        texts.append(f"layout: {args.layout}\nroutes:\n{routes}")
    inner = "Pack 00/" if args.layout != "flat" else ""
    times = {"write": [], "stat": [], "ls": [], "view_build": []}
    for number in range(args.saves + 2):
        new, old = [("Moved", "Elsewhere"), ("Elsewhere", "Moved")][number % 2]
        for root, _, files in os.walk(mount):
            if "_by-id" not in root:
                for file in files:
                    os.stat(os.path.join(root, file))

        def save():
            with open(os.path.join(control, "rules.yml"), "w") as file:
                file.write(texts[number % 2])

        write, _ = timed(save)
        sample = f"{inner}0000000.wav"
        stat, _ = timed(lambda: os.stat(os.path.join(mount, new, sample)))
        assert not os.path.exists(os.path.join(mount, old, sample)), "the old name is still there"
        ls, count = timed(lambda: sum(len(files) for _, _, files in os.walk(os.path.join(mount, new))))
        assert count == status()["folders"][new], (count, status()["folders"])
        if number >= 2:
            for key, value in [("write", write), ("stat", stat), ("ls", ls), ("view_build", status()["view_build_ms"])]:
                times[key].append(value)
    result = {"saves": args.saves, "moved_by_each": count}
    for key, values in times.items():
        result[f"{key}_ms_median"] = round(statistics.median(values), 2)
        result[f"{key}_ms_worst"] = round(max(values), 2)
    pid = subprocess.run(["pgrep", "-f", f"as-background.*|drumfs mount .*{mount}"], stdout=subprocess.PIPE, text=True)
    for number in pid.stdout.split():
        with open(f"/proc/{number}/status") as file:
            rss = [line.split()[1] for line in file if line.startswith("VmRSS")]
        if rss:
            result["mount_resident_mb"] = int(rss[0]) // 1024
    return result


if __name__ == "__main__":
    main()
