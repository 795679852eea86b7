#!/usr/bin/env python3
"""Makes an archive of originals for the benches: real WAVs, tiny, quickly.

    python3 benches/originals.py DIR --files 1000000                      # a million in one folder
    python3 benches/originals.py DIR --files 1000000 --folders 1000       # in a thousand
    python3 benches/originals.py DIR --files 50000 --bytes 30000 --large 512

Every file is one of its own (no hard links: the kernel would keep one copy of their bytes for all, and flatter every
reader), a 16-bit mono WAV at 44,100 Hz with one of sixteen decaying tones; its last two samples number it, so that no
two have the same content. `--contents M` makes them repeat after M: a sound is heard once however many files have it, so
such an archive is indexed in a fraction of the time, but holds fewer sounds in memory than a real one.

Default size: 30 KB up to 100,000 files, 1 KB (0.01 s of sound) above. `--large MB` adds `large.wav`, noise, beside
the folder `files/` that holds the others. Needs nothing but Python 3.
"""

import argparse
import json
import math
import multiprocessing
import os
import random
import struct
import sys
import time

RATE = 44_100  # Hz
TONES = 16
# What the archives of people call their files; a quarter says what it is.
STEMS = ["Kick", "SD_Tight", "Vinyl HHClosed", "Crash 16in", "Loop_A", "One Shot", "MPC", "Take", "Layer", "bounce",
         "sample", "Untitled", "Glitch", "Dusty", "Room", "Analog"]
MARK = ".originals.json"  # hidden: drumfs and the benches pass it over


def header(data_bytes):
    return struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + data_bytes, b"WAVE", b"fmt ", 16, 1, 1, RATE, RATE * 2, 2,
                       16, b"data", data_bytes)


def tone(number, frames):
    """A decaying tone as 16-bit samples; each number another pitch."""
    step = 2 * math.pi * 60 * 2 ** (number / 2) / RATE
    decay = max(frames / 4, 1)
    return struct.pack(f"<{frames}h", *(int(20_000 * math.exp(-i / decay) * math.sin(step * i)) for i in range(frames)))


def default_bytes(files):
    return 30_000 if files <= 100_000 else 1_000


def folder_of(number, folders):
    """The folder below `files/` that file `number` lies in; '' where there is only one."""
    return f"Pack {number % folders:04}" if folders else ""


def name_of(number):
    return f"{STEMS[number % len(STEMS)]} {number:07}.wav"


def write_some(root, begin, end, size, contents, folders):
    frames = max((size - 44) // 2, 8)
    head = header(frames * 2)
    bodies = [tone(number, frames - 2) for number in range(TONES)]
    directories = {}
    for number in range(begin, end):
        folder = folder_of(number, folders)
        directory = directories.get(folder)
        if directory is None:
            os.makedirs(os.path.join(root, folder), exist_ok=True)
            directory = directories[folder] = os.open(os.path.join(root, folder), os.O_RDONLY | os.O_DIRECTORY)
        content = number % contents
        file = os.open(name_of(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=directory)
        # Both below 2^15, so that the number is a quiet click and nothing else.
        os.writev(file, [head, bodies[content % TONES], struct.pack("<2h", (content >> 15) & 0x7FFF, content & 0x7FFF)])
        os.close(file)
    for directory in directories.values():
        os.close(directory)


def write_large(path, megabytes):
    """Noise, one block of it over and over, each with its number: quick to make, and no two blocks are the same."""
    block = bytearray(random.Random(1).randbytes(1 << 20))
    with open(path, "wb") as file:
        file.write(header((megabytes << 20) - 44))
        for number in range(megabytes):
            block[:4] = struct.pack("<I", number)
            file.write(block if number < megabytes - 1 else block[:-44])


def make(root, files, size=None, contents=None, folders=0, large=0, below="files"):
    """Makes the archive, or finds that it is there already; what it is made of.

    `folders` 0 puts all files side by side in `root/below`, K spreads them over `Pack 0000` to `Pack K-1` there.
    `large` is the size of large.wav in MB.
    """
    wanted = {"files": files, "bytes": size or default_bytes(files), "contents": min(contents or files, files),
              "folders": folders, "large_mb": large, "below": below}
    mark = os.path.join(root, MARK)
    if os.path.exists(mark):
        with open(mark) as file:
            found = json.load(file)
        if found != wanted:
            sys.exit(f"{root} was made with {found}, and {wanted} is asked for: name another folder, or remove it")
        return wanted
    if os.path.isdir(root) and os.listdir(root):
        sys.exit(f"{root} is neither empty nor an archive that was made to its end: name another folder")
    started = time.perf_counter()
    inner = os.path.join(root, below)
    os.makedirs(inner, exist_ok=True)
    jobs = min(os.cpu_count() or 1, 8)
    share = -(-files // (jobs * 4))
    parts = [(inner, begin, min(begin + share, files), wanted["bytes"], wanted["contents"], folders)
             for begin in range(0, files, share)]
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        pool.starmap(write_some, parts, chunksize=1)
    if large:
        write_large(os.path.join(root, "large.wav"), large)
    with open(mark, "w") as file:
        json.dump(wanted, file)
    print(f"{files} originals of {wanted['bytes']} bytes, {wanted['contents']} contents, in "
          f"{folders or 'one'} folder{'s' if folders else ''}: {time.perf_counter() - started:.1f} s", file=sys.stderr)
    return wanted


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="DIR")
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--bytes", type=int, help="size of each (default: 30,000; above 100,000 files 1,000)")
    parser.add_argument("--contents", type=int, help="how many different contents (default: each its own)")
    parser.add_argument("--folders", type=int, default=0, help="spread over so many folders (default: one folder)")
    parser.add_argument("--large", type=int, default=0, metavar="MB", help="and large.wav of this size")
    parser.add_argument("--below", default="files", metavar="NAME",
                        help="the folder of DIR that they go into, '' for none; rules_save.py and million.py want none")
    args = parser.parse_args()
    make(args.folder, args.files, args.bytes, args.contents, args.folders, args.large, args.below)


if __name__ == "__main__":
    main()
