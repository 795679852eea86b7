"""Generators of what is shaken, scraped or rubbed, and of wood. Each draws its own parameters."""

import numpy as np
from scipy.signal import oaconvolve

from synth_blocks import (
    BAR,
    LONGEST_SEC,
    RATE,
    add,
    air,
    band,
    between,
    bump,
    chance,
    collisions,
    decay,
    decibels,
    fm,
    gate,
    glide,
    high,
    low,
    modes,
    noise,
    normalised,
    phase,
    rise,
    skin,
    tick,
    times,
    uniform,
    wave,
)

# Shaken.


def shaken(rng, attack, t60, per_second, resonances, sound_t60, length):
    t = times(length)
    return collisions(t, rng, per_second, sound_t60, resonances, bump(t, attack, t60))


def shaker_beads(rng):
    attack = between(rng, 0.015, 0.12)
    resonances = [
        (between(rng, 4500, 11000), uniform(rng, 0.6, 2.5), 1.0),
        (between(rng, 7000, 14000), uniform(rng, 0.5, 2), uniform(rng, 0.2, 1)),
    ]
    x = shaken(
        rng,
        attack,
        between(rng, 0.06, 0.5),
        between(rng, 800, 20000),
        resonances,
        between(rng, 0.003, 0.02),
        between(rng, 0.12, 0.6),
    )
    if chance(rng, 0.4):
        # There and back.
        back = shaken(
            rng,
            between(rng, 0.02, 0.1),
            between(rng, 0.06, 0.3),
            between(rng, 800, 20000),
            resonances,
            0.01,
            between(rng, 0.1, 0.4),
        )
        x = add(normalised(x), normalised(back) * uniform(rng, 0.3, 1), between(rng, 0.08, 0.3))
    return high(x, between(rng, 1500, 4500))


def shaker_loop(rng):
    """Shaken on and on."""
    t = times(between(rng, 0.6, 1.6))
    beat = between(rng, 2.5, 9)
    energy = (0.5 - 0.5 * np.cos(2 * np.pi * t * beat)) ** between(rng, 0.7, 4) + 0.05
    resonances = [
        (between(rng, 4500, 9000), uniform(rng, 0.6, 2), 1.0),
        (between(rng, 8000, 14000), 0.8, uniform(rng, 0.2, 1)),
    ]
    return high(
        collisions(t, rng, between(rng, 500, 15000), between(rng, 0.003, 0.015), resonances, energy),
        between(rng, 1000, 4000),
    )


def shaker_noise(rng):
    t = times(between(rng, 0.1, 0.5))
    x = high(band(noise(len(t), rng), between(rng, 5000, 11000), uniform(rng, 0.4, 1.5)), between(rng, 2500, 6000))
    return x * bump(t, between(rng, 0.015, 0.08), between(rng, 0.06, 0.4))


def maracas_hit(rng):
    """Hard seeds thrown against one side: shorter than a shaker, fewer and louder grains."""
    resonances = [
        (between(rng, 3500, 8500), uniform(rng, 1.0, 4), 1.0),
        (between(rng, 7000, 13000), 1.0, uniform(rng, 0.1, 0.8)),
    ]
    x = shaken(
        rng,
        between(rng, 0.008, 0.035),
        between(rng, 0.03, 0.18),
        between(rng, 500, 6000),
        resonances,
        between(rng, 0.004, 0.015),
        between(rng, 0.06, 0.35),
    )
    if chance(rng, 0.3):
        other = shaken(
            rng, between(rng, 0.005, 0.02), between(rng, 0.03, 0.12), between(rng, 500, 6000), resonances, 0.008, 0.2
        )
        x = add(normalised(x) * uniform(rng, 0.2, 0.8), normalised(other), between(rng, 0.05, 0.16))
    return high(x, between(rng, 1500, 4500))


def maracas_electronic(rng):
    t = times(between(rng, 0.05, 0.25))
    x = high(high(noise(len(t), rng), between(rng, 4000, 7500)), between(rng, 3000, 6000))
    return x * bump(t, between(rng, 0.006, 0.03), between(rng, 0.02, 0.12))


