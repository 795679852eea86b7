"""How well `drumfs duplicates` tells copies from other recordings, and how long it takes.

    python benches/duplicates.py SAMPLES --copies 300 --json FILE [--markdown] [--work DIR]
    python benches/duplicates.py SAMPLES --scale 2000 10000 50000 --json FILE [--work DIR]

SAMPLES holds a manifest.csv (path, label, kit) of one-shots in which no recording stands twice: velocity layers and round
robins of real drums among them. From some of them, chosen by a fixed seed, near duplicates are made: at another level, with
silence before, with the start or the tail cut or faded, at other sample rates, in other formats, and several of these at
once. Then `drumfs duplicates` runs on the originals alone (every pair it finds there is a false hit, or a recording that
stands twice in SAMPLES: they are listed, to be listened to) and on the originals with the copies (how many of each kind are
found together with their original, how many with another sound). Both for several values of --likeness, and for even and
odd kits apart, so that a value that is chosen on the one half can be looked at on the other.

With --scale it makes archives of so many sounds instead: each is one of SAMPLES at another speed, with another one mixed in,
every combination once, so that none is a copy; of one in twenty there is a copy beside them. Measured are the first run, a
second one over the same archive, how many files were read for a comparison, how many pairs were compared, the memory, and
how many copies were found.

Needs numpy, scipy, soundfile and ffmpeg. Nothing is written into SAMPLES. --work keeps what is made for the next run.
"""

import argparse
import contextlib
import csv
import json
import os
import random
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy
import scipy.signal
import soundfile

from common import drumfs_binary, say, scratch, table, write_json

LIKENESS = [0.8, 0.85, 0.9, 0.93, 0.95, 0.97]
DEFAULT = 0.93


def write(path, samples, rate, subtype="PCM_16"):
    soundfile.write(path, samples, rate, subtype=subtype)


def read(path):
    samples, rate = soundfile.read(path)
    return (samples if samples.ndim == 1 else samples.mean(axis=1)), rate


# --- copies -------------------------------------------------------------------------------------------------


def onset(samples):
    return int(numpy.argmax(numpy.abs(samples) >= 0.05 * numpy.abs(samples).max()))


def tail_cut(share, fade_seconds):
    """Cut where so much of the energy has sounded, with a fade."""

    def change(samples, rate):
        energy = numpy.cumsum(samples**2)
        end = max(int(numpy.searchsorted(energy, share * energy[-1])), int(0.005 * rate))
        cut = samples[:end].copy()
        fade = min(int(fade_seconds * rate), end)
        cut[-fade:] *= numpy.linspace(1, 0, fade)
        return cut

    return change


def start_cut(seconds, fade_seconds=0.0):
    """Cut so long after the onset, with a fade."""

    def change(samples, rate):
        cut = samples[onset(samples) + int(seconds * rate) :].copy()
        fade = min(int(fade_seconds * rate), len(cut))
        cut[:fade] *= numpy.linspace(0, 1, fade)
        return cut

    return change


def faded_in(seconds):
    def change(samples, rate):
        changed = samples.copy()
        begin = onset(samples)
        fade = min(int(seconds * rate), len(samples) - begin)
        changed[:begin] = 0
        changed[begin : begin + fade] *= numpy.linspace(0, 1, fade)
        return changed

    return change


def faded_out(samples, rate):
    """From the middle of its energy to the end."""
    energy = numpy.cumsum(samples**2)
    begin = int(numpy.searchsorted(energy, 0.8 * energy[-1]))
    changed = samples.copy()
    changed[begin:] *= numpy.linspace(1, 0, len(samples) - begin)
    return changed


def by_ffmpeg(name, options, filters=None):
    def make(samples, rate, folder, number):
        out = os.path.join(folder, f"{number}.{name}")
        plain = os.path.join(folder, f"{number}.plain.wav")
        write(plain, samples, rate, "PCM_24")
        command = ["ffmpeg", "-v", "error", "-nostdin", "-threads", "1", "-y", "-i", plain]
        subprocess.run(command + (["-af", filters] if filters else []) + options + [out], check=True)
        os.remove(plain)

    return make


def by_hand(change, subtype="PCM_16"):
    def make(samples, rate, folder, number):
        write(os.path.join(folder, f"{number}.wav"), change(samples, rate), rate, subtype)

    return make


def silence(seconds):
    return lambda samples, rate: numpy.concatenate([numpy.zeros(int(seconds * rate)), samples])


