#!/usr/bin/env python3
"""What `drumfs rebuild` takes, beside `cp -a` and the pipeline that drumfs replaces, on the same files.

Makes an archive of small files with names that occur once, and an index.jsonl of it; nothing is listened to. In each
round everything is run once, every second round in the opposite order: links and copies by drumfs and by the old steps
(benches/old_rebuild.py), `cp -a` of the archive, and a second run that has nothing to do; --undo is timed when all else
is done. Before each the disk is done with what was written before (sync), and nothing is removed before the end: ext4
without a journal takes ten times as long to make files where many were removed within the last minutes. So there has to
be room for 6 copies of the archive a round. The old steps put all files of a label into one folder: so does drumfs with
--layout flat, which is timed as well as the layout of the archive.

A time is that of the whole process, with its start and the reading of the index. `cp -a` reads no index and writes no
log. The target of a ratio is a median of ratios within a round.

    python3 benches/rebuild.py --files 20000
    python3 benches/rebuild.py --from result.json --markdown
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import common

LABELS = ["Kick", "Snare", "Hihat", "Crash", "Ride", "Tom", "misc"]
UNDO = "drumfs --undo of symlinks"
OLD = os.path.join(common.HERE, "old_rebuild.py")


def make(folder, files, size, index):
    """The archive and its index. Each file has bytes of its own."""
    block = os.urandom(size)
    with open(index, "w", encoding="utf-8") as lines:
        for number in range(files):
            relative = f"Maker {number // 2000:02}/Pack {number // 200:04}/Some Drum Sound {number:07}.wav"
            path = os.path.join(folder, relative)
            if number % 200 == 0:
                os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(number.to_bytes(8, "little") + block[8:])
            label = LABELS[number * 7919 % len(LABELS)]
            lines.write(json.dumps({
                "relative_path": relative, "abs_path": path, "hash": f"{number:032x}", "size": size,
                "mtime": 1730723456.123, "label_top1": label, "conf_top1": 0.93,
                "topk": [[label, 0.93], ["Tom", 0.04], ["Ride", 0.01]], "assigned_label": label,
                "assigned_reason": "top1", "misc_routed": False, "errors": None,
            }) + "\n")


def run(command):
    """How long a command takes in s, what it prints, and its peak of memory in MB (ru_maxrss)."""
    os.sync()
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()
            sys.exit(f"{command[0]} ended with {process.returncode}: {said[-400:]}")
    return seconds, printed, usage.ru_maxrss * 1024 / 1e6


class Bench:
    def __init__(self, arguments, work):
        self.program = common.drumfs_binary(arguments.drumfs)
        self.work, self.files, self.trees, self.links = work, arguments.files, 0, []
        # Of the command that was run last.
        self.peak = None
        self.archive = os.path.join(work, "archive")
        self.index = os.path.join(work, "index.jsonl")
        os.mkdir(self.archive)
        make(self.archive, arguments.files, arguments.size, self.index)

    def out(self):
        self.trees += 1
        return os.path.join(self.work, f"out-{self.trees}")

    def drumfs(self, out, *options):
        command = [self.program, "rebuild", "--index", self.index, "--out", out, "--json", *options]
        seconds, printed, self.peak = run(command)
        return seconds, json.loads(printed)

    def first(self, *options):
        out = self.out()
        seconds, said = self.drumfs(out, *options)
        assert said["put"] == self.files, said
        if options == ("--link", "symlink"):
            self.links.append(out)
        return seconds

    def again(self, *options):
        out = self.out()
        self.drumfs(out, *options)
        seconds, said = self.drumfs(out, *options)
        assert said["unchanged"] and said["kept"] == self.files, said
        return seconds

    def resort(self, *options):
        """The same tree in another layout: every sample changes its folder."""
        out = self.out()
        self.drumfs(out, *options)
        seconds, said = self.drumfs(out, *options, "--layout", "flat")
        assert said["put"] + said["moved"] == self.files, said
        return seconds

    def undo(self, out):
        seconds, printed, self.peak = run([self.program, "rebuild", "--undo", "--out", out, "--json"])
        assert json.loads(printed)["removed"] == self.files and not os.path.exists(out), printed
        return seconds

    def old(self, mode):
        command = [sys.executable, OLD, "--index", self.index, "--out", self.out(), "--copy-mode", mode]
        seconds, printed, self.peak = run(command)
        assert json.loads(printed)["files"] == self.files, printed
        return seconds

    def cp(self):
        seconds, _, self.peak = run(["cp", "-a", self.archive, self.out()])
        return seconds

    def rows(self):
        flat = ("--layout", "flat")
        return [
            ("old pipeline, symlink", lambda: self.old("symlink")),
            ("drumfs --link symlink", lambda: self.first("--link", "symlink")),
            ("drumfs --link symlink, flat", lambda: self.first("--link", "symlink", *flat)),
            ("drumfs --link symlink, again", lambda: self.again("--link", "symlink")),
            ("old pipeline, hardlink", lambda: self.old("hardlink")),
            ("drumfs --link hard", lambda: self.first("--link", "hard")),
            ("cp -a", self.cp),
            ("old pipeline, copy", lambda: self.old("copy")),
            ("drumfs --link copy", lambda: self.first("--link", "copy")),
            ("drumfs --link copy, flat", lambda: self.first("--link", "copy", *flat)),
            ("drumfs --link copy, again", lambda: self.again("--link", "copy")),
            ("drumfs --link copy, to another layout", lambda: self.resort("--link", "copy")),
        ]


def measure(arguments):
    with common.scratch(arguments.work) as work:
        bench = Bench(arguments, work)
        report = {"machine": common.machine(bench.program, work), "files": arguments.files, "size": arguments.size,
                  "rounds": [], "peak_mb": {}}
        for number in range(arguments.rounds):
            rows = [row for row in bench.rows() if arguments.only in row[0]]
            seconds = {}
            for name, what in rows if number % 2 == 0 else reversed(rows):
                seconds[name] = what()
                report["peak_mb"][name] = max(bench.peak, report["peak_mb"].get(name, 0))
                common.say(f"round {number + 1}: {name}: {seconds[name]:.2f} s, {arguments.files / seconds[name]:,.0f}/s, "
                           f"{bench.peak:.0f} MB")
            report["rounds"].append({name: seconds[name] for name, _ in rows})
        for round, out in zip(report["rounds"], bench.links):
            round[UNDO] = bench.undo(out)
            report["peak_mb"][UNDO] = max(bench.peak, report["peak_mb"].get(UNDO, 0))
        return report


def ratios(report, of, to):
    """Within each round, the time of one over that of the other."""
    return [entry[of] / entry[to] for entry in report["rounds"] if of in entry and to in entry]


def table(report, markdown):
    lines = []
    for name in report["rounds"][0]:
        seconds = [entry[name] for entry in report["rounds"]]
        rate = [report["files"] / value for value in seconds]
        old = "old pipeline, " + ("symlink" if "symlink" in name else "hardlink" if "hard" in name else "copy")
        over = ratios(report, old, name) if name.startswith("drumfs --link") and "again" not in name else []
        over_cp = ratios(report, name, "cp -a") if "copy" in name and "again" not in name else []
        lines.append([name, common.spread(seconds, " s"), f"{common.median(rate):,.0f}",
                      common.spread(over) if over else "", common.spread(over_cp) if over_cp else "",
                      f"{report['peak_mb'][name]:.0f} MB"])
    machine = report["machine"]
    head = [f"{report['files']:,} files of {report['size']:,} bytes", "time", "files/s", "times the old one's speed",
            "times cp -a's time", "peak of memory"]
    said = (f"{len(report['rounds'])} rounds, median (range). {machine['drumfs']} {machine['commit']}, {machine['date']}: "
            f"{machine['cores']} cores, Linux {machine['kernel']}, {machine['file_system']}; load at the start "
            f"{machine['load_at_start']}.")
    return said + "\n\n" + common.table(head, lines, markdown)


def targets(report):
    """What was asked for: name, asked, measured, met or missed."""
    found = []
    rates = [report["files"] / entry["drumfs --link symlink"] for entry in report["rounds"]
             if "drumfs --link symlink" in entry]
    if rates:
        rate = common.median(rates)
        found.append(["rebuild with symbolic links", "at least 20,000 files/s", f"{rate:,.0f}",
                      "met" if rate >= 20_000 else "missed"])
    copies = ratios(report, "drumfs --link copy", "cp -a")
    if copies:
        found.append(["rebuild with copies", "1.3 × cp -a", common.spread(copies),
                      "met" if common.median(copies) <= 1.3 else "missed"])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=30_000, help="bytes of each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="only rows with this in their name")
    parser.add_argument("--work", metavar="DIR", help="where the files go")
    parser.add_argument("--drumfs", default=common.DRUMFS, help="the binary")
    parser.add_argument("--json", metavar="FILE", help="write the results here")
    parser.add_argument("--from", dest="source", metavar="FILE", help="measure nothing: tables of these results")
    parser.add_argument("--markdown", action="store_true", help="tables in Markdown")
    arguments = parser.parse_args()
    report = common.read_json(arguments.source) if arguments.source else measure(arguments)
    common.write_json(arguments.json, report)
    print(table(report, arguments.markdown))
    print()
    print(common.table(["target", "asked", "measured", ""], targets(report), arguments.markdown))


if __name__ == "__main__":
    main()