def cabasa_twist(rng):
    """Steel beads dragged over a ridged cylinder: bright, with an edge, over at once."""
    length = between(rng, 0.06, 0.4)
    t = times(length + 0.15)
    attack = length * uniform(rng, 0.2, 0.8)
    energy = bump(t, attack, between(rng, 0.03, 0.15))
    if chance(rng, 0.5):
        energy = energy * (0.5 + 0.5 * np.cos(2 * np.pi * phase(between(rng, 60, 260) * (1 + 0.3 * t))) ** 2)
    resonances = [
        (between(rng, 5500, 9500), uniform(rng, 0.6, 1.8), 1.0),
        (between(rng, 9500, 14000), uniform(rng, 0.6, 1.5), uniform(rng, 0.4, 1.4)),
    ]
    return high(
        collisions(t, rng, between(rng, 4000, 30000), between(rng, 0.002, 0.008), resonances, energy),
        between(rng, 2500, 5500),
    )


def cabasa_hit(rng):
    t = times(between(rng, 0.08, 0.3))
    resonances = [
        (between(rng, 5000, 9000), uniform(rng, 0.8, 2), 1.0),
        (between(rng, 9000, 14000), 1.0, uniform(rng, 0.4, 1.2)),
    ]
    x = collisions(
        t,
        rng,
        between(rng, 2000, 15000),
        0.006,
        resonances,
        bump(t, between(rng, 0.02, 0.05), between(rng, 0.04, 0.14)),
    )
    return high(x, between(rng, 2000, 5000))


def cabasa_electronic(rng):
    t = times(between(rng, 0.06, 0.25))
    x = high(high(noise(len(t), rng, uniform(rng, 0, 3)), between(rng, 5000, 9000)), 4000)
    return x * bump(t, between(rng, 0.02, 0.07), between(rng, 0.03, 0.12))


def jingles(t, rng, count, energy, per_second):
    """Pairs of small discs: high narrow modes excited again and again."""
    pulses = (rng.random(len(t)) < per_second / RATE) * energy * rng.exponential(1, len(t))
    x = np.zeros(len(t))
    excitation = pulses * rng.choice([-1, 1], len(t)) + 0.05 * np.abs(pulses) * noise(len(t), rng)
    for _ in range(count):
        f = between(rng, 3800, 13500)
        x += normalised(band(excitation, f, between(rng, 15, 120))) * uniform(rng, 0.2, 1)
    return x


def tambourine_hit(rng):
    t = times(between(rng, 0.25, 1.0))
    t60 = between(rng, 0.15, 0.8)
    energy = bump(t, between(rng, 0.001, 0.02), t60)
    x = normalised(jingles(t, rng, 6, energy, between(rng, 150, 1500)))
    hiss = high(noise(len(t), rng), between(rng, 4500, 8000)) * bump(
        t, between(rng, 0.001, 0.015), t60 * uniform(rng, 0.4, 1)
    )
    x += decibels(uniform(rng, -18, 0)) * normalised(hiss)
    if chance(rng, 0.5):
        # A frame, sometimes with a head.
        x += decibels(uniform(rng, -26, -6)) * normalised(
            skin(t, rng, between(rng, 220, 700), between(rng, 0.04, 0.2), slope=1.6)
        )
    return x


def tambourine_shaken(rng):
    t = times(between(rng, 0.4, 1.5))
    beat = between(rng, 2.5, 12)
    energy = np.exp(-((t * beat) % 1) * between(rng, 1.5, 5)) * decay(t, between(rng, 0.5, 6))
    hiss = high(noise(len(t), rng), between(rng, 5000, 9000)) * energy
    return normalised(jingles(t, rng, 6, energy, between(rng, 200, 2000))) + decibels(
        uniform(rng, -16, -3)
    ) * normalised(hiss)


def tambourine_electronic(rng):
    t = times(between(rng, 0.15, 0.6))
    x = band(noise(len(t), rng), between(rng, 6000, 11000), uniform(rng, 0.8, 3)) + uniform(rng, 0.1, 1.5) * high(
        wave(t * between(rng, 1800, 4500), "square") * wave(t * between(rng, 900, 3000), "square"), 5000
    )
    return high(x, 4000) * (
        decay(t, between(rng, 0.03, 0.1)) + uniform(rng, 0.2, 1) * decay(t, between(rng, 0.15, 0.6)) * rise(t, 0.02)
    )


