#!/usr/bin/env python3
"""What engines that spread work cost beside one machine's `drumfs index`, on the same files, and whether all say the same.

    cargo build --release
    apt-get install parallel                                             # GNU parallel 20221122
    pip install pyspark==4.3.0 'ray[data]==2.60.0'                       # and Java 17
    python benches/indexing.py --make 50000 /tmp/sounds --from tests/archive
    python benches/scale/scale.py /tmp/sounds --jobs 2 --rounds 3 --json scale.json

Each round runs, one after the other and in alternating order: `drumfs index` with a fresh store; one bare `drumfs worker`;
GNU parallel; an array of shards (a loop that stands in for Slurm); PySpark; Ray Data. All files are read once beforehand.
Each has as many processes or threads that listen as --jobs says, and is timed as a whole, start-up included. The lines of
each are compared with the index that `drumfs export` writes of the indexed store: all of them, every field. One result is imported into a fresh store; then
nothing is left to hear, and the index is the same but for the rounding of numbers. With --kill one worker of each
engine is killed (-9) in the middle of the first round, and the result has to be the same all the same.

A table on stderr, JSON in --json. --only takes some of them; --from FILE prints an earlier table, --markdown in Markdown.
"""

import argparse
import filecmp
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import common  # noqa: E402
import indexing  # noqa: E402
from common import say  # noqa: E402

NAMES = {"index": "drumfs index", "worker": "one drumfs worker", "parallel": "GNU parallel", "array": "an array of 16 shards",
         "spark": "PySpark", "ray": "Ray Data"}
ENGINES = list(NAMES)


def command_of(engine, args, drumfs, out):
    """The command that listens to the archive; its records come to lie in `out`."""
    jobs, here = str(args.jobs), lambda name: os.path.join(HERE, name)
    list_and_hear = f'"$0" worker --root "$1" --list | "$0" worker --root "$1" --threads {jobs} > "$2/index.jsonl"'
    return {
        "index": [drumfs, "index", args.archive, "--store", os.path.join(out, "store"), "--threads", jobs],
        "worker": ["bash", "-o", "pipefail", "-c", list_and_hear, drumfs, args.archive, out],
        "parallel": [here("with_parallel.sh"), args.archive, out, jobs],
        "array": [here("with_array.sh"), args.archive, out, jobs],
        "spark": [sys.executable, here("with_spark.py"), args.archive, os.path.join(out, "parts"), "--jobs", jobs],
        "ray": [sys.executable, here("with_ray.py"), args.archive, out, "--jobs", jobs],
    }[engine]


