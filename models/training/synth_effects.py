"""Generators of voices, noises and effects. Each draws its own parameters."""

import numpy as np

from synth_blocks import (
    LONGEST_SEC,
    RATE,
    add,
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
    low,
    noise,
    normalised,
    phase,
    register_noise,
    response,
    rise,
    room,
    times,
    uniform,
    wash,
    wave,
)

# Voices.

VOWELS = np.array(
    [
        [730, 1090, 2440, 3400],
        [270, 2290, 3010, 3700],
        [300, 870, 2240, 3300],
        [530, 1840, 2480, 3500],
        [570, 840, 2410, 3300],
        [500, 1500, 2500, 3500],
        [440, 1020, 2240, 3300],
    ],
    float,
)


def vox_syllable(rng):
    """A buzz through formants of a vowel (Peterson and Barney 1952, means) that turns into another."""
    length = between(rng, 0.15, 1.4)
    t = times(length + 0.1)
    start = between(rng, 85, 420)
    f = np.interp(t, [0, length / 2, length], start * np.array([1, uniform(rng, 0.8, 1.3), uniform(rng, 0.6, 1.2)]))
    f = (
        f
        * (1 + 0.012 * np.sin(2 * np.pi * t * between(rng, 4, 7)))
        * (1 + 0.01 * normalised(low(noise(len(t), rng), 20)))
    )
    buzz = low(wave(phase(f), "saw"), between(rng, 600, 3000)) + decibels(uniform(rng, -54, -22)) * noise(len(t), rng)
    scale = uniform(rng, 0.9, 1.3)
    first, last = VOWELS[rng.integers(7)] * scale, VOWELS[rng.integers(7)] * scale
    turn = np.clip(t / length * 1.5 - 0.25, 0, 1)
    x = np.zeros(len(t))
    for index in range(4):
        gain = decibels(-6 * index)
        x += gain * (
            (1 - turn) * band(buzz, first[index], uniform(rng, 5, 14))
            + turn * band(buzz, last[index], uniform(rng, 5, 14))
        )
    envelope = rise(t, between(rng, 0.01, 0.15)) * gate(t, length * uniform(rng, 0.5, 1), between(rng, 0.03, 0.15))
    x = normalised(x) * envelope
    if chance(rng, 0.4):
        # A consonant before it.
        s = band(noise(int(between(rng, 0.02, 0.12) * RATE), rng), between(rng, 1500, 7000), 0.8)
        s = normalised(s) * np.hanning(len(s)) * decibels(uniform(rng, -24, -8))
        x = add(s, x, len(s) / RATE * 0.7)
    return x


def vox_choir(rng):
    t = times(between(rng, 0.6, 1.6))
    x = sum(
        wave(phase(np.full(len(t), f)) + 0.02 * np.sin(2 * np.pi * t * uniform(rng, 4, 6)), "saw")
        for f in between(rng, 110, 440) * np.exp(rng.normal(0, 0.006, 5))
    )
    vowel = VOWELS[rng.integers(7)]
    y = sum(decibels(-5 * index) * band(x, vowel[index], 8) for index in range(4))
    return y * rise(t, between(rng, 0.05, 0.5))


def vox_breath(rng):
    """Whispers, breaths, a beatboxer's mouth."""
    t = times(between(rng, 0.15, 0.8))
    vowel = VOWELS[rng.integers(7)]
    x = sum(decibels(-4 * index) * band(noise(len(t), rng), vowel[index], 4) for index in range(4))
    return x * bump(t, between(rng, 0.01, 0.2), between(rng, 0.15, 0.8))


# Noises and effects.


def noise_burst(rng):
    t = times(between(rng, 0.2, 1.4))
    x = noise(len(t), rng, uniform(rng, -7, 2))
    if chance(rng, 0.5):
        x = band(x, between(rng, 300, 8000), uniform(rng, 0.3, 3))
    return x * (
        gate(t, t[-1] * 0.95, 0.02) if chance(rng, 0.5) else bump(t, between(rng, 0.03, 0.5), between(rng, 0.3, 2))
    )