# Scraped and rattled.


def strokes(t, rng, moments, source, t60, strengths):
    """The same short sound at many moments, each a little different in strength."""
    pulses = np.zeros(len(t))
    index = (np.asarray(moments) * RATE).astype(int)
    inside = index < len(t)
    np.add.at(pulses, index[inside], strengths[inside])
    size = int(1.3 * t60 * RATE) + 32
    kernel = source(np.arange(size) / RATE) * decay(np.arange(size) / RATE, t60)
    return oaconvolve(pulses, kernel)[: len(t)]


def guiro_scrape(rng):
    """A stick over notches, faster and faster, or slower."""
    length = between(rng, 0.07, 0.9)
    t = times(length + 0.1)
    start, end = between(rng, 30, 180), between(rng, 30, 200)
    cycles = phase(np.interp(t, [0, length], [start, end]))
    moments = np.searchsorted(cycles, np.arange(1, int(cycles[min(int(length * RATE), len(t) - 1)]))) / RATE
    if len(moments) < 3:
        moments = np.linspace(0, length, 4)
    moments = np.maximum(moments + rng.normal(0, 0.0008, len(moments)), 0)
    strengths = rng.uniform(0.4, 1, len(moments)) * (
        0.3 + np.sin(np.pi * np.linspace(uniform(rng, 0, 0.3), uniform(rng, 0.7, 1), len(moments)))
    )
    f = between(rng, 1200, 5500)

    def notch(s):
        return normalised(
            band(noise(len(s), rng), f, uniform(rng, 0.7, 4))
            + uniform(rng, 0.1, 1) * band(noise(len(s), rng), f * uniform(rng, 1.5, 3), 2)
        )

    x = strokes(t, rng, moments, notch, between(rng, 0.004, 0.03), strengths)
    return high(
        x + uniform(rng, 0, 0.15) * x.std() * high(noise(len(t), rng), 3000) * gate(t, length), between(rng, 300, 1500)
    )


def guiro_two(rng):
    """Short and long."""
    return add(
        normalised(guiro_scrape(rng)), normalised(guiro_scrape(rng)) * uniform(rng, 0.5, 1), between(rng, 0.12, 0.5)
    )


def guiro_electronic(rng):
    length = between(rng, 0.08, 0.5)
    t = times(length + 0.03)
    cycles = phase(np.interp(t, [0, length], [between(rng, 40, 120), between(rng, 40, 160)]))
    if chance(rng, 0.5):
        pulses = wave(cycles, "saw")
        x = band(pulses, between(rng, 1500, 4500), uniform(rng, 1, 5)) + 0.2 * band(noise(len(t), rng), 4000, 0.7) * (
            cycles % 1 < 0.5
        )
    else:
        x = band(noise(len(t), rng), between(rng, 1800, 5500), 1.0) * np.exp(-4 * (cycles % 1))
    return x * gate(t, length)


def vibraslap_rattle(rng):
    """Teeth that rattle in a box, evenly, softer and softer: some twenty strokes a second, several teeth each."""
    t = times(LONGEST_SEC)
    rate = between(rng, 18, 50)
    cycles = phase(rate * (1 + uniform(rng, -0.15, 0.25) * t))
    first = np.searchsorted(cycles, np.arange(0, int(cycles[-1]))) / RATE
    moments = np.sort(
        np.concatenate(
            [np.maximum(first + rng.normal(0, 0.25 / rate, len(first)), 0) for _ in range(int(rng.integers(2, 6)))]
        )
    )
    moments[0] = 0
    strengths = decay(moments, between(rng, 1.2, 6)) * rng.uniform(0.3, 1, len(moments))
    f = between(rng, 1300, 4000)
    resonances = [f, f * uniform(rng, 1.3, 2), f * uniform(rng, 2, 3.5), between(rng, 6000, 11500)]

    def tooth(s):
        return normalised(
            sum(uniform(rng, 0.2, 1) * band(noise(len(s), rng), g, between(rng, 1, 8)) for g in resonances)
        )

    x = normalised(strokes(t, rng, moments, tooth, between(rng, 0.02, 0.09), strengths))
    x += decibels(uniform(rng, -14, 0)) * tick(t, rng, between(rng, 600, 3000), between(rng, 0.01, 0.05), 0.8)
    return high(x, between(rng, 200, 800)) + air(t, rng, between(rng, 0.8, 3), uniform(rng, -46, -26))


