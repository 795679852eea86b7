"""What the benches share: the binary, mounts that are always taken down, the timed calls, medians, tables."""

import contextlib
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
DRUMFS = os.path.join(HERE, "..", "target", "release", "drumfs")


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def drumfs_binary(path=DRUMFS):
    found = shutil.which(path)
    if found is None:
        sys.exit(f"{path} was not found: cargo build --release")
    return os.path.realpath(found)


@contextlib.contextmanager
def scratch(where=None):
    """A temporary folder, removed at the end, also where the bench is stopped by a signal."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    work = tempfile.mkdtemp(prefix="drumfs-bench-", dir=where)
    try:
        yield work
    finally:
        for at in reversed(mounts_below(work)):
            unmount(at)
        shutil.rmtree(work, ignore_errors=True)


def compile_calls(work):
    """benches/calls.c as a program: Rust needs a C compiler to link with, so there is one."""
    program = os.path.join(work, "calls")
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        sys.exit("no C compiler was found: apt-get install gcc")
    subprocess.run([compiler, "-O2", "-pthread", "-o", program, os.path.join(HERE, "calls.c")], check=True)
    return program


# --- mounts -------------------------------------------------------------------------------------------------


def mounts_below(folder):
    folder = os.path.realpath(folder) + "/"
    with open("/proc/self/mounts") as table:
        points = [line.split()[1].encode().decode("unicode_escape") for line in table]
    return [point for point in points if point.startswith(folder)]


def unmount(at):
    for command in (["umount", at], ["fusermount3", "-u", at], ["umount", "-l", at], ["fusermount3", "-uz", at]):
        if shutil.which(command[0]):
            done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if done.returncode == 0:
                return


class MountFailed(Exception):
    pass


class Mount:
    """A program in the foreground that mounts something at `at`; taken down by `stop` or at the end of `with`."""

    def __init__(self, command, at, patience=120):
        os.makedirs(at, exist_ok=True)
        self.at = at
        self.log = tempfile.TemporaryFile()
        self.before = os.stat(at).st_dev
        self.started = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        start_new_session=True)
        try:
            self._wait(command, patience)
        except BaseException:
            self.stop()
            raise
        self.seconds = time.monotonic() - self.started

    def _wait(self, command, patience):
        while True:
            if self.process.poll() is not None:
                self.log.seek(0)
                text = self.log.read().decode(errors="replace").strip()
                raise MountFailed(f"{os.path.basename(command[0])} ended with {self.process.returncode}: {text[-400:]}")
            with contextlib.suppress(OSError):
                if os.stat(self.at).st_dev != self.before:
                    return
            if time.monotonic() - self.started > patience:
                raise MountFailed(f"{os.path.basename(command[0])} was not up after {patience} s")
            time.sleep(0.001)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if os.path.realpath(self.at) in mounts_below(os.path.dirname(self.at)):
            unmount(self.at)
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def memory(self):
        return memory_of(self.process.pid)

    def writes(self):
        """How often the program has written something (proc(5), io): an answer to the kernel is one such call."""
        with open(f"/proc/{self.process.pid}/io") as file:
            return int(next(line for line in file if line.startswith("syscw")).split()[1])

    def forget_peak(self):
        """Lets VmHWM begin anew (proc(5), clear_refs 5)."""
        with contextlib.suppress(OSError), open(f"/proc/{self.process.pid}/clear_refs", "w") as file:
            file.write("5")


class Drumfs(Mount):
    """`drumfs mount`, in the foreground."""

    def __init__(self, binary, archive, at, store, *options, patience=120):
        super().__init__([binary, "mount", archive, at, "--store", store, *options], at, patience)
        self.in_place = "--no-open" not in options

    def control(self, name):
        return os.path.join(self.at, "_control", name)

    def status(self):
        for _ in range(50):
            with open(self.control("status.json")) as file, contextlib.suppress(ValueError):
                return json.load(file)
            time.sleep(0.02)  # in a mount without open messages it may change between two reads
        raise MountFailed(f"{self.control('status.json')} is no JSON")

    def idle(self):
        """Waits until the first pass over the archive has ended."""
        while True:
            indexing = self.status()["indexing"]
            if indexing["passes"] and indexing["state"] == "idle":
                return
            time.sleep(0.05)

    def save_rules(self, text):
        """Saves rules.yml; when it was begun and when the last call of it had returned, on the monotonic clock in s.

        As `cp` and many editors do, in place: from the call of write to the return of close. Where control files can't be
        written in place (--no-open), as others do: another file that is renamed over it.
        """
        path = self.control("rules.yml")
        with open(path if self.in_place else path + ".new", "w") as file:
            begin = time.monotonic()
            file.write(text)
        if not self.in_place:
            begin = time.monotonic()
            os.rename(path + ".new", path)
        return begin, time.monotonic()


def index(binary, archive, store, *options):
    """`drumfs index`: what it says, and how long the process took in s."""
    begin = time.monotonic()
    done = subprocess.run([binary, "index", archive, "--store", store, "--json", *options], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    seconds = time.monotonic() - begin
    if done.returncode not in (0, 3):
        sys.exit(f"drumfs index ended with {done.returncode}: {done.stderr.decode(errors='replace').strip()}")
    return json.loads(done.stdout), seconds


def help_of(binary, command):
    return subprocess.run([binary, command, "--help"], stdout=subprocess.PIPE, text=True).stdout


# --- the machine --------------------------------------------------------------------------------------------


def memory_of(pid):
    """VmRSS, RssAnon and VmHWM of a process, in bytes."""
    with open(f"/proc/{pid}/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return {name: int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "RssAnon", "VmHWM")}


def drop_caches():
    """Pages, names and inodes are forgotten (proc(5)). Root's alone."""
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")


