"""Generated drums: more machines, drums and rooms than any collection of free samples has, with certain labels.

    from synthesis import write_sounds
    rows = write_sounds("generated", 300, seed=1, processes=2)     # [(path, label, kit), ...]

    python synthesis.py --out generated --count 300                # the same, and a manifest.csv beside it

A kit is a pretended machine or pack: a style, a converter, a room, an equaliser and a drive that all its sounds share.
What a sound is depends on the seed, its kit, its label and its number only, not on the number of processes."""

import argparse
import csv
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import lfilter, resample_poly
from threadpoolctl import threadpool_limits

import synth_bells as bells
import synth_drums as drums
import synth_effects as effects
import synth_hands as hands
import synth_metals as metals
import synth_percussion as percussion
from synth_blocks import (
    LONGEST_SEC,
    RATE,
    add,
    between,
    chance,
    clip,
    crush,
    decibels,
    gate,
    noise,
    normalised,
    peak,
    response,
    room,
    saturate,
    uniform,
)

# How many sounds of a label a kit has.
PER_KIT = 3
LABELS = (
    "Agogo Bell Bongo Cabasa China Clap Clave Conga Cowbell Crash Cuica Cymbal FX Guiro Hihat Kick Maracas Metal Noise "
    "Perc Reverse Ride Rim Shaker Sizzle Snare Splash Tambourine Timbale Timpani Tom Triangle Vibraslap Vox"
).split()
# Labels of which two sounds at once are still one of that label.
LAYERED = {"Clap", "Crash", "Cymbal", "FX", "Hihat", "Kick", "Metal", "Snare", "Splash", "Tambourine"}
REVERSED = [
    "Crash",
    "Crash",
    "Cymbal",
    "Ride",
    "Splash",
    "Hihat",
    "Snare",
    "Snare",
    "Clap",
    "Kick",
    "Tom",
    "Bell",
    "Metal",
    "Vox",
    "Perc",
]
STYLES = ["acoustic", "electronic", "chip", "any"]


def reversed_sound(rng):
    """Any other sound, from its tail to its onset."""
    x = make_dry(str(rng.choice(REVERSED)), rng)
    level = np.abs(x)
    heard = np.flatnonzero(level > 0.003 * level.max())
    x = x[: heard[-1] + 1]
    x = x[: int(between(rng, 0.2, LONGEST_SEC) * RATE)][::-1]
    if chance(rng, 0.6):
        # Faded in, where the tail was cut.
        x = x * np.linspace(0, 1, len(x)) ** uniform(rng, 0.3, 1.5)
    return x


def fx_of_reverse(rng):
    return add(
        normalised(reversed_sound(rng)) * uniform(rng, 0.3, 1),
        normalised(effects.fx_impact(rng)),
        uniform(rng, 0.2, 0.8),
    )


