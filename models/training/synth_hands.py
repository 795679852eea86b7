"""Generators of hand drums, timbales and kettledrums. Each draws its own parameters."""

import numpy as np

from synth_blocks import (
    KETTLE,
    LONGEST_SEC,
    air,
    between,
    chance,
    crack,
    decay,
    decibels,
    fm,
    glide,
    low,
    modes,
    noise,
    normalised,
    phase,
    plate,
    rise,
    skin,
    tick,
    times,
    uniform,
)

# Hand drums.


def hand_drum(rng, lowest, highest, shortest, longest):
    f = between(rng, lowest, highest)
    t60 = between(rng, shortest, longest)
    t = times(min(t60 * 1.3, 0.9))
    x = skin(
        t,
        rng,
        f,
        t60,
        bend=uniform(rng, 0, 0.06),
        bend_sec=between(rng, 0.02, 0.1),
        damping=uniform(rng, 0.6, 1.7),
        slope=uniform(rng, 1.2, 2.7),
        detune=0.04,
    )
    x = normalised(x) * rise(t, between(rng, 0.0005, 0.005))
    hand = tick(t, rng, between(rng, 500, 3500), between(rng, 0.005, 0.03), uniform(rng, 0.5, 1.5))
    x += decibels(uniform(rng, -34, -10)) * hand + decibels(uniform(rng, -36, -12)) * crack(
        t, rng, between(rng, 0.03, 0.2), uniform(rng, -6, -2)
    )
    if chance(rng, 0.5):
        # The wooden shell.
        x += decibels(uniform(rng, -32, -14)) * normalised(
            modes(t, f * rng.uniform(2.5, 6, 3), 1, rng.uniform(0.03, 0.12, 3), rng)
        )
    return x + air(t, rng, between(rng, 0.2, 1.2), uniform(rng, -46, -18))


def conga_open(rng):
    return hand_drum(rng, 100, 340, 0.3, 1.6)


def conga_slap(rng):
    t = times(between(rng, 0.1, 0.35))
    f = between(rng, 240, 480)
    x = skin(
        t,
        rng,
        f,
        between(rng, 0.06, 0.2),
        bend=0.03,
        damping=uniform(rng, 0, 0.6),
        slope=uniform(rng, 0.1, 1.0),
        detune=0.05,
    )
    x = normalised(x) + decibels(uniform(rng, -14, -2)) * tick(
        t, rng, between(rng, 900, 3000), between(rng, 0.01, 0.04), 0.7
    )
    return x + air(t, rng, between(rng, 0.12, 0.5), uniform(rng, -46, -22))


def conga_muted(rng):
    """Heel, palm or toe: a dull short hit, low."""
    t = times(between(rng, 0.08, 0.3))
    x = skin(
        t, rng, between(rng, 85, 260), between(rng, 0.05, 0.16), damping=1.2, slope=uniform(rng, 1.0, 2.5), detune=0.05
    )
    x = normalised(low(x, 2500)) + decibels(uniform(rng, -22, -8)) * tick(
        t, rng, between(rng, 300, 1200), between(rng, 0.01, 0.04), 0.7
    )
    return x + air(t, rng, between(rng, 0.12, 0.5), uniform(rng, -46, -22))


def ringing(rng, lowest, highest, shortest, longest):
    """A bridged-T or FM voice that rings like a small drum."""
    f, t60 = between(rng, lowest, highest), between(rng, shortest, longest)
    t = times(t60)
    carrier = glide(t, f * uniform(rng, 1, 1.15), f, between(rng, 0.01, 0.08))
    x = (
        np.sin(2 * np.pi * phase(carrier))
        if chance(rng, 0.6)
        else fm(t, carrier, rng.choice([1, 1.41, 1.59, 2, 2.3]), between(rng, 0.2, 2.5) * decay(t, t60 * 0.3))
    )
    x *= decay(t, t60)
    return x + decibels(uniform(rng, -36, -14)) * tick(t, rng, between(rng, 800, 4000), between(rng, 0.002, 0.012))


def conga_electronic(rng):
    return ringing(rng, 150, 460, 0.12, 0.5)


def bongo_open(rng):
    return hand_drum(rng, 215, 620, 0.15, 1.0)


def bongo_electronic(rng):
    return ringing(rng, 280, 800, 0.06, 0.3)


def bongo_slap(rng):
    t = times(between(rng, 0.06, 0.25))
    x = skin(
        t,
        rng,
        between(rng, 350, 750),
        between(rng, 0.04, 0.14),
        damping=uniform(rng, 0, 0.5),
        slope=uniform(rng, 0.4, 1.3),
        detune=0.06,
    )
    x = normalised(x) + decibels(uniform(rng, -14, -3)) * tick(
        t, rng, between(rng, 1500, 4500), between(rng, 0.006, 0.025), 0.7
    )
    return x + air(t, rng, between(rng, 0.12, 0.5), uniform(rng, -46, -22))