def vibraslap_dense(rng):
    """The same when the teeth are not told apart any more."""
    t = times(LONGEST_SEC)
    f = between(rng, 1400, 4000)
    resonances = [
        (f, between(rng, 2, 9), 1.0),
        (f * uniform(rng, 1.4, 3.5), 3.0, uniform(rng, 0.3, 1.5)),
        (between(rng, 6000, 11500), 1.5, uniform(rng, 0.2, 2)),
    ]
    x = collisions(t, rng, between(rng, 100, 700), between(rng, 0.01, 0.04), resonances, decay(t, between(rng, 1.2, 5)))
    x *= 0.7 + 0.3 * np.cos(2 * np.pi * t * between(rng, 18, 35)) ** 2
    return normalised(x) * rise(t, between(rng, 0.001, 0.02)) + air(
        t, rng, between(rng, 0.8, 3), uniform(rng, -46, -26)
    )


# Sung by friction.


def cuica_voice(rng):
    """A stick rubbed inside a drum: a sung glide, rich or nearly a sine."""
    length = between(rng, 0.12, 0.6)
    t = times(length + 0.12)
    start = between(rng, 230, 750)
    turn = start * between(rng, 0.6, 1.9)
    f = np.interp(t, [0, length * uniform(rng, 0.3, 0.8), length], [start, turn, turn * between(rng, 0.7, 1.3)])
    f = f * (1 + uniform(rng, 0, 0.02) * np.sin(2 * np.pi * t * between(rng, 12, 40)))
    cycles = phase(f)
    x = (
        wave(cycles)
        + decibels(uniform(rng, -30, -8)) * wave(cycles, "saw")
        + decibels(uniform(rng, -26, -8)) * np.sin(4 * np.pi * cycles)
    )
    x = band(x, between(rng, 400, 900), uniform(rng, 0.4, 1.5))
    envelope = np.sin(np.pi * np.clip(t / length, 0, 1)) ** uniform(rng, 0.4, 1.5)
    breath = band(noise(len(t), rng), between(rng, 600, 2500), 1)
    return (normalised(x) + decibels(uniform(rng, -44, -20)) * normalised(breath)) * envelope


def cuica_two(rng):
    return add(
        normalised(cuica_voice(rng)), normalised(cuica_voice(rng)) * uniform(rng, 0.5, 1), between(rng, 0.12, 0.4)
    )


def cuica_electronic(rng):
    length = between(rng, 0.12, 0.45)
    t = times(length + 0.05)
    start = between(rng, 300, 800)
    f = glide(t, start, start * between(rng, 0.5, 1.8), length * uniform(rng, 0.5, 2))
    x = low(wave(phase(f), rng.choice(["triangle", "saw", "sine"])), between(rng, 600, 2000))
    return x * rise(t, between(rng, 0.02, 0.1)) * gate(t, length, 0.05)


# Wood, and other small blows.


def clave_wood(rng):
    t = times(between(rng, 0.06, 0.4))
    f = between(rng, 1300, 3000)
    x = modes(
        t,
        f * np.array([1, uniform(rng, 1.02, 1.3), BAR[1], uniform(rng, 3.5, 5)]),
        [1, uniform(rng, 0, 0.5), uniform(rng, 0.05, 0.35), uniform(rng, 0, 0.2)],
        between(rng, 0.04, 0.22) * rng.uniform(0.5, 1, 4),
    )
    return normalised(x) + decibels(uniform(rng, -30, -10)) * tick(t, rng, between(rng, 2500, 7000), 0.004)


def clave_electronic(rng):
    t = times(between(rng, 0.04, 0.15))
    f = between(rng, 1500, 2900)
    x = wave(t * f, rng.choice(["sine", "sine", "triangle", "square"])) * decay(t, between(rng, 0.02, 0.1))
    return band(x, f, 1.5) if chance(rng, 0.5) else x