def may_drop_caches():
    return os.access("/proc/sys/vm/drop_caches", os.W_OK) and os.geteuid() == 0


def cpu_name():
    try:
        with open("/proc/cpuinfo") as file:
            return re.search(r"^model name\s*:\s*(.*)$", file.read(), re.MULTILINE).group(1)
    except (OSError, AttributeError):
        return platform.processor() or platform.machine()


def file_system_of(path):
    path, best = os.path.realpath(path), ("", "")
    with open("/proc/self/mounts") as table:
        for line in table:
            _, point, kind, *_ = line.split()
            if (path + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best[0]):
                best = (point, kind)
    return best[1]


def machine(binary, archive):
    """What a figure depends on."""
    version = subprocess.run([binary, "--version"], stdout=subprocess.PIPE, text=True).stdout.strip()
    commit = subprocess.run(["git", "-C", HERE, "describe", "--always", "--dirty"], stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True).stdout.strip()
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) * 1024
    return {"date": time.strftime("%Y-%m-%d %H:%M"), "drumfs": version, "commit": commit, "cpu": cpu_name(),
            "cores": len(os.sched_getaffinity(0)), "memory_gb": round(memory / 1e9, 1), "kernel": platform.release(),
            "file_system": file_system_of(archive), "root": os.geteuid() == 0,
            "load_at_start": round(os.getloadavg()[0], 2)}


# --- figures ------------------------------------------------------------------------------------------------


def median(values):
    return statistics.median(values)


def digits(value):
    """Three digits, of less than 1 two decimals."""
    if value is None:
        return ""
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 1:
        return f"{value:.{1 if abs(value) >= 10 else 2}f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


def spread(values, unit=""):
    """A median with its range."""
    if len(values) == 1:
        return f"{digits(values[0])}{unit}"
    return f"{digits(median(values))}{unit} ({digits(min(values))} to {digits(max(values))})"


def table(head, rows, markdown=False):
    """A table as text: aligned, or as Markdown."""
    rows = [[str(cell) for cell in row] for row in rows]
    if markdown:
        lines = ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]]
        return "\n".join(lines)
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in [head, *rows])


def write_json(path, result):
    if path:
        with open(path, "w") as file:
            json.dump(result, file, indent=1)
            file.write("\n")


def read_json(path):
    with open(path) as file:
        return json.load(file)


def add_options(parser):
    """The options of benches that make an archive, mount it and write results."""
    parser.add_argument("--archive", metavar="DIR", help="make the archive here, or find it here, and keep it")
    parser.add_argument("--store", metavar="DIR", help="keep what drumfs heard here, for the next run")
    parser.add_argument("--work", metavar="DIR", help="where temporary files go")
    parser.add_argument("--drumfs", default=DRUMFS, help="the binary")
    parser.add_argument("--option", action="append", default=[], help="of drumfs mount, such as --option=--no-open")
    parser.add_argument("--json", metavar="FILE", help="write the results here")
    parser.add_argument("--from", dest="source", metavar="FILE", help="measure nothing: tables of these results")
    parser.add_argument("--markdown", action="store_true", help="tables in Markdown")