KINDS = {
    "level -12 dB": by_hand(lambda s, r: s * 0.25),
    "level -30 dB": by_hand(lambda s, r: s * 10 ** (-30 / 20)),
    "turned over": by_hand(lambda s, r: -s),
    "60 ms of silence before": by_hand(silence(0.06)),
    "start cut 1 ms in": by_hand(start_cut(0.001)),
    "start cut 3 ms in": by_hand(start_cut(0.003)),
    "start cut 3 ms in, faded in over 2 ms": by_hand(start_cut(0.003, 0.002)),
    "faded in over 3 ms": by_hand(faded_in(0.003)),
    "tail cut at 95 % energy": by_hand(tail_cut(0.95, 0.005)),
    "tail cut at 90 % energy": by_hand(tail_cut(0.90, 0.005)),
    "faded out from 80 % energy on": by_hand(faded_out),
    "24 bit": by_hand(lambda s, r: s, "PCM_24"),
    "48 kHz": by_ffmpeg("wav", ["-ar", "48000"]),
    "22.05 kHz": by_ffmpeg("wav", ["-ar", "22050"]),
    "11.025 kHz": by_ffmpeg("wav", ["-ar", "11025"]),
    "stereo": by_ffmpeg("wav", ["-ac", "2"]),
    "flac": by_ffmpeg("flac", []),
    "mp3 128 kbit/s": by_ffmpeg("mp3", ["-b:a", "128k"]),
    "mp3 64 kbit/s": by_ffmpeg("mp3", ["-b:a", "64k"]),
    "ogg quality 4": by_ffmpeg("ogg", ["-c:a", "libvorbis", "-q:a", "4"]),
    "m4a 128 kbit/s": by_ffmpeg("m4a", ["-c:a", "aac", "-b:a", "128k"]),
    "m4a 64 kbit/s": by_ffmpeg("m4a", ["-c:a", "aac", "-b:a", "64k"]),
    "48 kHz, -6 dB, 20 ms before, mp3 192": by_ffmpeg(
        "mp3", ["-ar", "48000", "-b:a", "192k"], "volume=-6dB,adelay=20:all=1"
    ),
}


def folder_of(kind):
    return "z " + kind.replace("/", " per ")


def make_copies(samples_folder, rows, chosen, alone, together):
    for row in rows:
        for root in (alone, os.path.join(together, "original")):
            path = os.path.join(root, row["path"])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(os.path.join(samples_folder, row["path"]), "rb") as file, open(path, "wb") as copy:
                copy.write(file.read())
    for kind in KINDS:
        os.makedirs(os.path.join(together, folder_of(kind)))

    def make(job):
        number, row = job
        samples, rate = read(os.path.join(samples_folder, row["path"]))
        for kind, maker in KINDS.items():
            maker(samples, rate, os.path.join(together, folder_of(kind)), number)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(make, enumerate(chosen)))


# --- running ------------------------------------------------------------------------------------------------


class Peak(threading.Thread):
    """The most memory a process has taken, in kB, looked at while it runs."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.status, self.most, self.ended = f"/proc/{pid}/status", 0, threading.Event()
        self.start()

    def run(self):
        while not self.ended.wait(0.02):
            with contextlib.suppress(OSError, StopIteration), open(self.status) as status:
                self.most = int(next(line for line in status if line.startswith("VmHWM:")).split()[1])

    def end(self):
        self.ended.set()
        self.join()
        return self.most


def drumfs(arguments, binary, store):
    """What it prints; its seconds, its processor's seconds, its peak of memory in MB."""
    with open(os.devnull) as nothing:
        started = time.monotonic()
        process = subprocess.Popen([binary, *arguments, "--store", store], stdin=nothing, stdout=subprocess.PIPE)
        # Not the kernel's figure: that begins with the memory of the Python that started it.
        peak = Peak(process.pid)
        text = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    # 3: some files could not be heard.
    if process.returncode not in (0, 3):
        sys.exit(f"drumfs {' '.join(arguments)} failed")
    took = {
        "seconds": round(time.monotonic() - started, 2),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 2),
        "peak_mb": round(peak.end() / 1000),
    }
    return text, took


def near(binary, archive, store, likeness):
    text, took = drumfs(["duplicates", archive, "--json", "--likeness", str(likeness)], binary, store)
    found = json.loads(text)["near"]
    took.update({key: found[key] for key in ("heard", "candidates", "compared", "read") if key in found})
    return [[group["first"], *group["others"]] for group in found["groups"]], took


def half(kit):
    return zlib.crc32(kit.encode()) % 2


# --- what is found ------------------------------------------------------------------------------------------


