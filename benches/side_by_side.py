#!/usr/bin/env python3
"""drumfs beside the native directory, mergerfs, bindfs and rclone mount, on the same files, in turns.

    cargo build --release
    apt-get install mergerfs bindfs rclone        # those that are missing are named in the result
    python3 benches/side_by_side.py --files 50000 --json side_by_side.json
    python3 benches/side_by_side.py --files 1000000 --json million.json
    python3 benches/side_by_side.py --from side_by_side.json --markdown

The originals are made by benches/originals.py: N real WAVs in one folder (30 KB each; above 100,000 files 1 KB) and
`large.wav` (512 MB). drumfs knows them all before the first mount and shows them, by `routes`, in one folder that holds
the same names. Every program runs inside the folder in question, so that paths have the same length everywhere. What
is timed are programs (ls, find, cp, tar) and the calls of benches/calls.c, which is compiled with cc; nothing of Python.

Every row gets a mount of its own, so that its first pass is the first of all. Conditions:
  first     the first pass after mounting. The originals are in the page cache, and the native directory's names in
            the kernel's: what is compared is the filesystem, not the disk. The native directory, which has no first
            pass, is held against it with its warm figure
  warm      the same again: the median of three, or of one where it takes long
  dropped   after a listing with attributes and `echo 3 > /proc/sys/vm/drop_caches` (root alone), native too
The pass over the archive that `drumfs mount` begins with has ended before anything is timed. In every round all
programs do every row, one after the other, the order turned by one each round. Ratios are to the native directory of the
same round: median and range of the rounds. A row that takes a program longer than --limit is stopped, said to be over
it, and not repeated. A row whose program fails, or does not see as many files and bytes as in the native directory, is
said to have failed. The exit code is 0 whatever the figures are.

Needs Linux, Python 3 and a C compiler; a gigabyte or four for the files (--archive DIR keeps them).
"""

import argparse
import collections
import json
import os
import shutil
import subprocess
import sys

import common
import originals
from common import digits, median, say, spread

SMALL_READS = 20_000
RANDOM_READS = 20_000
CONDITIONS = ["first", "warm", "dropped"]

# --- who is compared ----------------------------------------------------------------------------------------

MERGERFS_TUNED = ("cache.files=auto-full,cache.attr=3600,cache.entry=3600,cache.negative_entry=3600,cache.readdir=true,"
                  "cache.symlinks=true,cache.statfs=3600,cache.open=3600,async_read=true,security_capability=false,"
                  "xattr=nosys,posix_acl=false")
# Modes of drumfs other than the default, where the binary has them.
DRUMFS_MODES = ["--no-open", "--no-passthrough"]


class Peers:
    """Everything that can be mounted, and what can't, with the reason."""

    def __init__(self, binary, archive, store, wanted):
        self.binary, self.archive, self.store = binary, archive, store
        help_text = common.help_of(binary, "mount")
        self.missing, self.all = {}, collections.OrderedDict()
        self.all["native"] = None
        self.all["drumfs"] = self._drumfs()
        for mode in DRUMFS_MODES:
            self._add(f"drumfs {mode}", mode in help_text, self._drumfs(mode), "this binary has no such option")
        for name, program, command in [
            ("mergerfs", "mergerfs", ["-f"]),
            ("mergerfs, tuned", "mergerfs", ["-f", "-o", MERGERFS_TUNED]),
            ("bindfs", "bindfs", ["-f"] if os.geteuid() == 0 else ["-f", "--no-allow-other"]),
            ("rclone", "rclone", ["mount"]),
        ]:
            self._add(name, shutil.which(program), self._other(program, command), f"{program} is not installed")
        if wanted:
            unknown = [name for name in wanted if name not in self.all and name not in self.missing]
            if unknown:
                sys.exit(f"no such peer: {', '.join(unknown)}; there are {'; '.join(self.all)}")
            self.all = {name: mount for name, mount in self.all.items() if name == "native" or name in wanted}

    def _add(self, name, there, mount, why):
        if there:
            self.all[name] = mount
        else:
            self.missing[name] = why

    def _drumfs(self, *options):
        def mount(at):
            mounted = common.Drumfs(self.binary, self.archive, at, self.store, *options, patience=600)
            try:
                mounted.idle()
            except BaseException:
                mounted.stop()
                raise
            return mounted
        return mount

    def _other(self, program, command):
        def mount(at):
            program_path = shutil.which(program)
            mounted = common.Mount([program_path, *command, self.archive, at], at)
            if "tuned" in " ".join(command) or MERGERFS_TUNED in command:
                read_ahead(at, 1024)
            return mounted
        return mount


