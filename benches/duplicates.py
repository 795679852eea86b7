"""How well `drumfs duplicates` tells copies from other recordings.

    python benches/duplicates.py SAMPLES --copies 300 --json FILE

SAMPLES holds a manifest.csv (path, label, kit) of one-shots in which no recording stands twice: velocity layers and round
robins of real drums among them. From some of them, chosen by a fixed seed, near duplicates are made: at another level, with
silence before, with the start or the tail cut, at other sample rates, in other formats, and several of these at once. Then
`drumfs duplicates` runs on the originals alone (every pair it finds there is a false hit, or a recording that stands twice
in SAMPLES: they are listed, to be listened to) and on the originals with the copies (how many of each kind are found
together with their original). Both for several values of --likeness, and for even and odd kits apart, so that a value that
is chosen on the one half can be looked at on the other.

Needs numpy, soundfile and ffmpeg. Nothing is written into SAMPLES.
"""

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import time
import zlib

import numpy
import soundfile

from common import drumfs_binary, say, scratch

LIKENESS = [0.8, 0.85, 0.9, 0.93, 0.95, 0.97]


def write(path, samples, rate, subtype="PCM_16"):
    soundfile.write(path, samples, rate, subtype=subtype)


def onset(samples):
    return int(numpy.argmax(numpy.abs(samples) >= 0.05 * numpy.abs(samples).max()))


def tail_cut(samples, rate, share):
    """Cut where so much of the energy has sounded, with a fade of 5 ms."""
    energy = numpy.cumsum(samples**2)
    end = max(int(numpy.searchsorted(energy, share * energy[-1])), int(0.005 * rate))
    cut = samples[:end].copy()
    fade = min(int(0.005 * rate), end)
    cut[-fade:] *= numpy.linspace(1, 0, fade)
    return cut


def by_ffmpeg(name, options, filters=None):
    def make(samples, rate, folder, number):
        plain = os.path.join(folder, f"{number}.plain.wav")
        write(plain, samples, rate, "PCM_24")
        out = os.path.join(folder, f"{number}.{name}")
        command = ["ffmpeg", "-v", "error", "-y", "-i", plain]
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
    "start cut 1 ms in": by_hand(lambda s, r: s[onset(s) + int(0.001 * r) :]),
    "tail cut at 95 % energy": by_hand(lambda s, r: tail_cut(s, r, 0.95)),
    "tail cut at 90 % energy": by_hand(lambda s, r: tail_cut(s, r, 0.90)),
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
    "48 kHz, -6 dB, 20 ms before, mp3 192": by_ffmpeg(
        "mp3", ["-ar", "48000", "-b:a", "192k"], "volume=-6dB,adelay=20:all=1"
    ),
}


def drumfs(arguments, binary, store):
    started = time.monotonic()
    done = subprocess.run([binary, *arguments, "--store", store], stdout=subprocess.PIPE, text=True)
    # 3: some files could not be heard.
    if done.returncode not in (0, 3):
        sys.exit(f"drumfs {' '.join(arguments)} failed")
    return done.stdout, time.monotonic() - started


def near(binary, archive, store, likeness):
    text, seconds = drumfs(["duplicates", archive, "--json", "--likeness", str(likeness)], binary, store)
    groups = json.loads(text)["near"]["groups"]
    return [[group["first"], *group["others"]] for group in groups], seconds