KINDS = {
    "Agogo": [bells.agogo, bells.agogo, bells.agogo_electronic],
    "Bell": [bells.bell_church, bells.bell_hand, bells.bell_hand, bells.bell_fm, bells.bell_jingles],
    "Bongo": [hands.bongo_open, hands.bongo_open, hands.bongo_slap, hands.bongo_electronic],
    "Cabasa": [percussion.cabasa_twist, percussion.cabasa_twist, percussion.cabasa_hit, percussion.cabasa_electronic],
    "China": [metals.china, metals.china, metals.china_electronic],
    "Clap": [drums.clap_analogue, drums.clap_hands, drums.clap_hands, drums.clap_noise, drums.clap_digital],
    "Clave": [percussion.clave_wood, percussion.clave_electronic],
    "Conga": [hands.conga_open, hands.conga_open, hands.conga_slap, hands.conga_muted, hands.conga_electronic],
    "Cowbell": [bells.cowbell_squares, bells.cowbell_acoustic, bells.cowbell_fm],
    "Crash": [
        metals.crash_acoustic,
        metals.crash_acoustic,
        metals.crash_acoustic,
        metals.crash_electronic,
        metals.crash_noise,
        metals.crash_chip,
    ],
    "Cuica": [percussion.cuica_voice, percussion.cuica_voice, percussion.cuica_two, percussion.cuica_electronic],
    "Cymbal": [metals.cymbal_small, metals.cymbal_squares, metals.cymbal_electronic, metals.cymbal_swell],
    "FX": [effects.fx_zap, effects.fx_sweep, effects.fx_impact, effects.fx_robot, effects.fx_drone, fx_of_reverse],
    "Guiro": [percussion.guiro_scrape, percussion.guiro_scrape, percussion.guiro_two, percussion.guiro_electronic],
    "Hihat": [
        metals.hat_acoustic,
        metals.hat_acoustic,
        metals.hat_acoustic,
        metals.hat_acoustic,
        metals.hat_squares,
        metals.hat_electronic,
        metals.hat_noise,
        metals.hat_chip,
        metals.hat_open_long,
    ],
    "Kick": [
        drums.kick_analogue,
        drums.kick_analogue,
        drums.kick_long,
        drums.kick_acoustic,
        drums.kick_acoustic,
        drums.kick_acoustic,
        drums.kick_layered,
        drums.kick_distorted,
        drums.kick_fm,
        drums.kick_chip,
        drums.kick_boomy,
    ],
    "Maracas": [percussion.maracas_hit, percussion.maracas_hit, percussion.maracas_electronic],
    "Metal": [bells.metal_sheet, bells.metal_sheet, bells.metal_pipe, bells.metal_anvil, bells.metal_ring],
    "Noise": [effects.noise_burst, effects.noise_steady, effects.noise_crackle, effects.noise_chip],
    "Perc": [
        percussion.perc_block,
        percussion.perc_tabla,
        percussion.perc_snap,
        percussion.perc_udu,
        percussion.perc_blip,
        percussion.perc_drum,
        percussion.perc_tuned,
    ],
    "Reverse": [reversed_sound],
    "Ride": [
        metals.ride_acoustic,
        metals.ride_acoustic,
        metals.ride_acoustic,
        metals.ride_bell,
        metals.ride_electronic,
        metals.ride_chip,
    ],
    "Rim": [
        drums.rim_side_stick,
        drums.rim_side_stick,
        drums.rim_side_stick,
        drums.rim_electronic,
        drums.rim_pulse,
        drums.rim_shot,
    ],
    "Shaker": [percussion.shaker_beads, percussion.shaker_beads, percussion.shaker_loop, percussion.shaker_noise],
    "Sizzle": [metals.sizzle_ride, metals.sizzle_crash, metals.sizzle_hiss],
    "Snare": [
        drums.snare_acoustic,
        drums.snare_acoustic,
        drums.snare_acoustic,
        drums.snare_acoustic,
        drums.snare_two_tones,
        drums.snare_swept,
        drums.snare_thin,
        drums.snare_layered,
        drums.snare_fm,
        drums.snare_chip,
        drums.snare_brush,
    ],
    "Splash": [metals.splash_acoustic, metals.splash_acoustic, metals.splash_electronic],
    "Tambourine": [
        percussion.tambourine_hit,
        percussion.tambourine_hit,
        percussion.tambourine_shaken,
        percussion.tambourine_electronic,
    ],
    "Timbale": [hands.timbale_head, hands.timbale_head, hands.timbale_shell, hands.timbale_electronic],
    "Timpani": [hands.timpani, hands.timpani, hands.timpani_synthetic],
    "Tom": [
        drums.tom_analogue,
        drums.tom_analogue,
        drums.tom_sweeping,
        drums.tom_acoustic,
        drums.tom_acoustic,
        drums.tom_acoustic,
        drums.tom_fm,
        drums.tom_chip,
    ],
    "Triangle": [bells.triangle_struck, bells.triangle_struck, bells.triangle_electronic],
    "Vibraslap": [percussion.vibraslap_rattle, percussion.vibraslap_rattle, percussion.vibraslap_dense],
    "Vox": [effects.vox_syllable, effects.vox_syllable, effects.vox_choir, effects.vox_breath],
}
CHIP = ("_chip", "_blip", "_robot", "_pulse")
ELECTRONIC = (
    "_electronic",
    "_analogue",
    "_long",
    "_layered",
    "_distorted",
    "_fm",
    "_swept",
    "_sweeping",
    "_two_tones",
    "_thin",
    "_noise",
    "_squares",
    "_digital",
    "_synthetic",
    "_ring",
    "_zap",
)


def style_of(generator):
    if generator.__name__.endswith(CHIP):
        return "chip"
    return "electronic" if generator.__name__.endswith(ELECTRONIC) else "acoustic"


def make_dry(label, rng, style="any"):
    """A sound of a label as its generator gives it: one of the kit's style more often than others."""
    generators = KINDS[label]
    weights = np.array([6.0 if style_of(generator) == style else 1.0 for generator in generators])
    weights /= weights.sum()
    x = normalised(generators[rng.choice(len(generators), p=weights)](rng))
    if label in LAYERED and chance(rng, 0.08):
        other = normalised(generators[rng.choice(len(generators), p=weights)](rng))
        x = add(x, other * decibels(uniform(rng, -18, 0)), uniform(rng, 0, 0.003))
    return x


