"""Generators of bells, cowbells, triangles and other struck metal. Each draws its own parameters."""

import numpy as np

from synth_blocks import (
    BAR,
    LONGEST_SEC,
    add,
    air,
    band,
    between,
    chance,
    decay,
    decibels,
    fm,
    high,
    modes,
    normalised,
    plate,
    saturate,
    tick,
    times,
    uniform,
    wash,
    wave,
)

# Bells, bars, pipes.


def bell_church(rng):
    t = times(LONGEST_SEC)
    f = between(rng, 180, 1400)
    ratios = np.array([0.5, 1, 1.2, 1.5, 2, 2.5, 2.67, 3, 4, 5.3]) * np.exp(rng.normal(0, uniform(rng, 0, 0.03), 10))
    return modes(t, f * ratios, rng.uniform(0.1, 1, 10), between(rng, 1.2, 14) * ratios ** -uniform(rng, 0.1, 1), rng)


def bell_hand(rng):
    """Small bells, glass, chimes, glockenspiel: few high modes."""
    t = times(between(rng, 0.5, 1.6))
    f = between(rng, 600, 4500)
    ratios = BAR[:4] if chance(rng, 0.5) else np.array([1, *np.sort(rng.uniform(1.5, 6, 4))])
    x = modes(
        t,
        f * ratios,
        rng.uniform(0.1, 1, len(ratios)) ** 1.5,
        between(rng, 0.5, 12) * ratios ** -uniform(rng, 0, 0.6),
        rng,
    )
    return normalised(x) + decibels(uniform(rng, -34, -14)) * tick(t, rng, between(rng, 3000, 9000), 0.008)


def bell_fm(rng):
    t = times(between(rng, 0.5, 1.6))
    t60 = between(rng, 0.6, 9)
    return fm(
        t,
        between(rng, 300, 3000),
        rng.choice([1.4, 1.41, 2.76, 3.5, 3.51, 5.4, 7]),
        between(rng, 0.5, 6) * decay(t, t60 * 0.7),
    ) * decay(t, t60)


def bell_jingles(rng):
    """Sleigh bells and wind chimes: many small bells one after another."""
    t = times(between(rng, 0.5, 1.6))
    x = np.zeros(len(t))
    length = between(rng, 0.03, 1.0)
    for _ in range(int(rng.integers(4, 14))):
        later = times(between(rng, 0.2, 0.8))
        f = between(rng, 2500, 10000)
        x = add(
            x,
            uniform(rng, 0.2, 1)
            * modes(
                later,
                f * np.array([1, uniform(rng, 1.3, 1.8), uniform(rng, 2, 3)]),
                [1, 0.7, 0.4],
                between(rng, 0.15, 1.2),
                rng,
            ),
            uniform(rng, 0, length),
        )
    return x[: len(t)]


def agogo(rng):
    """A small iron cone: high, two or three strong modes, short."""
    t = times(between(rng, 0.25, 0.9))
    f = between(rng, 750, 1900)
    ratios = np.array([1, uniform(rng, 1.4, 2.1), uniform(rng, 2.5, 3.6), uniform(rng, 4, 5.5), uniform(rng, 5.5, 8)])
    x = modes(
        t,
        f * ratios,
        np.array([1, 0.7, 0.7, 0.6, 0.4]) * rng.uniform(0.2, 1.2, 5),
        between(rng, 0.12, 0.6) * rng.uniform(0.5, 1.1, 5),
        rng,
    )
    x = normalised(x) + decibels(uniform(rng, -16, -3)) * normalised(plate(t, rng, 4000, 13000, 20, 0.25, 0.2)) * decay(
        t, between(rng, 0.05, 0.3)
    )
    return x + decibels(uniform(rng, -20, -6)) * tick(t, rng, between(rng, 3000, 8000), 0.006)


def agogo_electronic(rng):
    t = times(between(rng, 0.15, 0.6))
    f = between(rng, 750, 1700)
    if chance(rng, 0.5):
        x = wave(t * f, "square") + wave(t * f * uniform(rng, 1.3, 1.7) + 0.3, "square") * uniform(rng, 0.3, 1)
        x = band(x, f * uniform(rng, 1, 4), uniform(rng, 0.7, 2))
    else:
        x = fm(t, f, uniform(rng, 1.3, 3.7), between(rng, 0.5, 3) * decay(t, 0.3))
    return x * decay(t, between(rng, 0.08, 0.4))


def cowbell_squares(rng):
    """Two squares through a band-pass, a sharp start and a tail."""
    t = times(between(rng, 0.15, 0.8))
    f = between(rng, 430, 700)
    x = wave(t * f, "square") + uniform(rng, 0.6, 1) * wave(t * f * uniform(rng, 1.4, 1.55) + 0.3, "square")
    x = band(x, between(rng, 700, 2800), uniform(rng, 0.5, 2))
    return x * (decay(t, between(rng, 0.04, 0.12)) + uniform(rng, 0.2, 0.8) * decay(t, between(rng, 0.15, 0.9)))