def timbale_head(rng):
    """A tight skin over a metal shell that rings."""
    f = between(rng, 180, 440)
    t = times(between(rng, 0.4, 1.5))
    x = normalised(
        skin(
            t,
            rng,
            f,
            between(rng, 0.3, 0.9),
            bend=uniform(rng, 0, 0.05),
            damping=uniform(rng, 0.1, 0.7),
            slope=uniform(rng, 0.4, 1.3),
        )
    )
    shell = plate(t, rng, f * 1.2, 10000, 80, between(rng, 0.4, 1.8), uniform(rng, 0.4, 1.0), uniform(rng, -4, -1))
    x += decibels(uniform(rng, -16, 2)) * normalised(shell) + air(
        t, rng, between(rng, 0.4, 1.8), uniform(rng, -34, -14)
    )
    return x + decibels(uniform(rng, -20, -6)) * tick(t, rng, between(rng, 1500, 5000), between(rng, 0.004, 0.02), 0.6)


def timbale_electronic(rng):
    f, t60 = between(rng, 200, 480), between(rng, 0.25, 0.8)
    t = times(t60)
    x = modes(
        t,
        f * np.array([1, uniform(rng, 1.5, 1.65), uniform(rng, 2.1, 2.4), 3.2]),
        [1, 0.6, 0.5, 0.3],
        t60 * rng.uniform(0.4, 1, 4),
        rng,
    )
    return normalised(x) + decibels(uniform(rng, -20, -6)) * tick(t, rng, between(rng, 2000, 5000), 0.01)


def timbale_shell(rng):
    """Cascara: the stick on the shell."""
    t = times(between(rng, 0.15, 0.6))
    x = plate(t, rng, between(rng, 350, 700), 10000, 70, between(rng, 0.2, 0.9), uniform(rng, 0.3, 0.8), -2)
    x = normalised(x) + air(t, rng, between(rng, 0.3, 1.2), uniform(rng, -36, -16))
    return x + decibels(uniform(rng, -12, 0)) * tick(t, rng, between(rng, 1500, 4500), 0.01, 0.8)


def timpani(rng):
    f, t60 = between(rng, 62, 190), between(rng, 1.5, 7.0)
    t = times(LONGEST_SEC)
    count = len(KETTLE)
    amplitudes = (
        np.array([1, 0.8, 0.5, 0.3, 0.2, 0.1, 0.07, 0.05])
        * np.exp(rng.normal(0, 0.4, count))
        * uniform(rng, 0.5, 1) ** np.arange(count)
    )
    x = modes(
        t,
        f * KETTLE * np.exp(rng.normal(0, 0.006, count)),
        amplitudes,
        t60 * rng.uniform(0.5, 1.1, count) * KETTLE**-0.3,
        rng,
    )
    # (0,1) and (0,2): loud, and gone at once.
    x = normalised(x) + uniform(rng, 0.1, 0.8) * modes(
        t, [f * 0.85, f * 1.7], [1, 0.6], [between(rng, 0.15, 0.4), 0.2], rng
    )
    x = normalised(x * rise(t, between(rng, 0.002, 0.02)))
    # A big skin has dense modes up to some kHz, and a hall.
    x += decibels(uniform(rng, -14, 5)) * normalised(
        skin(t, rng, f * 0.85, t60, 0, damping=uniform(rng, 0.4, 1.0), slope=uniform(rng, 0.7, 2.0), detune=0.05)
    )
    x += low(air(t, rng, between(rng, 1.0, 3.0), uniform(rng, -30, -6)), between(rng, 1000, 6000))
    return x + decibels(uniform(rng, -30, -12)) * tick(t, rng, between(rng, 200, 1500), between(rng, 0.01, 0.06), 0.6)


def timpani_synthetic(rng):
    f, t60 = between(rng, 65, 180), between(rng, 1.2, 4)
    t = times(LONGEST_SEC)
    x = fm(
        t,
        glide(t, f * uniform(rng, 1, 1.06), f, 0.1),
        rng.choice([1.5, 1.99, 0.5]),
        between(rng, 0.4, 2.5) * decay(t, between(rng, 0.3, 1.5)),
    )
    return x * decay(t, t60) + decibels(uniform(rng, -24, -12)) * normalised(low(noise(len(t), rng), 400)) * decay(
        t, between(rng, 0.1, 0.4)
    )
