#!/usr/bin/env python3
"""Saves of rules.yml that move two fifths of all samples: how soon they are seen, and who waits meanwhile.

    cargo build --release
    python3 benches/rules_save.py --samples 50000 --json saves.json
    python3 benches/rules_save.py --samples 1000000 --saves 5 --json saves-million.json

Makes an archive of N distinct tiny WAVs (1 KB: what is timed does not depend on their length) in 40 packs, indexes it,
indexes it again unchanged, mounts it, and saves two rules files in turn, each of which moves 16 of the packs to another
folder. Four conditions, each of --saves saves:
  cached            everything in the mount was listed with `ls -lR` before the save: the kernel's memory is full of
                    names that must be forgotten
  cold              the kernel's caches were dropped before the save (root alone)
  cached, callers   as the first, while --callers threads make single calls: stat of a moved sample, the first names of
  cold, callers     a moved folder, open and read of a moved sample, by its old and its new name, with a pause of --pause
                    µs after each, so that what is measured is the mount and not the queue for a processor

Of every save, in ms:
  write        from the call of write to the return of close
  route, tree, count, parse, store, notify
               the parts of it, as status.json says (`view_build`, `view_change`): judging every sample by the rules,
               making the tree, counting; parsing; writing down the rules, synced; telling the kernel what changed
  rest         write without these parts: the swap of the view, and the way through the kernel and between threads
  stat         then the first stat of a sample under its new name; its old name must be gone
  ls           then the first whole listing of the new folder, without attributes
  again        the same listing again: what `ls` took longer is the kernel learning the names anew
  total        from write to the end of the first listing, which must be complete
With callers also:
  longest      the longest single call that was under way between the call of write and the end of that listing, and
  before       the longest in the half second before the save: what the machine alone makes of a call
  correct      from the call of write until every later call was right
  stale        calls begun after close had returned that still saw the old folders: the latest, after the return. There
               must be none

Prints tables on stdout: medians and worst. Needs Linux, Python 3 and a C compiler.
"""

import argparse
import json
import os
import subprocess
import time

import common
import originals
from common import digits, median, say

PACKS, MOVED = 40, 16
BEFORE = 0.5  # s that callers run before a save
AFTER = 0.5  # s that they run after it
FOLDERS = ["Moved", "Elsewhere"]


def rules(folder, layout):
    routes = "".join(f'  - {{path: "{originals.folder_of(number, PACKS)}/**", to: {folder}}}\n' for number in range(MOVED))
    return f"layout: {layout}\nroutes:\n{routes}"


def moved_names(samples, layout):
    """The moved samples' names below the folder they are in."""
    for number in range(samples):
        if number % PACKS < MOVED:
            name = originals.name_of(number)
            yield name if layout == "flat" else f"{originals.folder_of(number, PACKS)}/{name}"


def parts_of(status):
    """What status.json tells of the last change of the view, in ms."""
    parts = {}
    for key, value in status.items():
        if isinstance(value, dict) and key in ("view_build", "view_change"):
            parts.update({name[:-3]: time for name, time in value.items() if name.endswith("_ms")})
        elif key.endswith("_ms") and key != "view_build_ms":
            parts[key[:-3]] = value
    return parts