def random_kit(rng):
    """What all sounds of a machine or pack went through."""
    old = chance(rng, 0.3)
    return {
        "style": str(rng.choice(STYLES, p=[0.3, 0.4, 0.1, 0.2])),
        "rate": int(rng.choice([16000, 22050, 27500, 32000])) if old else int(rng.choice([44100, 44100, 48000])),
        "bits": int(rng.choice([6, 8, 8, 10, 12])) if old and chance(rng, 0.7) else 16,
        "equaliser": [
            (between(rng, 60, 14000), rng.normal(0, 3.5), uniform(rng, 0.4, 1.2)) for _ in range(rng.integers(0, 4))
        ],
        "drive": between(rng, 1, 6) if chance(rng, 0.25) else 0.0,
        "squeeze": uniform(rng, 0.2, 0.6) if chance(rng, 0.25) else 0.0,
        "room": (
            (response(rng, between(rng, 0.08, 1.0), between(rng, 2000, 14000)), uniform(rng, -36, -8))
            if chance(rng, 0.6)
            else None
        ),
        "hiss": uniform(rng, -85, -52) if chance(rng, 0.15) else None,
        "tight": between(rng, 0.12, 0.8) if chance(rng, 0.15) else None,
    }


def squeezed(x, amount):
    """A compressor: the level, followed over some 20 ms, to the power of -amount."""
    level = lfilter([0.0012], [1, -0.9988], np.abs(x)) + 0.02
    return x * level**-amount


def recorded(x, kit, rng):
    """The sound as that kit has it: samples and their rate in Hz."""
    x = normalised(x)
    if kit["tight"] and chance(rng, 0.5):
        length = kit["tight"] * between(rng, 0.7, 3) * (0.5 + len(x) / RATE)
        x = x * gate(np.arange(len(x)) / RATE, length, 0.3 * length)
    for frequency, gain, width in kit["equaliser"]:
        x = peak(x, frequency, gain, width)
    if kit["drive"]:
        x = saturate(normalised(x), kit["drive"])
    if kit["squeeze"]:
        x = squeezed(normalised(x), kit["squeeze"])
    if kit["room"] and chance(rng, 0.8):
        answer, level = kit["room"]
        x = room(x, answer, level + uniform(rng, -4, 2))
    x = normalised(x)
    if kit["hiss"] is not None:
        x = x + noise(len(x), rng) * decibels(kit["hiss"])
    if chance(rng, 0.05):
        x = clip(x, between(rng, 1.1, 3))
    if chance(rng, 0.1):
        x = np.concatenate([np.zeros(int(uniform(rng, 0, 0.03) * RATE)), x])
    # Cut off or faded out.
    fade = min(int(between(rng, 0.002, 0.1) * RATE), len(x) // 2)
    x[len(x) - fade :] *= np.linspace(1, 0, fade)
    rate = kit["rate"]
    if rate != RATE:
        up, down = {48000: (160, 147), 32000: (320, 441), 27500: (275, 441), 22050: (1, 2), 16000: (160, 441)}[rate]
        x = resample_poly(x, up, down)
    x = normalised(x) * decibels(uniform(rng, -12, -0.1))
    if chance(rng, 0.05):
        x = x * 0.98 + uniform(rng, -0.01, 0.01)
    return (crush(x, kit["bits"]) if kit["bits"] < 16 else x), rate


def make(label, rng, kit=None):
    """A sound of a label: samples within -1 to 1, and their rate in Hz. Without a kit, of one of its own."""
    kit = kit or random_kit(rng)
    while True:
        x, rate = recorded(make_dry(label, rng, kit["style"]), kit, rng)
        # Nothing is left of some when filtered: draw again.
        if np.isfinite(x).all() and np.abs(x).max() > 0.05:
            return np.clip(x, -1, 1), rate


def write_kit(task):
    folder, number, sounds, seed = task
    kit = random_kit(np.random.default_rng([seed, number]))
    name = f"generated-{seed}-{number:04d}"
    (folder / name).mkdir(parents=True, exist_ok=True)
    rows = []
    with threadpool_limits(1):
        for label, index in sounds:
            rng = np.random.default_rng([seed, number, 1 + LABELS.index(label), index])
            x, rate = make(label, rng, kit)
            path = folder / name / f"{label}-{index}.wav"
            soundfile.write(path, x, rate, subtype="PCM_16")
            rows.append((path, label, name))
    return rows


def write_sounds(folder, count_per_label, seed=1, processes=1):
    """Writes WAV files of as many sounds of each label (a number for all, or a dict) into folders named after their
    kits; returns (path, label, kit) of each."""
    counts = count_per_label if isinstance(count_per_label, dict) else dict.fromkeys(LABELS, count_per_label)
    kits = {}
    for label, count in counts.items():
        for index in range(count):
            kits.setdefault(index // PER_KIT, []).append((label, index))
    tasks = [(Path(folder), number, sounds, seed) for number, sounds in sorted(kits.items())]
    with get_context("fork").Pool(processes) as pool:
        return [row for rows in pool.imap(write_kit, tasks, chunksize=1) for row in rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--count", type=int, default=100, help="sounds of each label [100]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    rows = write_sounds(arguments.out, arguments.count, arguments.seed, arguments.processes)
    with open(arguments.out / "manifest.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "kit"])
        writer.writerows([path.relative_to(arguments.out), label, kit] for path, label, kit in rows)


if __name__ == "__main__":
    main()