def noise_steady(rng):
    t = times(between(rng, 0.3, 1.6))
    x = noise(len(t), rng, uniform(rng, -8, 1)) * (
        1 + uniform(rng, 0, 0.8) * normalised(low(noise(len(t), rng), between(rng, 2, 30)))
    )
    return x * gate(t, t[-1] - 0.01)


def noise_crackle(rng):
    """Vinyl, fire, a bad contact."""
    t = times(between(rng, 0.5, 1.6))
    x = collisions(
        t,
        rng,
        between(rng, 5, 200),
        between(rng, 0.001, 0.005),
        [(between(rng, 1500, 7000), 0.7, 1.0)],
        np.ones(len(t)),
    )
    return normalised(x) + decibels(uniform(rng, -50, -20)) * noise(len(t), rng, -4)


def noise_chip(rng):
    t = times(between(rng, 0.2, 1.2))
    return register_noise(t, between(rng, 1500, 44000), chance(rng, 0.3)) * gate(t, t[-1] * 0.95, 0.01)


def fx_zap(rng):
    length = between(rng, 0.08, 0.9)
    t = times(length)
    f = glide(t, between(rng, 1500, 9000), between(rng, 50, 600), length * uniform(rng, 0.3, 1))
    if chance(rng, 0.3):
        f = f[::-1]
    return wave(phase(f), rng.choice(["sine", "saw", "square", "triangle"])) * decay(t, length * uniform(rng, 1, 3))


def fx_sweep(rng):
    """Noise or a chord of saws through a filter that moves."""
    t = times(between(rng, 0.4, 1.6))
    source = (
        noise(len(t), rng)
        if chance(rng, 0.5)
        else sum(wave(t * f, "saw") for f in between(rng, 60, 500) * rng.uniform(0.99, 1.5, 4))
    )
    bands = np.geomspace(between(rng, 100, 400), between(rng, 3000, 9000), 6)
    place = np.linspace(0, 5, len(t)) if chance(rng, 0.5) else np.linspace(5, 0, len(t))
    x = sum(band(source, f, 2.0) * np.maximum(1 - np.abs(place - index), 0) for index, f in enumerate(bands))
    return x * np.interp(t, [0, t[-1] * 0.9, t[-1]], [uniform(rng, 0.1, 1), uniform(rng, 0.3, 1), 0])


def fx_impact(rng):
    """Cinematic: a boom in a hall."""
    t = times(LONGEST_SEC)
    f = between(rng, 28, 90)
    boom = np.sin(2 * np.pi * phase(glide(t, f * uniform(rng, 1, 4), f, between(rng, 0.05, 0.5)))) * decay(
        t, between(rng, 0.6, 3)
    )
    hit = wash(t, rng, [80, 300, 1200, 5000], rng.uniform([-6, -8, -14, -24], [2, 2, 0, -6]), rng.uniform(0.2, 2.5, 4))
    return room(
        normalised(boom) + uniform(rng, 0.1, 1) * normalised(hit),
        response(rng, between(rng, 0.5, 1.2), 3000),
        uniform(rng, -8, 2),
    )


def fx_robot(rng):
    """Computer talk: steps, rings, wobbles."""
    t = times(between(rng, 0.2, 1.4))
    steps = between(rng, 8, 60)
    f = between(rng, 100, 1500) * 2 ** rng.normal(0, 0.7, int(t[-1] * steps) + 2)[(t * steps).astype(int)]
    x = wave(phase(f), rng.choice(["square", "sine", "saw"]))
    if chance(rng, 0.4):
        x = x * np.sin(2 * np.pi * t * between(rng, 20, 900))
    return x * (decay(t, between(rng, 0.3, 2)) if chance(rng, 0.6) else gate(t, t[-1] * 0.95, 0.02))


def fx_drone(rng):
    t = times(between(rng, 0.6, 1.6))
    f = between(rng, 40, 400)
    x = fm(
        t,
        f * (1 + uniform(rng, 0, 0.2) * np.sin(2 * np.pi * t * between(rng, 0.5, 12))),
        uniform(rng, 0.3, 4),
        uniform(rng, 0, 6) * np.abs(np.sin(2 * np.pi * t * between(rng, 0.2, 8))),
    )
    return x * rise(t, between(rng, 0.01, 0.6)) * gate(t, t[-1] * 0.9, 0.08)
