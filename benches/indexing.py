#!/usr/bin/env python3
"""The indexing figure: `drumfs index` against benches/old_pipeline.py, interleaved, on the same files.

    pip install -r benches/requirements.txt
    cargo build --release
    python benches/indexing.py --make 5000 /tmp/bench --from tests/archive
    python benches/indexing.py /tmp/bench --threads 2 --rounds 5 [--best-case] [--stages]

`--make` decodes the given sounds and writes N distinct 16-bit WAVs at 44,100 Hz from them: each is one of the sounds at
a gain and with a little silence before it that no other has, so that no two files have the same bytes.

Each round runs, one after the other and in alternating order: the old pipeline with as many processes as drumfs has
threads; `drumfs index` with a fresh store; and the same command again, over the unchanged folder. drumfs's time is the
whole process from start to exit; the old pipeline's leaves out its start (imports, compiling, loading the network). With
--stages also benches/stages.rs, which takes the same files through the stages of a pass, each more than the one before:
reading and hashing alone, reading and decoding alone, features, the model; with --against also an earlier build. All
files are read once beforehand, so that all find them in the page cache. On a machine that does other work at the same
time, trust the ratio per second of CPU time more than the other.

Prints a table on stderr and one object of JSON on stdout: medians, every round, the ratios, and the peak resident size
of the indexing pass. --from-json FILE prints the table of an earlier run, with --markdown in Markdown.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import common
from common import HERE, cpu_name

SAMPLE_RATE = 44_100  # Hz


def make(count, folder, source):
    """Writes `count` distinct WAVs into `folder`, made from the sounds of `source`."""
    import librosa
    import numpy as np
    import soundfile

    if os.path.exists(folder) and os.listdir(folder):
        sys.exit(f"{folder} is not empty: name a new folder for the files")
    sounds = []
    for directory, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        for name in sorted(names):
            path = os.path.join(directory, name)
            try:
                audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
            except (soundfile.LibsndfileError, OSError):
                continue  # not a sound, or not one of libsndfile's formats
            mono = audio.mean(axis=1)
            if rate != SAMPLE_RATE:
                mono = librosa.resample(mono, orig_sr=rate, target_sr=SAMPLE_RATE)
            peak = np.abs(mono).max(initial=0)
            if len(mono) >= 256 and peak > 1e-3:
                sounds.append(mono / peak)
    if not sounds:
        sys.exit(f"no sounds in {source}")
    random = np.random.default_rng(1)
    sounds = [sounds[index] for index in random.permutation(len(sounds))]
    seen = set()
    size = written = 0
    while written < count:
        sound = sounds[written % len(sounds)]
        silence = np.zeros(random.integers(0, 441), np.float32)
        pcm = np.round(np.concatenate([silence, sound * random.uniform(0.25, 0.99)]) * 32_767).astype(np.int16)
        key = hash(pcm.tobytes())
        if key in seen:
            continue
        seen.add(key)
        target = os.path.join(folder, f"Pack {written // 500:03}", f"{written:06}.wav")
        os.makedirs(os.path.dirname(target), exist_ok=True)
        soundfile.write(target, pcm, SAMPLE_RATE, subtype="PCM_16")
        size += os.path.getsize(target)
        written += 1
    print(f"{count} files of {size / count / 1000:.1f} KB on average, from {len(sounds)} sounds", file=sys.stderr)


def count_and_read(folder):
    """Reads every file of `folder` once; how many there are."""
    count = 0
    for directory, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(directory, name), "rb") as file:
                while file.read(1 << 20):
                    pass
            count += 1
    return count


def run_drumfs(program, folder, store, threads):
    """Of one indexing pass: seconds, CPU seconds, and peak resident size in MB."""
    command = [program, "index", folder, "--store", store, "--threads", str(threads)]
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 3):
            errors.seek(0)
            sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{errors.read().decode(errors='replace')}")
    # ru_maxrss is in bytes on macOS and in KiB on Linux.
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def run_old(folder, processes, best_case):
    """What old_pipeline.py reports."""
    command = [sys.executable, os.path.join(HERE, "old_pipeline.py"), folder, "--processes", str(processes)]
    if best_case:
        command.append("--best-case")
    finished = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(finished.stdout)


def stages_binary():
    """Builds benches/stages.rs; its path."""
    command = ["cargo", "bench", "--bench", "stages", "--no-run", "--message-format", "json"]
    built = subprocess.run(command, cwd=os.path.join(HERE, ".."), stdout=subprocess.PIPE, text=True, check=True)
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    return next(message["executable"] for message in messages
                if message.get("executable") and message["target"]["name"] == "stages")


def run_stages(binary, folder, threads):
    """Files a second of each stage, and for each second of CPU time."""
    command = [binary, folder, "--threads", str(threads), "--rounds", "1", "--json"]
    report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    figures = {}
    for stage, rates in report.items():
        figures[f"{stage}, files_per_sec"] = rates["files_per_sec"][0]
        figures[f"{stage}, files_per_cpu_sec"] = rates["files_per_cpu_sec"][0]
    return figures


def median(rounds, key):
    return statistics.median(entry[key] for entry in rounds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", help="the files to index")
    parser.add_argument("--make", nargs=2, metavar=("N", "DIR"), help="write N distinct WAVs into DIR and stop")
    parser.add_argument("--from", dest="source", metavar="SAMPLES_DIR", help="the sounds that --make starts from")
    parser.add_argument("--drumfs", default=common.DRUMFS, help="the binary")
    parser.add_argument("--threads", type=int, default=2, help="threads of drumfs, processes of the old pipeline")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--best-case", action="store_true", help="the old pipeline computes one spectrogram a file")
    parser.add_argument("--skip-old", action="store_true", help="drumfs alone")
    parser.add_argument("--stages", action="store_true", help="the stages of a pass, too (builds benches/stages.rs)")
    parser.add_argument("--against", metavar="FILE", help="an earlier build of drumfs, too")
    parser.add_argument("--from-json", metavar="FILE", help="measure nothing: the table of this run")
    parser.add_argument("--markdown", action="store_true", help="the table in Markdown")
    arguments = parser.parse_args()

    if arguments.make:
        if not arguments.source:
            parser.error("--make needs --from SAMPLES_DIR")
        make(int(arguments.make[0]), arguments.make[1], arguments.source)
        return
    if arguments.from_json:
        print(table(common.read_json(arguments.from_json), arguments.markdown))
        return
    if not arguments.folder:
        parser.error("name a folder to index, or --make")
    program = common.drumfs_binary(arguments.drumfs)
    stages = stages_binary() if arguments.stages else None
    files = count_and_read(arguments.folder)
    rounds = []
    for number in range(arguments.rounds):
        entry = {}
        with tempfile.TemporaryDirectory(prefix="drumfs-bench-") as work:
            store = os.path.join(work, "store")

            def old():
                if not arguments.skip_old:
                    report = run_old(arguments.folder, arguments.threads, arguments.best_case)
                    entry["old_files_per_sec"] = report["files_per_sec"]
                    entry["old_files_per_cpu_sec"] = report["files_per_cpu_sec"]

            def new():
                seconds, cpu, entry["drumfs_peak_mb"] = run_drumfs(program, arguments.folder, store, arguments.threads)
                entry["drumfs_files_per_sec"] = files / seconds
                entry["drumfs_files_per_cpu_sec"] = files / cpu
                entry["unchanged_seconds"], _, _ = run_drumfs(program, arguments.folder, store, arguments.threads)
                entry["unchanged_files_per_sec"] = files / entry["unchanged_seconds"]

            def earlier():
                if arguments.against:
                    seconds, cpu, _ = run_drumfs(arguments.against, arguments.folder, store + "-earlier", arguments.threads)
                    entry["earlier_files_per_sec"] = files / seconds
                    entry["earlier_files_per_cpu_sec"] = files / cpu

            def parts():
                if stages:
                    entry.update(run_stages(stages, arguments.folder, arguments.threads))

            for step in (old, earlier, parts, new) if number % 2 == 0 else (new, parts, earlier, old):
                step()
        if not arguments.skip_old:
            entry["ratio"] = entry["drumfs_files_per_sec"] / entry["old_files_per_sec"]
            entry["cpu_ratio"] = entry["drumfs_files_per_cpu_sec"] / entry["old_files_per_cpu_sec"]
        rounds.append(entry)
        print(f"round {number + 1}: " + ", ".join(f"{key} {value:.1f}" for key, value in entry.items()), file=sys.stderr)

    report = {
        "files": files,
        "threads": arguments.threads,
        "cpu": cpu_name(),
        "best_case": arguments.best_case,
        "median": {key: round(median(rounds, key), 3) for key in rounds[0]},
        "rounds": [{key: round(value, 3) for key, value in entry.items()} for entry in rounds],
    }
    print(table(report, arguments.markdown), file=sys.stdout if arguments.markdown else sys.stderr)
    if not arguments.markdown:
        print(json.dumps(report))


STAGES = ["read and hash", "read and decode", "features", "model"]


def table(report, markdown):
    """Medians of the rounds; each line's rate against the whole pass of the same round."""
    rounds, middle = report["rounds"], report["median"]

    def line(name, key):
        if f"{key}files_per_sec" not in middle:
            return []
        against = [entry[f"{key}files_per_sec"] / entry["drumfs_files_per_sec"] for entry in rounds]
        return [[name, f"{middle[f'{key}files_per_sec']:,.0f}", f"{middle[f'{key}files_per_cpu_sec']:,.0f}",
                 common.spread(against)]]

    lines = line("old pipeline" + (", at its best" if report["best_case"] else ""), "old_")
    for stage, what in zip(STAGES, ["read and hash alone", "read and decode alone", "read, hash, decode, features",
                                    "the same and the model"]):
        lines += line(what, f"{stage}, ")
    lines += line("drumfs index of the earlier build", "earlier_")
    lines += line("drumfs index", "drumfs_")
    if "ratio" in middle:
        lines.append(["drumfs index against the old pipeline", f"{middle['ratio']:.1f}", f"{middle['cpu_ratio']:.1f}", ""])
    lines.append(["drumfs index again, unchanged", f"{middle['unchanged_files_per_sec']:,.0f}", "", ""])
    lines.append(["drumfs index, peak resident, MB", f"{middle['drumfs_peak_mb']:,.0f}", "", ""])
    head = [f"{report['files']:,} files, {report['threads']} threads, median of {len(rounds)} rounds", "files/s",
            "per CPU second", "against drumfs index"]
    return common.table(head, lines, markdown)


def targets(report):
    """Against the earlier build, where one was measured."""
    if "earlier_files_per_sec" not in report["median"]:
        return []
    ratio = statistics.median(e["drumfs_files_per_sec"] / e["earlier_files_per_sec"] for e in report["rounds"])
    return [["indexing against the build before", "at least 1.4", f"{ratio:.2f}", "met" if ratio >= 1.4 else "missed"]]


if __name__ == "__main__":
    main()
