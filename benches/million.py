#!/usr/bin/env python3
"""A mount of a million samples: how soon it is there, what it keeps in memory, how long an unchanged archive takes.

    cargo build --release
    python3 benches/million.py --json million.json                        # a million contents: minutes to hear them
    python3 benches/million.py --contents 1000 --json million-1000.json   # many samples of few contents
    python3 benches/million.py --samples 50000

Makes an archive of N tiny WAVs (1 KB) in N / 1000 packs, indexes it, and indexes it again unchanged. Then mounts it
--starts times. Of each start, in s from the moment `drumfs mount` was started:
  up           the mount point answers
  ls root      `ls -f` of the mount has ended
  ls pack      then `ls -f` of one pack in the largest class folder
  ls folder    then that class folder has been listed whole, with all folders below it
  idle         the pass over the archive that every mount begins with has ended
once with the kernel's caches as they are, and once after dropping them (root alone). Memory, from /proc/PID/status, of
the last mount: after that pass, after `ls -lR` of the whole mount, and after three saves of rules.yml that move two
fifths of the samples. VmHWM begins anew before each (clear_refs).

Bytes a sample beyond the names: anonymous memory (RssAnon), less that of a mount of one sample, divided by the samples, less
the mean length of their paths. Needs Linux, Python 3 and a C compiler.
"""

import argparse
import os
import subprocess
import time

import common
import originals
from common import digits, median, say

PER_PACK = 1000
MOVED = 0.4
LIMITS = {"bytes_a_sample": 300, "total_mb": 600, "first_ls_s": 1.5, "unchanged_s": 10}


def listed(command, folder):
    """Seconds that a listing takes."""
    begin = time.monotonic()
    with open(os.devnull, "w") as nothing:
        subprocess.run(command, cwd=folder, stdout=nothing, stderr=nothing, check=True)
    return time.monotonic() - begin