def half(kit):
    return zlib.crc32(kit.encode()) % 2


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("samples", metavar="SAMPLES", help="folder with manifest.csv")
    options.add_argument("--copies", type=int, default=300, help="copies are made of so many sounds")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--binary", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "../target/release/drumfs"))
    options.add_argument("--json", metavar="FILE", help="write the figures here, too")
    args = options.parse_args()
    binary = drumfs_binary(args.binary)
    with open(os.path.join(args.samples, "manifest.csv"), newline="") as manifest:
        rows = list(csv.DictReader(manifest))
    kits = {row["path"]: row["kit"] for row in rows}
    figures = {"samples": len(rows), "copies_of": args.copies, "originals": {}, "copies": {}}
    with scratch() as work:
        alone, together = os.path.join(work, "alone"), os.path.join(work, "together")
        for row in rows:
            for root in (alone, os.path.join(together, "original")):
                path = os.path.join(root, row["path"])
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(os.path.join(args.samples, row["path"]), "rb") as file, open(path, "wb") as copy:
                    copy.write(file.read())
        say("making copies")
        chosen = random.Random(args.seed).sample(rows, min(args.copies, len(rows)))
        for kind, make in KINDS.items():
            folder = os.path.join(together, "z " + kind.replace("/", " per "))
            os.makedirs(folder)
            for number, row in enumerate(chosen):
                samples, rate = soundfile.read(os.path.join(args.samples, row["path"]))
                samples = samples if samples.ndim == 1 else samples.mean(axis=1)
                make(samples, rate, folder, number)
        for name, archive in (("alone", alone), ("together", together)):
            _, seconds = drumfs(["index", archive], binary, os.path.join(work, "store-" + name))
            say(f"{name}: indexed in {seconds:.1f} s")
        for likeness in LIKENESS:
            groups, seconds = near(binary, alone, os.path.join(work, "store-alone"), likeness)
            pairs = [(group[0]["path"], other["path"], other["likeness"]) for group in groups for other in group[1:]]
            figures["originals"][likeness] = {
                "pairs": len(pairs),
                "within_a_kit": sum(kits[a] == kits[b] for a, b, _ in pairs),
                "even_kits": sum(half(kits[b]) == 0 for _, b, _ in pairs),
                "odd_kits": sum(half(kits[b]) == 1 for _, b, _ in pairs),
                "list": sorted(pairs, key=lambda pair: -pair[2]),
                "seconds": round(seconds, 2),
            }
            groups, seconds = near(binary, together, os.path.join(work, "store-together"), likeness)
            group_of = {sound["path"]: number for number, group in enumerate(groups) for sound in group}
            found = {}
            for kind in KINDS:
                folder = "z " + kind.replace("/", " per ")
                files = sorted(os.listdir(os.path.join(together, folder)), key=lambda name: int(name.split(".")[0]))
                hits = [
                    (half(row["kit"]), group_of.get(f"{folder}/{file}", -1) == group_of.get("original/" + row["path"], -2))
                    for file, row in zip(files, chosen)
                ]
                found[kind] = {
                    "found": sum(hit for _, hit in hits),
                    "of": len(hits),
                    "even_kits": [sum(hit for odd, hit in hits if not odd), sum(not odd for odd, _ in hits)],
                    "odd_kits": [sum(hit for odd, hit in hits if odd), sum(odd for odd, _ in hits)],
                }
            figures["copies"][likeness] = {"kinds": found, "seconds": round(seconds, 2)}
    report(figures)
    if args.json:
        with open(args.json, "w") as file:
            json.dump(figures, file, indent=2)


def report(figures):
    head = f"{'copies found, of ' + str(figures['copies_of']) + ' each':<38}"
    print(head + "".join(f"{likeness:>8}" for likeness in LIKENESS))
    for kind in KINDS:
        found = [figures["copies"][likeness]["kinds"][kind] for likeness in LIKENESS]
        print(f"{kind:<38}" + "".join(f"{100 * kind['found'] / max(kind['of'], 1):>7.1f}%" for kind in found))
    print()
    originals = [figures["originals"][likeness] for likeness in LIKENESS]
    for name, key in (("pairs among the originals", "pairs"), ("  of them within a kit", "within_a_kit"),
                      ("  of them in even kits", "even_kits"), ("  of them in odd kits", "odd_kits")):
        print(f"{name:<38}" + "".join(f"{found[key]:>8}" for found in originals))
    print(f"\n{figures['samples']} originals; pairs at {LIKENESS[0]}:")
    for a, b, likeness in figures["originals"][LIKENESS[0]]["list"]:
        print(f"  {likeness:.3f}  {a}  {b}")


if __name__ == "__main__":
    main()