def perc_block(rng):
    """Wood and temple blocks, logs."""
    t = times(between(rng, 0.08, 0.4))
    f = between(rng, 300, 1600)
    x = modes(
        t,
        f * np.array([1, uniform(rng, 1.5, 2.6), uniform(rng, 2.7, 4.5)]),
        [1, uniform(rng, 0.1, 0.6), uniform(rng, 0.05, 0.4)],
        between(rng, 0.04, 0.2) * np.array([1, 0.7, 0.5]),
    )
    return normalised(x) + decibels(uniform(rng, -26, -8)) * tick(
        t, rng, between(rng, 1000, 4000), between(rng, 0.004, 0.015)
    )


def perc_tabla(rng):
    """A loaded skin: nearly harmonic, with a bend, or a closed tak."""
    t = times(between(rng, 0.2, 0.9))
    f = between(rng, 80, 420)
    bend = glide(t, uniform(rng, 0.75, 1.3), 1, between(rng, 0.05, 0.3))
    x = sum(
        np.sin(2 * np.pi * k * phase(f * bend)) * decay(t, between(rng, 0.15, 0.9) / k**0.4) * uniform(rng, 0.1, 1) / k
        for k in range(1, 6)
    )
    return normalised(x) + decibels(uniform(rng, -22, -6)) * tick(
        t, rng, between(rng, 800, 4000), between(rng, 0.005, 0.02), 0.7
    )


def perc_snap(rng):
    """Fingers, sticks, small things dropped."""
    t = times(between(rng, 0.06, 0.25))
    x = tick(t, rng, between(rng, 1200, 4500), between(rng, 0.01, 0.05), uniform(rng, 1, 5))
    return x + uniform(rng, 0, 0.6) * tick(t, rng, between(rng, 2500, 8000), between(rng, 0.005, 0.02))


def perc_udu(rng):
    t = times(between(rng, 0.15, 0.7))
    f = between(rng, 70, 260)
    cycles = phase(glide(t, f, f * uniform(rng, 1.0, 2.2), between(rng, 0.1, 0.5)))
    return wave(cycles) * decay(t, between(rng, 0.15, 0.7)) * rise(t, between(rng, 0.002, 0.02)) + decibels(
        uniform(rng, -26, -10)
    ) * tick(t, rng, between(rng, 500, 2500), 0.012)


def perc_blip(rng):
    t = times(between(rng, 0.04, 0.4))
    f = between(rng, 150, 3000)
    carrier = glide(t, f * between(rng, 0.5, 3), f, between(rng, 0.01, 0.1))
    if chance(rng, 0.5):
        x = wave(phase(carrier), rng.choice(["square", "triangle", "sine", "pulse"]))
    else:
        x = fm(t, carrier, uniform(rng, 0.5, 7), between(rng, 0.3, 8) * decay(t, between(rng, 0.02, 0.2)))
    return x * decay(t, between(rng, 0.03, 0.35))


def perc_drum(rng):
    """Frame drums, djembes, boxes, pots."""
    t = times(between(rng, 0.2, 1.2))
    x = skin(
        t,
        rng,
        between(rng, 55, 300),
        between(rng, 0.15, 1.2),
        bend=uniform(rng, 0, 0.1),
        damping=uniform(rng, 0.2, 1.5),
        slope=uniform(rng, 0.7, 2.5),
        detune=0.1,
    )
    x = normalised(x) + decibels(uniform(rng, -24, -4)) * tick(
        t, rng, between(rng, 400, 3500), between(rng, 0.005, 0.04), 0.6
    )
    return x + air(t, rng, between(rng, 0.15, 1.0), uniform(rng, -46, -18))


def perc_tuned(rng):
    """Marimbas, kalimbas, hang."""
    t = times(between(rng, 0.4, 1.4))
    f = between(rng, 110, 900)
    ratios = np.array([1, rng.choice([2, 3, 3.9, 4, 2.76]), uniform(rng, 5, 10)])
    return modes(
        t,
        f * ratios,
        [1, uniform(rng, 0.1, 0.6), uniform(rng, 0.02, 0.3)],
        between(rng, 0.3, 2) * np.array([1, 0.5, 0.2]),
    ) + 0.05 * tick(t, rng, 3000, 0.01)