class Bench:
    def __init__(self, args, work, binary):
        self.args, self.work, self.binary = args, work, binary
        self.calls = common.compile_calls(work)
        self.archive = os.path.abspath(args.archive or os.path.join(work, "archive"))
        self.store = os.path.abspath(args.store or os.path.join(work, "store"))
        self.packs = max(1, args.samples // PER_PACK)
        originals.make(self.archive, args.samples, 1000, args.contents, folders=self.packs, below="")

    def mount(self, archive=None, store=None):
        return common.Drumfs(self.binary, archive or self.archive, os.path.join(self.work, "mount"), store or self.store,
                             *self.args.option, patience=600)

    def largest(self, status):
        """The class folder with the most samples, and one of the packs in it."""
        folders = {name: count for name, count in status["folders"].items() if "/" not in name}
        return max(folders, key=folders.get)

    def start(self, folder, cold):
        """One start; the mount, still up, and its seconds."""
        if cold:
            common.drop_caches()
        mounted = self.mount()
        begin, at = mounted.started, mounted.at
        since = lambda: time.monotonic() - begin
        times = {"up": mounted.seconds}
        listed(["ls", "-f"], at)
        times["ls root"] = since()
        pack = next(entry.path for entry in os.scandir(os.path.join(at, folder)) if entry.is_dir())
        listed(["ls", "-f"], pack)
        times["ls pack"] = since()
        listed([self.calls, "tree", folder], at)
        times["ls folder"] = since()
        times["known"] = mounted.status()["samples"]
        mounted.idle()
        times["idle"] = since()
        return mounted, times

    def base(self):
        """Memory of a mount of one sample."""
        archive, store = os.path.join(self.work, "one"), os.path.join(self.work, "one-store")
        originals.make(archive, 1, 1000, below="")
        common.index(self.binary, archive, store)
        with self.mount(archive, store) as mounted:
            mounted.idle()
            return mounted.memory()

    def path_bytes(self):
        total = sum(len(originals.folder_of(number, self.packs)) + 1 + len(originals.name_of(number))
                    for number in range(self.args.samples))
        return total / self.args.samples

    def rules(self, folder):
        share = round(self.packs * MOVED)
        routes = [f'  - {{path: "{originals.folder_of(number, self.packs)}/**", to: {folder}}}\n' for number in range(share)]
        return "routes:\n" + "".join(routes)

    def memory(self, mounted):
        """Memory at its stations."""
        stations = {"after the pass": mounted.memory()}

        def station(name, work):
            mounted.forget_peak()
            begin = time.monotonic()
            work()
            stations[name] = mounted.memory() | {"seconds": time.monotonic() - begin}

        def all_names():
            with open(os.devnull, "w") as nothing:
                subprocess.run(["ls", "-lR", mounted.at], stdout=nothing, stderr=nothing)

        def saves():
            for folder in ["Moved", "Elsewhere", "Moved"]:
                mounted.save_rules(self.rules(folder))

        station("after ls -lR", all_names)
        station("after three saves", saves)
        return stations

    def run(self):
        first, first_seconds = common.index(self.binary, self.archive, self.store)
        say(f"first pass: {first['heard']} heard in {first_seconds:.1f} s")
        unchanged = [common.index(self.binary, self.archive, self.store)[1] for _ in range(3)]
        say(f"unchanged: {median(unchanged):.2f} s")
        base = self.base()
        starts = {}
        with self.mount() as mounted:
            mounted.idle()
            # The rules a new store begins with, where an earlier run with --store has left others.
            mounted.save_rules("")
            folder = self.largest(mounted.status())
        conditions = [("as they are", False)] + ([("dropped", True)] if common.may_drop_caches() else [])
        for number in range(self.args.starts):
            for name, cold in conditions:
                mounted, times = self.start(folder, cold)
                last = number + 1 == self.args.starts and name == conditions[-1][0]
                try:
                    starts.setdefault(name, []).append(times)
                    memory = self.memory(mounted) if last else None
                finally:
                    mounted.stop()
                say(f"start {number + 1}, caches {name}: {times}")
        return {"first_pass_seconds": first_seconds, "first_pass_heard": first["heard"], "unchanged_seconds": unchanged,
                "starts": starts, "folder": folder, "base": base, "memory": memory, "path_bytes": self.path_bytes()}


def beyond_names(result, memory):
    return (memory["RssAnon"] - result["base"]["RssAnon"]) / result["samples"] - result["path_bytes"]


def tables(result, markdown):
    machine = result["machine"]
    text = [f"{result['samples']} samples of {result['contents']} contents, in packs of {PER_PACK}; paths of "
            f"{result['path_bytes']:.0f} bytes.\n"
            f"{machine['drumfs']} {machine['commit']}, {machine['date']}: {machine['cpu']}, {machine['cores']} cores, "
            f"Linux {machine['kernel']}, {machine['file_system']}, load at the start {machine['load_at_start']}", ""]
    columns = ["up", "ls root", "ls pack", "ls folder", "idle"]
    lines = [[name] + [common.spread([times[column] for times in starts]) for column in columns]
             for name, starts in result["starts"].items()]
    text.append(common.table(["caches, s from the start", *columns], lines, markdown))
    mb = lambda size: f"{size / 1e6:.0f}"
    lines = [["mount of one sample", *(mb(result["base"][key]) for key in ("VmRSS", "RssAnon", "VmHWM")), "", ""]]
    for name, memory in result["memory"].items():
        lines.append([name, *(mb(memory[key]) for key in ("VmRSS", "RssAnon", "VmHWM")),
                      f"{beyond_names(result, memory):.0f}", digits(memory.get("seconds"))])
    text += ["", common.table(["memory, MB", "resident", "anonymous", "peak", "bytes a sample beyond the names", "took, s"],
                              lines, markdown)]
    text += ["", common.table(["target", "at most", "measured (worst)", ""], targets(result), markdown)]
    rate = result["first_pass_heard"] / result["first_pass_seconds"]
    text += ["", f"first pass {rate:.0f} files/s; unchanged {result['samples'] / median(result['unchanged_seconds']):.0f} "
             "files/s"]
    return "\n".join(text)


def targets(result):
    lines = []

    def add(what, limit, unit, value):
        lines.append([what, f"{limit} {unit}", f"{digits(value)} {unit}", "met" if value <= limit else "missed"])

    memory = result["memory"].values()
    add("memory a sample beyond the names", LIMITS["bytes_a_sample"], "bytes",
        max(beyond_names(result, station) for station in memory))
    if result["samples"] == 1_000_000:
        add("memory in all, resident", LIMITS["total_mb"], "MB", max(station["VmRSS"] for station in memory) / 1e6)
        for name, starts in result["starts"].items():
            add(f"from mount to the first ls, caches {name}", LIMITS["first_ls_s"], "s",
                max(times["ls root"] for times in starts))
        add("an unchanged archive checked", LIMITS["unchanged_s"], "s", max(result["unchanged_seconds"]))
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--contents", type=int, help="how many different contents (default: each its own)")
    parser.add_argument("--starts", type=int, default=3, help="in each condition")
    common.add_options(parser)
    args = parser.parse_args()
    if args.source:
        print(tables(common.read_json(args.source), args.markdown))
        return
    binary = common.drumfs_binary(args.drumfs)
    with common.scratch(args.work) as work:
        bench = Bench(args, work, binary)
        machine = common.machine(binary, bench.archive)
        result = {"bench": "million", "machine": machine, "samples": args.samples,
                  "contents": args.contents or args.samples, "options": args.option, **bench.run()}
        common.write_json(args.json, result)
        print(tables(result, args.markdown))


if __name__ == "__main__":
    main()