def accuracy(binary, args, rows, work):
    kits = {row["path"]: row["kit"] for row in rows}
    figures = {"samples": len(rows), "copies_of": args.copies, "originals": {}, "copies": {}}
    alone, together = os.path.join(work, "alone"), os.path.join(work, "together")
    chosen = random.Random(args.seed).sample(rows, min(args.copies, len(rows)))
    if not os.path.exists(together):
        say("making copies")
        make_copies(args.samples, rows, chosen, alone, together)
    for name, archive in (("alone", alone), ("together", together)):
        if not os.path.exists(os.path.join(work, "store-" + name)):
            _, took = drumfs(["index", archive], binary, os.path.join(work, "store-" + name))
            say(f"{name}: indexed in {took['seconds']:.1f} s")
    for likeness in args.likeness:
        groups, took = near(binary, alone, os.path.join(work, "store-alone"), likeness)
        pairs = [(group[0]["path"], other["path"], other["likeness"]) for group in groups for other in group[1:]]
        figures["originals"][likeness] = {
            "pairs": len(pairs),
            "within_a_kit": sum(kits[a] == kits[b] for a, b, _ in pairs),
            "even_kits": sum(half(kits[b]) == 0 for _, b, _ in pairs),
            "odd_kits": sum(half(kits[b]) == 1 for _, b, _ in pairs),
            "list": sorted(pairs, key=lambda pair: -pair[2]),
            **took,
        }
        say(f"alone at {likeness}: {took}")
        groups, took = near(binary, together, os.path.join(work, "store-together"), likeness)
        say(f"together at {likeness}: {took}")
        group_of = {sound["path"]: number for number, group in enumerate(groups) for sound in group}
        originals = [
            {sound["path"] for sound in group if sound["path"].startswith("original/")} for group in groups
        ]
        found = {}
        for kind in KINDS:
            folder = folder_of(kind)
            files = sorted(os.listdir(os.path.join(together, folder)), key=lambda name: int(name.split(".")[0]))
            hits, missed, wrong = [], [], 0
            for file, row in zip(files, chosen):
                group = group_of.get(f"{folder}/{file}")
                own = "original/" + row["path"]
                hit = group is not None and group_of.get(own) == group
                hits.append((half(row["kit"]), hit))
                wrong += not hit and group is not None and bool(originals[group] - {own})
                if not hit:
                    missed.append(f"{folder}/{file}: {row['path']}")
            found[kind] = {
                "found": sum(hit for _, hit in hits),
                "of": len(hits),
                "with_another": wrong,
                "even_kits": [sum(hit for odd, hit in hits if not odd), sum(not odd for odd, _ in hits)],
                "odd_kits": [sum(hit for odd, hit in hits if odd), sum(odd for odd, _ in hits)],
                "missed": missed,
            }
        figures["copies"][likeness] = {"kinds": found, **took}
    return figures


def report(figures, likenesses, markdown):
    def part(found, of):
        return f"{100 * found / max(of, 1):.1f} %"

    rows = []
    for kind in KINDS:
        found = [figures["copies"][likeness]["kinds"][kind] for likeness in likenesses]
        rows.append([kind, *(part(each["found"], each["of"]) for each in found)])
    kinds = [figures["copies"][likeness]["kinds"].values() for likeness in likenesses]
    of_all = [(sum(each["found"] for each in all), sum(each["of"] for each in all)) for all in kinds]
    rows.append(["all copies", *(part(*each) for each in of_all)])
    rows.append(["copies with another sound", *(sum(each["with_another"] for each in all) for all in kinds)])
    originals = [figures["originals"][likeness] for likeness in likenesses]
    for name, key in (("pairs among the originals", "pairs"), ("of them within a kit", "within_a_kit"),
                      ("of them in even kits", "even_kits"), ("of them in odd kits", "odd_kits")):
        rows.append([name, *(found[key] for found in originals)])
    print(table([f"found, of {figures['copies_of']} each", *map(str, likenesses)], rows, markdown))
    print(f"\n{figures['samples']} originals; pairs at {likenesses[0]}:")
    for a, b, likeness in figures["originals"][likenesses[0]]["list"]:
        print(f"  {likeness:.3f}  {a}  {b}")


# --- how long it takes --------------------------------------------------------------------------------------

# Steps of speed, 3 % apart: further than two copies of a sound can be.
STEPS = range(-17, 18)
LONGEST = 1.5  # s
COPIED = 20  # of so many one
RATE = 44_100


def at_speed(samples, step):
    speed = 1.03**step
    return numpy.interp(numpy.arange(0, len(samples) - 1, speed), numpy.arange(len(samples)), samples)


def down(samples, rate):
    return scipy.signal.resample_poly(samples, 1, 2)