def parents():
    """The parent of every process."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                found[int(pid)] = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended
    return found


def own_workers(archive):
    """The processes below this one that are workers on the archive and not listing it."""
    above, own = parents(), []
    for pid in above:
        at = pid
        while at in above and at != os.getpid():
            at = above[at]
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                words = file.read().split("\0")
        except OSError:
            continue
        if at == os.getpid() and words[1:2] == ["worker"] and archive in words and "--list" not in words:
            own.append(pid)
    return own


def kill_one(archive, ended, killed):
    """Waits until some workers are at work, lets them hear for a while, and kills one."""
    while not ended.wait(0.2):
        if own_workers(archive):
            ended.wait(1.5)
            for pid in own_workers(archive)[:1]:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
                return


def run(engine, args, drumfs, out, kill):
    """Seconds, CPU seconds of the processes that were waited for, and how many workers were killed."""
    os.makedirs(out)
    ended, killed = threading.Event(), []
    killer = threading.Thread(target=kill_one, args=(os.path.realpath(args.archive), ended, killed))
    if kill and engine not in ("index", "worker"):
        killer.start()
    before, begin = os.times(), time.monotonic()
    with tempfile.TemporaryFile() as log:
        done = subprocess.run(command_of(engine, args, drumfs, out), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                              env=os.environ | {"DRUMFS": drumfs})
        seconds, after = time.monotonic() - begin, os.times()
        ended.set()
        if done.returncode not in (0, 3):
            log.seek(0)
            sys.exit(f"{engine} ended with {done.returncode}:\n{log.read().decode(errors='replace')[-4000:]}")
    cpu = (after.children_user - before.children_user) + (after.children_system - before.children_system)
    if killer.ident is not None:
        killer.join()
    return seconds, cpu, len(killed)


def lines_of(engine, args, drumfs, out):
    """The records as a file, sorted."""
    lines, final = os.path.join(out, "index.jsonl"), os.path.join(out, "sorted")
    if engine == "index":
        with open(lines, "wb") as file:
            export = [drumfs, "export", args.archive, "--store", os.path.join(out, "store"), "--format", "jsonl"]
            subprocess.run(export, stdout=file, check=True)
    if engine == "spark":
        with open(lines, "wb") as file:
            for part in sorted(os.listdir(os.path.join(out, "parts"))):
                if part.startswith("part-"):
                    with open(os.path.join(out, "parts", part), "rb") as piece:
                        shutil.copyfileobj(piece, file)
    subprocess.run(["sort", "-o", final, lines], env=os.environ | {"LC_ALL": "C"}, check=True)
    return final


def size_of(folder):
    """The bytes of all files below a folder."""
    return sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(folder) for name in names)


def fields_of(path):
    """Records in order, those numbers apart that are worked out or rounded."""
    with open(path, "rb") as file:
        for line in file:
            record = json.loads(line)
            numbers = [*record.pop("probs"), *[n for _, n in record["topk"]]]
            numbers += [record.pop(key) or 0 for key in ("conf_top1", "assigned_confidence", "duration_sec")]
            record["topk"] = [label for label, _ in record["topk"]]
            yield record, numbers


def import_and_compare(args, drumfs, records, reference, work):
    """Imports records into a fresh store, and says how far the numbers of its index are from the reference's: the store
    keeps logits, which are worked out from probabilities. Everything else has to be the same."""
    store, found = os.path.join(work, "imported"), os.path.join(work, "imported.jsonl")
    subprocess.run([drumfs, "import", args.archive, records, "--store", store], check=True, stdout=subprocess.DEVNULL)
    again, _ = common.index(drumfs, args.archive, store)
    if again["heard"]:
        sys.exit(f"{again['heard']} files were heard again after the import")
    with open(found, "wb") as file:
        export = [drumfs, "export", args.archive, "--store", store, "--format", "jsonl"]
        subprocess.run(export, stdout=file, check=True)
    subprocess.run(["sort", "-o", found, found], env=os.environ | {"LC_ALL": "C"}, check=True)
    furthest = 0
    for (one, numbers), (other, others) in zip(fields_of(found), fields_of(reference), strict=True):
        if one != other:
            sys.exit(f"after the import {one} is not {other}")
        furthest = max([furthest, *[abs(a - b) for a, b in zip(numbers, others, strict=True)]])
    shutil.rmtree(store)
    return furthest


def measure(args):
    drumfs = common.drumfs_binary(args.drumfs)
    files = int(subprocess.run(f'"{drumfs}" worker --root "{args.archive}" --list | wc -l', shell=True,
                               stdout=subprocess.PIPE, check=True).stdout)
    indexing.count_and_read(args.archive)  # all find the files in the page cache
    engines = [engine for engine in ENGINES if engine in args.only]
    result = {"machine": common.machine(drumfs, args.archive), "files": files, "jobs": args.jobs, "rounds": [],
              "killed": {}, "differs": []}
    with common.scratch(args.work) as work:
        for number in range(args.rounds):
            seconds, cpu = {}, {}
            order = engines if number % 2 == 0 else engines[::-1]
            for engine in order:
                out = os.path.join(work, f"{engine}-{number}")
                seconds[engine], cpu[engine], killed = run(engine, args, drumfs, out, args.kill and number == 0)
                if killed:
                    result["killed"][engine] = killed
                say(f"round {number + 1}: {engine}: {files / seconds[engine]:.0f} files/s")
            reference = lines_of("index", args, drumfs, os.path.join(work, f"index-{number}"))
            result["index_bytes"] = os.path.getsize(reference)
            result["gzip_bytes"] = int(subprocess.run(f'gzip -c "{reference}" | wc -c', shell=True, stdout=subprocess.PIPE,
                                                      check=True).stdout)
            result["store_bytes"] = size_of(os.path.join(work, f"index-{number}", "store"))
            for engine in engines:
                if engine != "index":
                    found = lines_of(engine, args, drumfs, os.path.join(work, f"{engine}-{number}"))
                    if not filecmp.cmp(reference, found, shallow=False):
                        lines = [set(open(name, "rb")) for name in (reference, found)]
                        result["differs"].append(f"{engine}: {len(lines[0] ^ lines[1])} lines, such as "
                                                 f"{min(lines[0] ^ lines[1])[:3000]!r}")
                        say(result["differs"][-1])
            result["rounds"].append({"seconds": seconds, "cpu_seconds": cpu})
            common.write_json(args.json, result)
            if number == 0 and len(engines) > 1:
                records = os.path.join(work, f"{engines[-1]}-0", "index.jsonl")
                result["import_off_by"] = import_and_compare(args, drumfs, records, reference, work)
            for engine in engines:
                shutil.rmtree(os.path.join(work, f"{engine}-{number}"))
    result["load_at_end"] = round(os.getloadavg()[0], 2)
    return result


MANY = 100_000_000
MACHINES = [1, 10, 100]


def tables(result, markdown):
    """Both tables: what each engine costs, and what very many sounds would cost by that."""
    return engines_table(result, markdown) + "\n\n" + estimate_table(result, markdown)


def of_rounds(result, key, engine):
    return [a_round[key][engine] for a_round in result["rounds"] if engine in a_round[key]]


def engines_table(result, markdown):
    files, rows = result["files"], []
    for engine in ENGINES:
        seconds, plain = of_rounds(result, "seconds", engine), of_rounds(result, "seconds", "index")
        if seconds:
            cpu = of_rounds(result, "cpu_seconds", engine)
            # Processes of Ray's are not its client's children: their time is not known.
            cpu_cell = common.digits(common.median(cpu) / files * 1e6) if engine != "ray" else ""
            rows.append([NAMES[engine], common.spread([files / s for s in seconds]),
                         common.spread([s / p for s, p in zip(seconds, plain)]), cpu_cell,
                         result["killed"].get(engine, "")])
    head = [f"{files:,} files, {result['jobs']} at a time", "files/s", "time beside `drumfs index`", "CPU µs a file",
            "workers killed"]
    return common.table(head, rows, markdown)


def estimate_table(result, markdown):
    """Start-up counts as if it grew with the files, which is more than it does."""
    files, jobs, rows = result["files"], result["jobs"], []
    times = MANY / files
    for engine in ENGINES[1:]:
        seconds = of_rounds(result, "seconds", engine)
        if seconds:
            hours = common.median(seconds) * times / 3600
            rows.append([NAMES[engine], common.digits(hours * jobs), *[common.digits(hours / n) for n in MACHINES]])
    head = [f"{MANY:,} sounds", "core-hours", *[f"hours on {n} machine{'s' * (n > 1)} of {jobs} cores" for n in MACHINES]]
    sizes = [["index.jsonl", "index_bytes"], ["index.jsonl.gz", "gzip_bytes"], ["the store", "store_bytes"]]
    rows_of_size = [[name, common.digits(result[key] / files), f"{result[key] * times / 1e9:.0f}"] for name, key in sizes]
    return (common.table(head, rows, markdown) + "\n\n"
            + common.table([f"{MANY:,} sounds", "bytes each", "GB"], rows_of_size, markdown))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", nargs="?", help="the sounds")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="listen to so many files at a time")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kill", action="store_true", help="kill a worker of each engine in the first round")
    parser.add_argument("--only", nargs="+", choices=ENGINES, default=ENGINES, help="index is always among them")
    parser.add_argument("--work", metavar="DIR", help="where temporary files go")
    parser.add_argument("--drumfs", default=common.DRUMFS, help="the binary")
    parser.add_argument("--json", metavar="FILE", help="write the results here")
    parser.add_argument("--from", dest="source", metavar="FILE", help="measure nothing: the table of these results")
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    if args.source:
        result = common.read_json(args.source)
    elif args.archive is None:
        parser.error("name the archive")
    else:
        args.only = {"index", *args.only}
        result = measure(args)
        common.write_json(args.json, result)
        if result["differs"]:
            sys.exit("not all say what the index says")
    say(json.dumps(result["machine"]))
    say(f"{len(result['rounds'])} rounds; in each of them all said the same; after an import numbers were off by "
        f"{result.get('import_off_by', 0):.1e} at most")
    print(tables(result, args.markdown))


if __name__ == "__main__":
    main()