def cowbell_acoustic(rng):
    t = times(between(rng, 0.15, 0.8))
    f = between(rng, 420, 900)
    ratios = np.array(
        [
            1,
            uniform(rng, 1.35, 1.65),
            uniform(rng, 1.9, 2.6),
            uniform(rng, 2.8, 4),
            uniform(rng, 4, 6),
            uniform(rng, 6, 9),
        ]
    )
    x = modes(
        t,
        f * ratios,
        np.array([1, 0.8, 0.5, 0.5, 0.4, 0.3]) * rng.uniform(0.3, 1.2, 6),
        between(rng, 0.08, 0.6) * rng.uniform(0.4, 1.1, 6),
        rng,
    )
    if chance(rng, 0.5):
        x = normalised(x) + decibels(uniform(rng, -22, -6)) * normalised(plate(t, rng, 2500, 12000, 25, 0.2, 0.2))
    x = normalised(x) + air(t, rng, between(rng, 0.15, 0.8), uniform(rng, -50, -22))
    return x + decibels(uniform(rng, -20, -5)) * tick(t, rng, between(rng, 1500, 5000), between(rng, 0.004, 0.015))


def cowbell_fm(rng):
    t = times(between(rng, 0.15, 0.6))
    f = between(rng, 430, 800)
    x = fm(t, f, rng.choice([1.4, 1.48, 1.5, 2.1, 0.67]), between(rng, 0.8, 4) * decay(t, between(rng, 0.1, 0.8)))
    return x * decay(t, between(rng, 0.1, 0.6))


def triangle_struck(rng):
    t = times(between(rng, 0.8, 1.6))
    t60 = between(rng, 1, 10) if chance(rng, 0.65) else between(rng, 0.08, 0.4)
    low_end = between(rng, 1200, 4500)
    count = int(rng.integers(10, 50))
    frequencies = low_end * (15000 / low_end) ** rng.random(count)
    amplitudes = decibels(rng.normal(0, 9, count))
    amplitudes[frequencies < 3500] *= 0.3
    x = normalised(modes(t, frequencies, amplitudes, t60 * rng.uniform(0.4, 1.2, count), rng))
    x += decibels(uniform(rng, -26, -8)) * tick(t, rng, between(rng, 6000, 12000), 0.006)
    return x + (
        decibels(uniform(rng, -52, -22))
        * normalised(wash(t, rng, [500, 3000, 9000], [-6, 0, 0], rng.uniform(0.5, 3, 3)))
        if chance(rng, 0.8)
        else 0
    )


def triangle_electronic(rng):
    t = times(between(rng, 0.3, 1.6))
    x = fm(t, between(rng, 3500, 7500), rng.choice([1.41, 1.73, 2.1, 0.53]), between(rng, 0.3, 2.5) * decay(t, 0.8))
    return high(x, 2500) * decay(t, between(rng, 0.25, 3))


def metal_sheet(rng):
    """Sheets, pans, lids, car parts."""
    t = times(between(rng, 0.5, 1.6))
    x = plate(
        t,
        rng,
        between(rng, 180, 900),
        between(rng, 5000, 13000),
        int(rng.integers(15, 90)),
        between(rng, 0.15, 3),
        uniform(rng, 0, 0.5),
        uniform(rng, -4, 3),
        7,
    )
    x = normalised(x) + decibels(uniform(rng, -18, -2)) * tick(
        t, rng, between(rng, 1500, 6000), between(rng, 0.005, 0.04), 0.6
    )
    if chance(rng, 0.7):
        t60s = between(rng, 0.3, 2.5) * rng.uniform(0.5, 1.2, 5)
        x += decibels(uniform(rng, -24, -2)) * normalised(
            wash(t, rng, [200, 700, 2000, 5000, 10000], rng.normal(-3, 5, 5), t60s)
        )
    return saturate(normalised(x), between(rng, 1, 5)) if chance(rng, 0.3) else x


def metal_pipe(rng):
    t = times(between(rng, 0.5, 1.6))
    f = between(rng, 200, 4500)
    ratios = np.concatenate([BAR, BAR[:4] * uniform(rng, 1.01, 1.2)])
    x = modes(t, f * ratios, rng.uniform(0.1, 1, 10), between(rng, 0.4, 3) * ratios ** -uniform(rng, 0.2, 0.7), rng)
    return (
        normalised(x)
        + decibels(uniform(rng, -24, -8)) * tick(t, rng, between(rng, 2000, 7000), 0.01)
        + air(t, rng, between(rng, 0.3, 2), uniform(rng, -46, -16))
    )


def metal_anvil(rng):
    t = times(between(rng, 0.5, 1.6))
    count = int(rng.integers(6, 16))
    frequencies = between(rng, 700, 6000) * (1 + rng.exponential(1.2, count))
    x = modes(t, frequencies, rng.uniform(0.1, 1, count), between(rng, 0.3, 2.5) * rng.uniform(0.3, 1.2, count), rng)
    return (
        normalised(x)
        + decibels(uniform(rng, -12, 0)) * tick(t, rng, between(rng, 2500, 8000), between(rng, 0.005, 0.02))
        + air(t, rng, between(rng, 0.3, 2), uniform(rng, -46, -16))
    )


def metal_ring(rng):
    """Ring modulation and FM clangs."""
    t = times(between(rng, 0.4, 1.4))
    f = between(rng, 250, 6000)
    x = fm(t, f, uniform(rng, 1.1, 5.9), between(rng, 1, 12) * decay(t, between(rng, 0.3, 2)))
    if chance(rng, 0.5):
        x = x * np.sin(2 * np.pi * t * f * uniform(rng, 0.3, 2.7))
    return x * decay(t, between(rng, 0.3, 1.8))