COPIES = {
    "level -12 dB": (lambda s, r: s * 0.25, RATE),
    "start cut 1 ms in": (start_cut(0.001), RATE),
    "tail cut at 95 % energy": (tail_cut(0.95, 0.005), RATE),
    "22.05 kHz": (down, RATE // 2),
}


def make_archive(samples_folder, rows, count, folder):
    """`count` sounds, of which each is made once, and the copies: their paths with those of the originals."""
    chance = random.Random(count)
    sounds = []
    for row in rows:
        samples, rate = read(os.path.join(samples_folder, row["path"]))
        if rate == RATE and numpy.abs(samples).max() > 1e-3 and len(samples) > RATE // 50:
            sounds.append(samples[: int(LONGEST * RATE)] / numpy.abs(samples).max())
    combinations = [(sound, step) for step in STEPS for sound in range(len(sounds))]
    if count > len(combinations):
        sys.exit(f"no more than {len(combinations)} sounds can be made of {folder}")
    copies = []
    for number, (sound, step) in enumerate(chance.sample(combinations, count)):
        samples = at_speed(sounds[sound], step)
        other = at_speed(sounds[chance.randrange(len(sounds))], chance.choice(STEPS))
        both = numpy.zeros(max(len(samples), len(other)))
        both[: len(samples)] += samples
        both[: len(other)] += other * 10 ** (chance.uniform(-18, -3) / 20)
        both *= chance.uniform(0.4, 0.95) / numpy.abs(both).max()
        path = f"pack {number // 500:03}/{number:06}.wav"
        os.makedirs(os.path.join(folder, os.path.dirname(path)), exist_ok=True)
        write(os.path.join(folder, path), both, RATE)
        if number % COPIED == 0:
            kind = list(COPIES)[number // COPIED % len(COPIES)]
            change, rate = COPIES[kind]
            copy = f"z copies/{number:06}.wav"
            os.makedirs(os.path.join(folder, "z copies"), exist_ok=True)
            write(os.path.join(folder, copy), change(both, RATE), rate)
            copies.append([kind, path, copy])
    return copies


def scale(binary, args, rows, work):
    figures = {}
    for count in args.scale:
        archive, store = (os.path.join(work, f"{name}-{count}") for name in ("archive", "store"))
        told = archive + ".json"
        if not os.path.exists(told):
            say(f"making {count} sounds")
            write_json(told, make_archive(args.samples, rows, count, archive))
        with open(told) as file:
            copies = json.load(file)
        if not os.path.exists(store):
            _, took = drumfs(["index", archive], binary, store)
            say(f"{count}: indexed in {took['seconds']:.1f} s")
        for name in ("outlines.bin", "likenesses.bin", "near.json"):
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(store, name))
        groups, first = near(binary, archive, store, DEFAULT)
        _, again = near(binary, archive, store, DEFAULT)
        group_of = {sound["path"]: number for number, group in enumerate(groups) for sound in group}
        found = {kind: [0, 0] for kind in COPIES}
        for kind, path, copy in copies:
            found[kind][0] += copy in group_of and group_of[copy] == group_of.get(path)
            found[kind][1] += 1
        others = sum(
            len([sound for sound in group if not sound["path"].startswith("z ")]) - 1 for group in groups
        )
        figures[count] = {"first": first, "again": again, "copies": found, "other_pairs": others}
        say(f"{count}: {figures[count]}")
    return figures


def report_scale(figures, markdown):
    rows = []
    for count, found in figures.items():
        first, again = found["first"], found["again"]
        hits = [sum(pair[place] for pair in found["copies"].values()) for place in (0, 1)]
        rows.append([
            f"{count:,}", f"{first['seconds']:.1f} s", f"{first['processor_seconds']:.1f} s",
            f"{again['seconds']:.1f} s", f"{first.get('candidates', 0):,}", f"{first.get('read', 0):,}",
            f"{first['peak_mb']} MB", f"{hits[0]} of {hits[1]}", found["other_pairs"],
        ])
    print(table(["sounds", "first run", "processor", "second run", "pairs compared", "files read for it", "memory",
                 "copies found", "other pairs"], rows, markdown))


@contextlib.contextmanager
def place(work):
    if work is None:
        with scratch() as folder:
            yield folder
    else:
        os.makedirs(work, exist_ok=True)
        yield work


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("samples", metavar="SAMPLES", help="folder with manifest.csv")
    options.add_argument("--copies", type=int, default=300, help="copies are made of so many sounds")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--likeness", type=float, nargs="+", default=LIKENESS)
    options.add_argument("--scale", type=int, nargs="+", metavar="N", help="measure archives of so many sounds instead")
    options.add_argument("--work", metavar="DIR", help="make archives and stores here, or find them here, and keep them")
    options.add_argument("--binary", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "../target/release/drumfs"))
    options.add_argument("--json", metavar="FILE", help="write the figures here, too")
    options.add_argument("--markdown", action="store_true", help="tables in Markdown")
    args = options.parse_args()
    binary = drumfs_binary(args.binary)
    with open(os.path.join(args.samples, "manifest.csv"), newline="") as manifest:
        rows = list(csv.DictReader(manifest))
    with place(args.work) as work:
        if args.scale:
            figures = scale(binary, args, rows, work)
            report_scale(figures, args.markdown)
        else:
            figures = accuracy(binary, args, rows, work)
            report(figures, args.likeness, args.markdown)
    write_json(args.json, figures)


if __name__ == "__main__":
    main()