def read_ahead(at, kib):
    """As mergerfs's newer versions set it by an option, and drumfs for itself."""
    device = os.stat(at).st_dev
    try:
        with open(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb", "w") as file:
            file.write(str(kib))
    except OSError:
        pass


# --- what is timed ------------------------------------------------------------------------------------------

Row = collections.namedtuple("Row", "name reads command")


def rows(calls, names, some, copies):
    """`reads` says what a row needs in the page cache: names, files or the large file."""
    def helper(*args):
        return lambda: ([calls, *args], None)

    def program(*args):
        return lambda: ([calls, "time", *args], None)

    def copy():
        target = os.path.join(copies, "copy")
        return [calls, "time", "cp", "-r", ".", target], target

    reads = str(SMALL_READS)
    return [
        Row("ls -f", "names", program("ls", "-f", ".")),
        Row("ls -l", "names", program("ls", "-l", ".")),
        Row("find -size", "names", program("find", ".", "-type", "f", "-size", "+1")),
        Row("stat", "names", helper("stat", names, "1")),
        Row("stat, 8 readers", "names", helper("stat", names, "8")),
        Row("list and read 20,000", "files", helper("list-read", reads, "1")),
        Row("list and read 20,000, 8 readers", "files", helper("list-read", reads, "8")),
        Row("read 20,000 by path", "files", helper("read", some, "1")),
        Row("read 20,000 by path, 8 readers", "files", helper("read", some, "8")),
        Row("cp -r", "files", copy),
        Row("tar", "files", program("sh", "-c", "tar -cf - . | cat")),
        Row("sequential 1 MB", "large", helper("sequential", "large.wav")),
        Row("random 4 KB", "large", helper("random", "large.wav", str(RANDOM_READS))),
        Row("mmap", "large", helper("map", "large.wav")),
        Row("mmap, random pages", "large", helper("map-random", "large.wav", str(RANDOM_READS))),
    ]


SMALL = ["list and read 20,000", "list and read 20,000, 8 readers", "read 20,000 by path",
         "read 20,000 by path, 8 readers"]

# The targets: mode, condition, rows, the ratio to native at most. Of what may be done in several ways each is held to
# it.
TARGETS = [
    ("drumfs", "warm", ["ls -l", "find -size", "stat", "stat, 8 readers"], 1.0),
    ("drumfs", "warm", ["tar", "cp -r"], 1.2),
    ("drumfs", "warm", SMALL, 3.0),
    ("drumfs --no-open", "warm", SMALL, 1.1),
    ("drumfs", "warm", ["sequential 1 MB", "random 4 KB"], 1.2),
    ("drumfs", "first", ["ls -l"], 1.0),
    ("drumfs", "first", ["find -size"], 1.5),
    ("drumfs", "first", SMALL, 4.0),
    ("drumfs", "first", ["random 4 KB"], 1.5),
]


def limit_of(peer, row, condition, root):
    """The target of a row, if it has one: random reads of a new mount have one where passthrough may be used."""
    for mode, when, names, limit in TARGETS:
        if (mode, when) == (peer, condition) and row in names and (root or (row, when) != ("random 4 KB", "first")):
            return limit
    return None


class Bench:
    def __init__(self, args, work, binary, archive, store):
        self.args, self.work, self.archive = args, work, archive
        self.calls = common.compile_calls(work)
        self.peers = Peers(binary, archive, store, args.peers)
        self.mount_at = os.path.join(work, "mount")
        names = sorted(os.path.relpath(os.path.join(root, file), os.path.join(archive, "files"))
                       for root, _, files in os.walk(os.path.join(archive, "files")) for file in files)
        self.files = len(names)
        some = names[:: max(1, len(names) // SMALL_READS)][:SMALL_READS]
        self.lists = os.path.join(work, "names"), os.path.join(work, "some")
        for path, lines in zip(self.lists, (names, some)):
            with open(path, "w") as file:
                file.writelines(line + "\n" for line in lines)
        self.copies = self._copies()
        self.rows = rows(self.calls, *self.lists, self.copies)
        if args.only:
            unknown = [name for name in args.only if name not in [row.name for row in self.rows]]
            if unknown:
                sys.exit(f"no such row: {'; '.join(unknown)}; there are {'; '.join(row.name for row in self.rows)}")
            self.rows = [row for row in self.rows if row.name in args.only]
        self.seconds = collections.defaultdict(list)  # (row, peer, condition) -> [(round, seconds)]
        self.stopped = {}  # (row, peer, condition) -> why it is not run any more
        self.expected = {}  # row -> (items, bytes) of the native directory
        self.answers = {}  # (row, peer, condition) -> how often its program wrote during the last run
        self.mounted = None  # what is up
        self.status = {}  # peer -> status.json of a mount of it

    def _copies(self):
        """Where `cp -r` copies to: into memory where that holds the files twice over, so that the disk's writing is not
        what is timed."""
        if self.args.copies:
            os.makedirs(self.args.copies, exist_ok=True)
            return self.args.copies
        size = self.files * 4096 + sum(os.stat(os.path.join(self.archive, "files", line.rstrip("\n"))).st_size
                                       for line in open(self.lists[0]))
        self.in_memory = None
        with_room = os.path.isdir("/dev/shm") and shutil.disk_usage("/dev/shm").free > 4 * size
        if with_room:
            self.in_memory = f"/dev/shm/drumfs-bench-{os.getpid()}"
            os.makedirs(self.in_memory)
            return self.in_memory
        return self.work

    def close(self):
        if not self.args.copies and self.in_memory:
            shutil.rmtree(self.in_memory, ignore_errors=True)

    def inside(self, peer, row, at):
        """The folder that a row runs in."""
        if peer.startswith("drumfs"):
            return os.path.join(at, "Large" if row.reads == "large" else "All")
        root = self.archive if peer == "native" else at
        return root if row.reads == "large" else os.path.join(root, "files")

    def once(self, row, folder, native):
        """One run: its seconds. Raises Stopped with the reason where it came to no end."""
        command, made = row.command()
        try:
            process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True, env=dict(os.environ, LC_ALL="C"),
                                       start_new_session=True)
            try:
                out, errors = process.communicate(timeout=None if native else self.args.limit)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.communicate()
                raise Stopped(f"> {self.args.limit} s") from None
            if process.returncode:
                raise Stopped(f"failed: {errors.strip().splitlines()[-1] if errors.strip() else process.returncode}")
            report = json.loads(out)
            seen = report["items"], report["bytes"]
            if made:
                seen = len(os.listdir(made)), 0
            if native:
                self.expected[row.name] = seen
            elif self.expected.get(row.name, seen) != seen:
                raise Stopped(f"failed: saw {seen} where native has {self.expected[row.name]}")
            return report["seconds"]
        finally:
            if made:
                # The copy of a read-only folder is one.
                subprocess.run(["chmod", "-R", "u+rwX", made], stderr=subprocess.DEVNULL)
                shutil.rmtree(made, ignore_errors=True)

    def counted(self, row, peer, condition, work):
        """Runs `work` once, and notes how many answers it took."""
        before = self.mounted and self.mounted.writes()
        seconds = work()
        if before is not None:
            self.answers[row.name, peer, condition] = self.mounted.writes() - before
        return seconds

    def note(self, row, peer, condition, number, work):
        key = (row.name, peer, condition)
        if key in self.stopped:
            return False
        try:
            self.seconds[key].append((number, work()))
            return True
        except Stopped as why:
            self.stopped[key] = str(why)
            say(f"  {row.name}, {peer}, {condition}: {why}")
            return False

    def with_mount(self, peer, large, work):
        """Runs `work` with the root of a fresh mount of `peer`; `large` says whether it reads the large file."""
        if peer == "native":
            work(self.archive)
            return
        with self.peers.all[peer](self.mount_at) as mounted:
            self.mounted = mounted
            try:
                work(mounted.at)
            finally:
                self.mounted = None
            if isinstance(mounted, common.Drumfs) and (large or peer not in self.status):
                # Whether the kernel reads originals by itself is known once a large one was opened.
                self.status[peer] = mounted.status()

    def first_and_warm(self, row, peer, number):
        if (row.name, peer, "first") in self.stopped:
            return

        def work(at):
            folder, native = self.inside(peer, row, at), peer == "native"

            def warm():
                times = [self.counted(row, peer, "warm", lambda: self.once(row, folder, native))]
                while len(times) < 3 and sum(times) < 2:
                    times.append(self.once(row, folder, native))
                return median(times)

            if native:
                self.once(row, folder, native)
                seconds = warm()
                self.seconds[row.name, peer, "first"].append((number, seconds))
                self.seconds[row.name, peer, "warm"].append((number, seconds))
            elif self.note(row, peer, "first", number,
                           lambda: self.counted(row, peer, "first", lambda: self.once(row, folder, native))):
                if "warm" in self.args.conditions:
                    self.note(row, peer, "warm", number, warm)

        self.with_mount(peer, row.reads == "large", work)

    def dropped(self, row, peer, number):
        if (row.name, peer, "dropped") in self.stopped:
            return

        def work(at):
            folder = self.inside(peer, row, at)
            listing = subprocess.run(["ls", "-l", "."], cwd=folder, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL)
            if listing.returncode:
                self.stopped[row.name, peer, "dropped"] = "failed: ls -l"
                return
            common.drop_caches()
            self.note(row, peer, "dropped", number, lambda: self.once(row, folder, peer == "native"))

        self.with_mount(peer, row.reads == "large", work)

    def remember_originals(self):
        """All names and bytes of the originals are in the kernel's memory, as the first pass expects."""
        files = os.path.join(self.archive, "files")
        for command, folder in [(["ls", "-l", "."], files), ([self.calls, "stat", self.lists[0], "1"], files),
                                ([self.calls, "read", self.lists[0], "1"], files),
                                ([self.calls, "sequential", "large.wav"], self.archive)]:
            subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)

    def run(self):
        peers = list(self.peers.all)
        for number in range(self.args.rounds):
            self.remember_originals()
            for row in self.rows:
                for peer in turned(peers, number):
                    self.guard(row, peer, "first", lambda row=row, peer=peer: self.first_and_warm(row, peer, number))
            if "dropped" in self.args.conditions:
                for row in self.rows:
                    for peer in turned(peers, number):
                        self.guard(row, peer, "dropped", lambda row=row, peer=peer: self.dropped(row, peer, number))
            say(f"round {number + 1} of {self.args.rounds} done")

    def guard(self, row, peer, condition, work):
        try:
            work()
        except (common.MountFailed, OSError) as error:
            self.stopped[row.name, peer, condition] = f"failed: {error}"
            say(f"  {row.name}, {peer}: {error}")

    def result(self, machine, made):
        figures = []
        for row in self.rows:
            for peer in self.peers.all:
                for condition in self.args.conditions:
                    key = (row.name, peer, condition)
                    native = dict(self.seconds[row.name, "native", condition])
                    runs = self.seconds[key]
                    if not runs and key not in self.stopped:
                        continue
                    figures.append({"row": row.name, "peer": peer, "condition": condition,
                                    "seconds": [seconds for _, seconds in runs],
                                    "ratios": [seconds / native[number] for number, seconds in runs if number in native],
                                    "answers": self.answers.get(key), "stopped": self.stopped.get(key)})
        return {"bench": "side_by_side", "machine": machine, "originals": made, "rounds": self.args.rounds,
                "limit_seconds": self.args.limit, "copies_to": common.file_system_of(self.copies),
                "conditions": self.args.conditions, "versions": versions(), "missing": self.peers.missing,
                "status": self.status, "figures": figures}


class Stopped(Exception):
    pass


def turned(peers, number):
    """Native first in one round and last in another, as all the others."""
    number %= len(peers)
    return peers[number:] + peers[:number]


def versions():
    found = {}
    for program, argument in [("mergerfs", "-v"), ("bindfs", "-V"), ("rclone", "version")]:
        if shutil.which(program):
            text = subprocess.run([program, argument], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
            found[program] = text.splitlines()[0].strip()
    return found


# --- tables -------------------------------------------------------------------------------------------------


def unique(values):
    return list(dict.fromkeys(values))


def tables(result, markdown):
    figures = {(f["row"], f["peer"], f["condition"]): f for f in result["figures"]}
    row_names = unique(f["row"] for f in result["figures"])
    peers = unique(f["peer"] for f in result["figures"])
    text = [description(result)]
    for condition in result["conditions"]:
        lines = []
        for row in row_names:
            native = figures.get((row, "native", condition))
            if native is None or not native["seconds"]:
                continue
            line = [row, f"{digits(1000 * median(native['seconds']))} ms"]
            line += [cell(figures.get((row, peer, condition)), peer, result) for peer in peers if peer != "native"]
            lines.append(line)
        if lines:
            text += ["", heading(condition, markdown), "",
                     common.table([condition, "native", *(peer for peer in peers if peer != "native")], lines, markdown)]
    lines = [[row, *(number_of(figures.get((row, peer, condition))) for peer in peers if peer != "native"
                     for condition in ("first", "warm"))] for row in row_names]
    if any(figure.get("answers") is not None for figure in figures.values()):
        text += ["", heading("answers", markdown), "",
                 "How often the program behind the mount wrote during one run (`/proc/PID/io`, syscw): about one for each "
                 "message of the kernel, whatever else the machine does.", "",
                 common.table(["", *(f"{peer}, {condition}" for peer in peers if peer != "native"
                                     for condition in ("first", "warm"))], lines, markdown)]
    judged = judge(result, figures)
    if judged:
        text += ["", heading("targets", markdown), "",
                 common.table(["mode", "row", "condition", "at most", "measured", ""], judged, markdown)]
    failed = [[f["row"], f["peer"], f["condition"], f["stopped"].removeprefix("failed: ")]
              for f in result["figures"] if (f["stopped"] or "").startswith("failed")]
    if failed:
        text += ["", heading("what failed", markdown), "",
                 common.table(["row", "peer", "condition", "why"], failed, markdown)]
    behind, compared = peers_ahead(result)
    if compared:
        text += ["", heading("where a peer is ahead of drumfs", markdown), "", f"in {len(behind)} of {compared} comparisons"]
        if behind:
            text += ["", common.table(["row", "condition", "drumfs", "peer"], behind, markdown)]
    return "\n".join(text)


def heading(text, markdown):
    return f"### {text[0].upper()}{text[1:]}" if markdown else f"== {text}"


def description(result):
    machine, made = result["machine"], result["originals"]
    modes = {peer: status.get("passthrough", "not told") for peer, status in result["status"].items()}
    return (f"{made['files']} files of {made['bytes']} bytes in {made['folders'] or 'one'} "
            f"folder{'s' if made['folders'] else ''}, large.wav of {made['large_mb']} MB; {result['rounds']} rounds; "
            f"ratios to native, median (range).\n"
            f"{machine['drumfs']} {machine['commit']}, {machine['date']}: {machine['cpu']}, {machine['cores']} cores, "
            f"{machine['memory_gb']} GB, Linux {machine['kernel']}, {machine['file_system']}, "
            f"{'root' if machine['root'] else 'an ordinary user'}; load at the start {machine['load_at_start']}; "
            f"cp -r to {result['copies_to']}.\n"
            f"Peers: {', '.join(result['versions'].values()) or 'none'}. "
            f"Kernel passthrough, as status.json says: {json.dumps(modes)}. "
            f"Missing: {json.dumps(result['missing']) if result['missing'] else 'none'}.")


def cell(figure, peer, result):
    if figure is None:
        return "-"
    if figure["stopped"]:
        return figure["stopped"] if len(figure["stopped"]) < 30 else "failed"
    limit = limit_of(peer, figure["row"], figure["condition"], result["machine"]["root"])
    mark = "" if limit is None else (" ✓" if median(figure["ratios"]) <= limit else " ✗")
    return spread(figure["ratios"]) + mark


def number_of(figure):
    return "-" if figure is None or figure.get("answers") is None else f"{figure['answers']:,}"


def judge(result, figures):
    lines = []
    for mode, condition, names, _ in TARGETS:
        for row in names:
            limit = limit_of(mode, row, condition, result["machine"]["root"])
            figure = figures.get((row, mode, condition))
            if limit is None or figure is None:
                continue
            measured = figure["stopped"] or spread(figure["ratios"])
            met = not figure["stopped"] and median(figure["ratios"]) <= limit
            lines.append([mode, row, condition, limit, measured, "met" if met else "missed"])
    return lines


def peers_ahead(result):
    """Rows and conditions in which a peer has the better median, and how many comparisons there were."""
    figures = {(f["row"], f["peer"], f["condition"]): f for f in result["figures"]}
    lines, compared = [], 0
    for (row, peer, condition), theirs in figures.items():
        ours = figures.get((row, "drumfs", condition))
        if ours is None or peer == "native" or peer.startswith("drumfs"):
            continue
        if not ours["ratios"]:
            continue
        compared += 1
        if theirs["ratios"] and median(theirs["ratios"]) < median(ours["ratios"]):
            lines.append([row, condition, spread(ours["ratios"]), f"{peer} {spread(theirs['ratios'])}"])
    return lines, compared


# --- the command --------------------------------------------------------------------------------------------


def prepare(binary, archive, store, folders, work):
    """Indexes the archive and saves rules that put all its files in one folder."""
    say("drumfs index")
    summary, seconds = common.index(binary, archive, store)
    say(f"  {summary['heard']} heard, {summary['found']} found in {seconds:.1f} s")
    layout = "preserve" if folders else "flat"
    with common.Drumfs(binary, archive, os.path.join(work, "mount"), store, patience=600) as mounted:
        mounted.idle()
        mounted.save_rules(f'layout: {layout}\nroutes:\n  - {{path: "files/**", to: All}}\n'
                           '  - {path: "large.wav", to: Large}\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--bytes", type=int, help="size of each (default: 30,000; above 100,000 files 1,000)")
    parser.add_argument("--folders", type=int, default=0, help="spread over so many folders (default: one)")
    parser.add_argument("--contents", type=int, help="how many different contents (default: each its own)")
    parser.add_argument("--large", type=int, default=512, metavar="MB", help="size of large.wav")
    parser.add_argument("--archive", metavar="DIR", help="make the originals here, or find them here, and keep them")
    parser.add_argument("--store", metavar="DIR", help="keep what drumfs heard here, for the next run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", metavar="ROW", help="this row alone; may be repeated")
    parser.add_argument("--peers", action="append", metavar="NAME", help="this one and native alone; may be repeated")
    parser.add_argument("--conditions", default=",".join(CONDITIONS), help="of first, warm, dropped")
    parser.add_argument("--limit", type=float, default=60, metavar="S", help="the longest that a row may take a program")
    parser.add_argument("--copies", metavar="DIR", help="where cp -r copies to (default: memory, where it has room)")
    parser.add_argument("--work", metavar="DIR", help="where temporary files go")
    parser.add_argument("--drumfs", default=common.DRUMFS, help="the binary")
    parser.add_argument("--json", metavar="FILE", help="write the results here")
    parser.add_argument("--from", dest="source", metavar="FILE", help="measure nothing: tables of these results")
    parser.add_argument("--markdown", action="store_true", help="tables in Markdown")
    args = parser.parse_args()
    if args.source:
        print(tables(common.read_json(args.source), args.markdown))
        return
    args.conditions = [condition for condition in CONDITIONS if condition in args.conditions.split(",")]
    if "dropped" in args.conditions and not common.may_drop_caches():
        say("caches can't be dropped here (root's alone): that condition is left out")
        args.conditions.remove("dropped")
    binary = common.drumfs_binary(args.drumfs)
    with common.scratch(args.work) as work:
        archive = os.path.abspath(args.archive or os.path.join(work, "archive"))
        made = originals.make(archive, args.files, args.bytes, args.contents, args.folders, args.large)
        machine = common.machine(binary, archive)
        store = os.path.abspath(args.store or os.path.join(work, "store"))
        prepare(binary, archive, store, args.folders, work)
        bench = Bench(args, work, binary, archive, store)
        try:
            bench.run()
        finally:
            bench.close()
            result = bench.result(machine, made)
            common.write_json(args.json, result)
        print(tables(result, args.markdown))


if __name__ == "__main__":
    main()