class Saves:
    def __init__(self, args, work, mounted, samples):
        self.args, self.mounted = args, mounted
        self.calls = common.compile_calls(work)
        self.names = os.path.join(work, "moved")
        self.number = 0
        with open(self.names, "w") as file:
            self.count = 0
            for name in moved_names(samples, args.layout):
                file.write(name + "\n")
                self.first, self.count = (name if self.count == 0 else self.first), self.count + 1
        # Both folders have been there once, and the programs are in the page cache.
        for _ in range(2):
            self.save(False)

    def listing(self, folder):
        """Lists a folder whole; the seconds. It must be complete."""
        done = subprocess.run([self.calls, "tree", os.path.join(self.mounted.at, folder)], stdout=subprocess.PIPE,
                              check=True)
        seen = json.loads(done.stdout)
        assert seen["items"] == self.count, f"{folder} has {seen['items']} of {self.count} samples"
        return seen["seconds"]

    def save(self, callers):
        """One save. What it took, in ms."""
        new, old = FOLDERS[self.number % 2], FOLDERS[(self.number + 1) % 2]
        text = rules(new, self.args.layout)
        self.number += 1
        storm = None
        if callers:
            storm = subprocess.Popen([self.calls, "storm", self.mounted.at, self.names, old, new, str(self.args.callers),
                                      str(self.args.pause)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert storm.stdout.readline() == "ready\n"
            time.sleep(BEFORE)
        begin, returned = self.mounted.save_rules(text)
        path = os.path.join(self.mounted.at, new, self.first)
        stat_begin = time.monotonic()
        os.stat(path)
        stat = time.monotonic() - stat_begin
        assert not os.path.exists(os.path.join(self.mounted.at, old, self.first)), "the old name is still there"
        ls = self.listing(new)
        listed = time.monotonic()
        again = self.listing(new)
        result = {"write": (returned - begin) * 1e3}
        if storm:
            time.sleep(AFTER)
            out, _ = storm.communicate()
            result |= self.judge(json.loads(out), begin, returned, listed)
        parts = parts_of(self.mounted.status())
        result |= parts
        result["rest"] = result["write"] - sum(parts.values())
        result |= {"stat": stat * 1e3, "ls": ls * 1e3, "again": again * 1e3}
        result["total"] = result["write"] + result["stat"] + result["ls"]
        return result

    def judge(self, seen, begin, returned, listed):
        during, before, kind = 0.0, 0.0, ""
        for call, started, took in seen["slow"]:
            started, took = started / 1e9, took / 1e9
            if started + took > begin and started < listed:
                if took > during:
                    during, kind = took, call
            elif started + took <= begin:
                before = max(before, took)
        last_old = seen["last_old_ns"] / 1e9
        result = {"longest": during * 1e3, "longest_kind": kind, "before": before * 1e3,
                  "correct": max(0.0, last_old - begin) * 1e3, "stale": max(0.0, last_old - returned) * 1e3,
                  "calls": seen["calls"]}
        if result["stale"]:
            result["stale_kind"] = seen["last_old_kind"]
        return result

    def cache(self):
        """Every name with its attributes is in the kernel's memory."""
        with open(os.devnull, "w") as nothing:
            subprocess.run(["ls", "-lR", self.mounted.at], stdout=nothing, stderr=nothing)

    def run(self):
        conditions = {}
        for number in range(self.args.saves):
            for cold in [False, True]:
                if cold and not common.may_drop_caches():
                    continue
                for callers in [False, True]:
                    if cold:
                        common.drop_caches()
                    else:
                        self.cache()
                    name = ("cold" if cold else "cached") + (", callers" if callers else "")
                    conditions.setdefault(name, []).append(self.save(callers))
            say(f"save {number + 1} of {self.args.saves} in each condition")
        return conditions


def tables(result, markdown):
    machine = result["machine"]
    first = next(iter(result["conditions"].values()))[0]
    known = ["stat", "ls", "again", "total", "longest", "before", "correct", "stale"]
    parts = [key for key in first if key not in ("write", "rest", *known)]
    columns = ["total", "write", *parts, "rest", "stat", "ls", "again"]
    text = [f"{result['moved']} of {result['samples']} samples moved by each save, {result['saves']} saves in each "
            f"condition; layout {result['layout']}. ms, median / worst.\n"
            f"{machine['drumfs']} {machine['commit']}, {machine['date']}: {machine['cpu']}, {machine['cores']} cores, "
            f"Linux {machine['kernel']}, load at the start {machine['load_at_start']}", ""]
    lines = []
    for name, saves in result["conditions"].items():
        lines.append([name] + [pair([save[column] for save in saves if column in save]) for column in columns])
    text.append(common.table(["", *columns], lines, markdown))
    lines = []
    for name, saves in result["conditions"].items():
        if "longest" in saves[0]:
            worst = max(saves, key=lambda save: save["longest"])
            lines.append([name] + [pair([save[column] for save in saves]) for column in known[4:]]
                         + [worst["longest_kind"], round(median([save["calls"] for save in saves]))])
    if lines:
        text += ["", common.table(["", *known[4:], "the longest was", "calls"], lines, markdown)]
    text += ["", common.table(["target", "at most", "measured (worst)", ""], targets(result), markdown)]
    text += ["", f"first pass {result['first_pass_files_per_sec']} files/s; unchanged archive checked in "
             f"{digits(result['unchanged_pass_seconds'])} s ({result['unchanged_pass_files_per_sec']} files/s)"]
    return "\n".join(text)


def pair(values):
    return f"{digits(median(values))} / {digits(max(values))}" if values else "-"


def targets(result):
    """What issue 4 asks, held against the worst save."""
    million = result["samples"] > 100_000
    lines = []

    def add(what, limit, key, conditions):
        values = [save[key] for name in conditions for save in result["conditions"].get(name, []) if key in save]
        if values:
            lines.append([what, f"{limit} ms", f"{digits(max(values))} ms", "met" if max(values) <= limit else "missed"])

    every = list(result["conditions"])
    share = f"{result['moved']} of {result['samples']}"
    limit = 1500 if million else 100
    add(f"{share} moved: complete and correct for every later call", limit, "write", every)
    if million:
        add("longest single call meanwhile", 250, "longest", every)
    add("calls after the save that saw the old folders", 0, "stale", every)
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--contents", type=int, help="how many different contents (default: each its own)")
    parser.add_argument("--saves", type=int, default=10, help="in each condition")
    parser.add_argument("--layout", default="preserve", choices=["preserve", "flat", "by-pack"])
    parser.add_argument("--callers", type=int, default=6, help="threads that make calls meanwhile")
    parser.add_argument("--pause", type=int, default=500, metavar="US", help="after each of their calls")
    common.add_options(parser)
    args = parser.parse_args()
    if args.source:
        print(tables(common.read_json(args.source), args.markdown))
        return
    binary = common.drumfs_binary(args.drumfs)
    with common.scratch(args.work) as work:
        archive = os.path.abspath(args.archive or os.path.join(work, "archive"))
        store = os.path.abspath(args.store or os.path.join(work, "store"))
        originals.make(archive, args.samples, 1000, args.contents, folders=PACKS, below="")
        machine = common.machine(binary, archive)
        first, _ = common.index(binary, archive, store)
        unchanged = median([common.index(binary, archive, store)[0]["seconds"] for _ in range(3)])
        with common.Drumfs(binary, archive, os.path.join(work, "mount"), store, *args.option, patience=600) as mounted:
            mounted.idle()
            saves = Saves(args, work, mounted, args.samples)
            conditions = saves.run()
            memory = mounted.memory()
        result = {"bench": "rules_save", "machine": machine, "samples": first["found"], "moved": saves.count,
                  "saves": args.saves, "layout": args.layout, "callers": args.callers, "pause_us": args.pause,
                  "options": args.option, "conditions": conditions, "memory": memory,
                  "first_pass_files_per_sec": round(first["heard"] / first["seconds"]),
                  "unchanged_pass_seconds": unchanged,
                  "unchanged_pass_files_per_sec": round(first["found"] / unchanged)}
        common.write_json(args.json, result)
        print(tables(result, args.markdown))


if __name__ == "__main__":
    main()
