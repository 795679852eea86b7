"""Generators of kicks, toms, snares, rims and claps. Each draws its own parameters."""

import numpy as np

from synth_blocks import (
    RATE,
    add,
    air,
    band,
    between,
    chance,
    clip,
    crack,
    crush,
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
    peak,
    phase,
    register_noise,
    response,
    rise,
    room,
    saturate,
    skin,
    stepped,
    tick,
    times,
    uniform,
    wash,
    wave,
)

# Kicks: a strong low fundamental, reached fast.


def kick_analogue(rng):
    end, t60 = between(rng, 36, 66), between(rng, 0.15, 0.9)
    t = times(t60 * 0.9)
    frequency = glide(t, end * between(rng, 1.5, 7), end, between(rng, 0.008, 0.09))
    x = wave(phase(frequency), "triangle" if chance(rng, 0.25) else "sine") * decay(t, t60)
    if chance(rng, 0.5):
        x = saturate(x, between(rng, 1, 4))
    if chance(rng, 0.7):
        x += decibels(uniform(rng, -32, -8)) * tick(
            t, rng, between(rng, 400, 6000), between(rng, 0.003, 0.04), uniform(rng, 0.3, 1)
        )
    return low(x, between(rng, 600, 16000)) if chance(rng, 0.4) else x


def kick_long(rng):
    """A resonator hit by a pulse that rings for long, as in 1980, and what became of it in trap."""
    end, t60 = between(rng, 32, 62), between(rng, 0.6, 3.0)
    t = times(t60)
    frequency = glide(t, end * uniform(rng, 1.0, 2.6), end, between(rng, 0.01, 0.08))
    frequency *= 1 - uniform(rng, 0, 0.12) * t / t[-1]
    x = np.sin(2 * np.pi * phase(frequency)) * decay(t, t60) * rise(t, uniform(rng, 0.0, 0.004))
    x += decibels(uniform(rng, -40, -14)) * tick(t, rng, between(rng, 300, 4000), between(rng, 0.002, 0.01))
    if chance(rng, 0.55):
        x = saturate(normalised(x), between(rng, 1.2, 8))
        x = low(x, between(rng, 300, 6000))
    if chance(rng, 0.5):
        length = between(rng, 0.2, 1.2)
        x *= gate(t, length, 0.05)
    return x


def kick_acoustic(rng):
    frequency, t60 = between(rng, 42, 78), between(rng, 0.15, 0.9)
    t = times(between(rng, 0.25, 1.2))
    x = skin(
        t,
        rng,
        frequency,
        t60,
        bend=uniform(rng, 0.05, 0.6),
        bend_sec=between(rng, 0.015, 0.08),
        damping=uniform(rng, 0.6, 1.6),
        slope=uniform(rng, 0.9, 2.6),
    )
    x *= rise(t, between(rng, 0.001, 0.008))
    beater = tick(t, rng, between(rng, 1200, 5500), between(rng, 0.004, 0.03), uniform(rng, 0.5, 1.5))
    x = normalised(x) + decibels(uniform(rng, -34, -8)) * beater
    # The shell, the other head and the air of the room.
    thud = wash(
        t,
        rng,
        [60, 150, 400, 1500, 5000],
        rng.uniform([-8, -10, -22, -30, -42], [0, -2, -8, -16, -26]),
        rng.uniform(0.05, 0.35, 5),
    )
    x += decibels(uniform(rng, -30, -13)) * normalised(thud)
    x += decibels(uniform(rng, -26, -2)) * crack(t, rng, between(rng, 0.03, 0.16), uniform(rng, -5, -1))
    x += air(t, rng, between(rng, 0.15, 1.0), uniform(rng, -44, -16))
    if chance(rng, 0.4):
        x = peak(x, between(rng, 250, 600), -uniform(rng, 3, 14), 0.8)
    return x


def kick_layered(rng):
    """As sold today: a sub, a punch, a click, all squeezed."""
    x = kick_analogue(rng)
    t = np.arange(len(x)) / RATE
    punch = np.sin(2 * np.pi * phase(glide(t, between(rng, 180, 900), between(rng, 45, 75), between(rng, 0.02, 0.07))))
    x = normalised(x) + decibels(uniform(rng, -14, 0)) * punch * decay(t, between(rng, 0.05, 0.2))
    top = high(noise(len(t), rng), between(rng, 1500, 7000)) * decay(t, between(rng, 0.01, 0.08))
    x += decibels(uniform(rng, -36, -14)) * normalised(top)
    x = normalised(x)
    return clip(x, between(rng, 1, 5)) if chance(rng, 0.4) else saturate(x, between(rng, 1, 7))


def kick_distorted(rng):
    """Hard dance kicks: a long sweep, clipped and filtered."""
    end, t60 = between(rng, 38, 68), between(rng, 0.4, 1.4)
    t = times(between(rng, 0.2, 0.7))
    x = np.sin(2 * np.pi * phase(glide(t, between(rng, 300, 1500), end, between(rng, 0.04, 0.16)))) * decay(t, t60)
    x = clip(x, between(rng, 2, 15)) if chance(rng, 0.5) else saturate(x, between(rng, 2, 15))
    x = low(x, between(rng, 250, 5000), uniform(rng, 0.6, 1.4))
    return x * gate(t, t[-1] * uniform(rng, 0.7, 0.95), 0.03)


def kick_fm(rng):
    end, t60 = between(rng, 38, 68), between(rng, 0.12, 0.8)
    t = times(t60)
    carrier = glide(t, end * between(rng, 1.2, 5), end, between(rng, 0.01, 0.1))
    index = between(rng, 0.3, 6) * decay(t, between(rng, 0.02, 0.3))
    return fm(t, carrier, rng.choice([0.5, 1, 1.41, 2, 3.5]), index, uniform(rng, 0, 1)) * decay(t, t60)


def kick_chip(rng):
    length = between(rng, 0.08, 0.35)
    t = times(length)
    frequency = glide(t, between(rng, 150, 600), between(rng, 30, 62), length * uniform(rng, 0.3, 1.2))
    if chance(rng, 0.6):
        frequency = frequency[(np.floor(t * 60) / 60 * RATE).astype(int)]
    x = wave(phase(frequency), rng.choice(["square", "triangle", "triangle"])) * stepped(t, decay(t, length * 1.5))
    return low(x, between(rng, 500, 8000)) if chance(rng, 0.5) else x


def kick_boomy(rng):
    """A concert or an undamped bass drum: low skins, a soft beater, a long tail."""
    t = times(between(rng, 0.6, 1.6))
    x = skin(
        t,
        rng,
        between(rng, 38, 66),
        between(rng, 0.5, 1.8),
        bend=uniform(rng, 0, 0.15),
        bend_sec=between(rng, 0.05, 0.2),
        damping=uniform(rng, 0.8, 1.6),
        slope=uniform(rng, 1.6, 2.5),
    )
    x = normalised(x) * rise(t, between(rng, 0.002, 0.015))
    return (
        x
        + decibels(uniform(rng, -32, -10)) * crack(t, rng, between(rng, 0.04, 0.3), uniform(rng, -7, -3))
        + air(t, rng, between(rng, 0.3, 1.5), uniform(rng, -50, -22))
    )


# Toms: higher, a smaller and slower bend, a tail that keeps its pitch.


def tom_analogue(rng):
    frequency, t60 = between(rng, 68, 215), between(rng, 0.2, 2.2)
    t = times(t60 * uniform(rng, 0.7, 1))
    f = glide(t, frequency * uniform(rng, 1.02, 1.6), frequency, between(rng, 0.04, 0.35))
    x = wave(phase(f), "triangle" if chance(rng, 0.2) else "sine") * decay(t, t60)
    if chance(rng, 0.6):
        rumble = low(noise(len(t), rng), between(rng, 400, 2500))
        x += decibels(uniform(rng, -32, -12)) * normalised(rumble) * decay(t, t60 * uniform(rng, 0.4, 1.2))
    if chance(rng, 0.6):
        x += decibels(uniform(rng, -30, -8)) * tick(
            t, rng, between(rng, 400, 5000), between(rng, 0.003, 0.04), uniform(rng, 0.3, 1)
        )
    return saturate(normalised(x), between(rng, 1, 3)) if chance(rng, 0.3) else x


def tom_sweeping(rng):
    """Electronic toms of the hexagonal kind: a deep sweep, noise, a click."""
    frequency, t60 = between(rng, 66, 190), between(rng, 0.3, 2.2)
    t = times(t60)
    f = glide(t, frequency * uniform(rng, 1.5, 3.5), frequency, between(rng, 0.12, 0.7))
    x = wave(phase(f), rng.choice(["sine", "triangle"])) * decay(t, t60)
    hiss = low(noise(len(t), rng), between(rng, 800, 6000)) * decay(t, t60 * uniform(rng, 0.1, 0.8))
    x += decibels(uniform(rng, -30, -6)) * normalised(hiss)
    return x + decibels(uniform(rng, -26, -8)) * tick(t, rng, between(rng, 1000, 6000), between(rng, 0.003, 0.02))


def tom_acoustic(rng):
    frequency, t60 = between(rng, 64, 205), between(rng, 0.5, 6.0)
    t = times(between(rng, 0.6, 1.6))
    strike = dict(damping=uniform(rng, 0.6, 1.6), slope=uniform(rng, 1.0, 2.6))
    bend, bend_sec = uniform(rng, 0, 0.16), between(rng, 0.04, 0.25)
    x = skin(t, rng, frequency, t60, bend, bend_sec, **strike)
    if chance(rng, 0.6):
        # The other head, tuned apart: the beating that is a tom's tail.
        x += uniform(rng, 0.2, 0.8) * skin(
            t, rng, frequency * uniform(rng, 1.02, 1.5), t60 * uniform(rng, 0.5, 1.1), bend, bend_sec, **strike
        )
    stick = tick(t, rng, between(rng, 700, 5500), between(rng, 0.006, 0.05), uniform(rng, 0.4, 1.2))
    x = normalised(x) * rise(t, between(rng, 0.0005, 0.006)) + decibels(uniform(rng, -34, -10)) * stick
    x += decibels(uniform(rng, -26, -3)) * crack(t, rng, between(rng, 0.05, 0.3), uniform(rng, -5, -1.5))
    if chance(rng, 0.35):
        # Snare wires humming along.
        wires = wash(t, rng, [300, 1500, 4000, 9000], [-12, -4, 0, -6], rng.uniform(0.3, 1.2, 4))
        x += decibels(uniform(rng, -46, -22)) * normalised(wires)
    x += air(t, rng, between(rng, 0.3, 1.8), uniform(rng, -54, -24))
    if chance(rng, 0.25):
        x *= gate(t, between(rng, 0.2, 0.9), between(rng, 0.05, 0.2))
    return x


def tom_fm(rng):
    frequency, t60 = between(rng, 68, 220), between(rng, 0.2, 2.0)
    t = times(t60)
    f = glide(t, frequency * uniform(rng, 1.0, 1.8), frequency, between(rng, 0.05, 0.4))
    index = between(rng, 0.2, 5) * decay(t, between(rng, 0.03, 0.5))
    return fm(t, f, rng.choice([0.5, 1, 1.41, 1.59, 2, 2.7]), index, uniform(rng, 0, 1)) * decay(t, t60)


def tom_chip(rng):
    length = between(rng, 0.12, 0.5)
    t = times(length)
    start = between(rng, 160, 420)
    f = glide(t, start, start * uniform(rng, 0.35, 0.8), length * uniform(rng, 0.6, 2))
    x = wave(phase(np.maximum(f, 70)), rng.choice(["triangle", "triangle", "square"]))
    return x * stepped(t, decay(t, length * uniform(rng, 1, 2.5)))


# Snares: a body and rattling noise.


def snare_acoustic(rng):
    frequency = between(rng, 140, 330)
    t = times(between(rng, 0.2, 1.2))
    body = skin(
        t,
        rng,
        frequency,
        between(rng, 0.12, 1.1),
        bend=uniform(rng, 0, 0.15),
        bend_sec=between(rng, 0.01, 0.06),
        damping=uniform(rng, 0.2, 1.2),
        slope=uniform(rng, 0.6, 1.9),
    )
    wire_t60 = between(rng, 0.1, 0.9)
    wires = wash(
        t,
        rng,
        [200, 700, 2000, 5000, 11000],
        rng.uniform([-14, -9, -5, -7, -18], [-3, 0, 2, 1, -4]),
        wire_t60 * np.array([1.2, 1.1, 1, 0.8, 0.55]) * rng.uniform(0.6, 1.3, 5),
        np.full(5, between(rng, 0.001, 0.025)),
    )
    stick = tick(t, rng, between(rng, 1500, 7000), between(rng, 0.004, 0.03), 0.5)
    x = (
        normalised(body)
        + decibels(uniform(rng, -30, -7)) * normalised(wires)
        + decibels(uniform(rng, -32, -12)) * stick
    )
    x += decibels(uniform(rng, -28, -8)) * crack(t, rng, between(rng, 0.05, 0.25), uniform(rng, -5, -1))
    if chance(rng, 0.35):
        # A ring of the shell or of an undamped head.
        ring = modes(t, frequency * rng.uniform(1.5, 5, 3), rng.uniform(0.2, 1, 3), rng.uniform(0.15, 0.7, 3), rng)
        x += decibels(uniform(rng, -30, -10)) * normalised(ring)
    return x + air(t, rng, between(rng, 0.3, 1.2), uniform(rng, -42, -18))


def snare_two_tones(rng):
    """Two bridged oscillators and high-passed noise."""
    first = between(rng, 130, 260)
    second = first * uniform(rng, 1.4, 2.1)
    t60, snappy = between(rng, 0.08, 0.5), between(rng, 0.08, 0.7)
    t = times(max(t60, snappy) * uniform(rng, 0.8, 1.1))
    body = modes(t, [first, second], [1, uniform(rng, 0.2, 1.1)], [t60, t60 * uniform(rng, 0.4, 1)])
    hiss = high(noise(len(t), rng), between(rng, 700, 5000)) * decay(t, snappy)
    if chance(rng, 0.4):
        hiss = low(hiss, between(rng, 5000, 14000))
    return normalised(body) + decibels(uniform(rng, -28, -2)) * normalised(hiss)


def snare_swept(rng):
    """Two triangles with a fast sweep, and two noises of different length."""
    first = between(rng, 120, 240)
    t = times(between(rng, 0.15, 0.55))
    sweep = glide(t, uniform(rng, 1.2, 3.0), 1, between(rng, 0.01, 0.08))
    body = wave(phase(first * sweep), "triangle") * decay(t, between(rng, 0.08, 0.4))
    body += (
        uniform(rng, 0, 1)
        * wave(phase(first * uniform(rng, 1.4, 1.9) * sweep), "triangle")
        * decay(t, between(rng, 0.05, 0.2))
    )
    hiss = noise(len(t), rng)
    bright = high(hiss, between(rng, 800, 5000)) * decay(t, between(rng, 0.12, 0.7))
    dark = low(hiss, between(rng, 2000, 9000)) * decay(t, between(rng, 0.05, 0.25))
    hiss = normalised(bright) * uniform(rng, 0.2, 1) + normalised(dark) * uniform(rng, 0.2, 1)
    return normalised(low(body, 6000)) + decibels(uniform(rng, -24, -2)) * normalised(hiss)


def snare_thin(rng):
    """Short and bright, with just some body: rhythm boxes, breakbeats, trap."""
    t = times(between(rng, 0.08, 0.35))
    t60 = between(rng, 0.06, 0.3)
    hiss = band(noise(len(t), rng), between(rng, 1500, 6000), uniform(rng, 0.25, 0.9)) * decay(t, t60)
    frequency = between(rng, 160, 420)
    body = np.sin(2 * np.pi * phase(glide(t, frequency * uniform(rng, 1, 2), frequency, 0.03))) * decay(
        t, between(rng, 0.04, 0.16)
    )
    return normalised(hiss) + decibels(uniform(rng, -14, 2)) * body


def snare_layered(rng):
    """A snare over a snare or a clap, squeezed, in a gated room."""
    x = normalised(snare_acoustic(rng) if chance(rng, 0.5) else snare_two_tones(rng))
    other = snare_swept(rng) if chance(rng, 0.6) else clap_analogue(rng)
    x = normalised(add(x, decibels(uniform(rng, -14, -2)) * normalised(other), uniform(rng, 0, 0.008)))
    if chance(rng, 0.6):
        x = room(x, response(rng, between(rng, 0.15, 0.9), between(rng, 3000, 12000)), uniform(rng, -14, -2))
        x *= gate(np.arange(len(x)) / RATE, between(rng, 0.12, 0.6), 0.04)
    return saturate(normalised(x), between(rng, 1, 5))


def snare_fm(rng):
    frequency = between(rng, 130, 300)
    t = times(between(rng, 0.15, 0.5))
    carrier = glide(t, frequency * uniform(rng, 1, 2), frequency, 0.04)
    body = fm(t, carrier, uniform(rng, 0.5, 2.8), between(rng, 0.5, 5) * decay(t, between(rng, 0.05, 0.3)))
    body *= decay(t, between(rng, 0.08, 0.35))
    rough = fm(t, between(rng, 400, 3500), uniform(rng, 5.1, 13.7), between(rng, 8, 60), 3.0)
    rough = (rough if chance(rng, 0.5) else noise(len(t), rng)) * decay(t, between(rng, 0.08, 0.4))
    return normalised(body) + decibels(uniform(rng, -24, 0)) * normalised(rough)


def snare_chip(rng):
    length = between(rng, 0.1, 0.4)
    t = times(length)
    clock = between(rng, 5000, 30000)
    x = register_noise(t, glide(t, clock, clock * uniform(rng, 0.4, 1.2), length), start=int(rng.integers(30000)))
    x = x * stepped(t, decay(t, length * uniform(rng, 1, 2)))
    body = between(rng, 120, 320)
    tone = wave(phase(glide(t, body * uniform(rng, 1, 2.5), body, 0.06)), rng.choice(["triangle", "square"]))
    return x + uniform(rng, 0.3, 1.3) * tone * stepped(t, decay(t, between(rng, 0.06, 0.25)))


def snare_brush(rng):
    """A soft hit or a brush: the wires louder than the head, without an edge."""
    t = times(between(rng, 0.2, 0.6))
    attack = between(rng, 0.004, 0.03)
    wires = wash(
        t,
        rng,
        [250, 900, 2500, 6000, 11000],
        rng.uniform([-14, -8, -3, -3, -12], [-6, 0, 2, 2, -2]),
        between(rng, 0.12, 0.5) * rng.uniform(0.6, 1.2, 5),
        np.full(5, attack),
    )
    body = skin(t, rng, between(rng, 150, 260), between(rng, 0.08, 0.3), slope=1.9) * rise(t, attack / 2)
    return (
        normalised(wires)
        + decibels(uniform(rng, -8, 12)) * normalised(body)
        + air(t, rng, between(rng, 0.2, 0.8), uniform(rng, -40, -20))
    )


# Rims: a stick across the rim, or a hit of head and rim at once.


def rim_side_stick(rng):
    """Modes of the stick and the rim, the drum under it, its wires."""
    t = times(between(rng, 0.15, 1.4))
    count = int(rng.integers(6, 16))
    first = between(rng, 150, 1400)
    frequencies = first * np.concatenate([[1], 1 + rng.exponential(2.5, count - 1)])
    t60s = between(rng, 0.05, 0.4) * rng.uniform(0.4, 1.2, count)
    x = normalised(modes(t, frequencies, decibels(rng.normal(-3, 5, count)), t60s, rng))
    x += decibels(uniform(rng, -6, 10)) * crack(t, rng, between(rng, 0.06, 0.3), uniform(rng, -3, 1.5))
    if chance(rng, 0.8):
        head = skin(t, rng, between(rng, 130, 280), between(rng, 0.08, 0.45), slope=uniform(rng, 0.8, 2.2))
        x += decibels(uniform(rng, -18, 6)) * normalised(head)
    if chance(rng, 0.5):
        wires = wash(t, rng, [500, 2000, 6000], [-6, 0, -4], rng.uniform(0.05, 0.4, 3))
        x += decibels(uniform(rng, -38, -16)) * normalised(wires)
    return x + air(t, rng, between(rng, 0.4, 2.0), uniform(rng, -40, -14))


def rim_electronic(rng):
    """Two short resonators through distortion."""
    t = times(between(rng, 0.03, 0.15))
    a = between(rng, 220, 700)
    b = between(rng, 1200, 2400)
    x = modes(t, [a, b], [uniform(rng, 0.3, 1), 1], [between(rng, 0.02, 0.2), between(rng, 0.015, 0.14)], rng)
    x = saturate(normalised(x), between(rng, 1, 8))
    if chance(rng, 0.5):
        x = high(x, between(rng, 150, 700))
    return x + decibels(uniform(rng, -30, -10)) * tick(t, rng, between(rng, 2000, 8000), between(rng, 0.002, 0.01))


def rim_pulse(rng):
    t = times(between(rng, 0.03, 0.12))
    f = between(rng, 380, 1700)
    x = wave(phase(glide(t, f * uniform(rng, 1, 1.6), f, 0.01)), rng.choice(["square", "triangle", "pulse"])) * decay(
        t, between(rng, 0.03, 0.15)
    )
    return band(x, f * uniform(rng, 1, 3), uniform(rng, 0.5, 2)) + 0.2 * tick(t, rng, between(rng, 2000, 6000), 0.006)


def rim_shot(rng):
    """Head and rim at once: a crack with a high ring."""
    t = times(between(rng, 0.15, 0.6))
    f = between(rng, 180, 330)
    ring = modes(
        t,
        f * np.array([1, 2.1, 2.9, 4.3, 5.9]) * np.exp(rng.normal(0, 0.06, 5)),
        [0.9, 0.8, 1, 0.7, 0.4] * rng.uniform(0.3, 1, 5),
        between(rng, 0.1, 0.5) * rng.uniform(0.5, 1.2, 5),
        rng,
    )
    wires = wash(t, rng, [300, 1000, 3000, 8000], rng.normal([-6, -2, 0, -6], 3), rng.uniform(0.08, 0.4, 4))
    x = (
        normalised(ring)
        + decibels(uniform(rng, -8, 5)) * crack(t, rng, between(rng, 0.06, 0.3), uniform(rng, -3, 1))
        + decibels(uniform(rng, -24, -2)) * normalised(wires)
    )
    return x + air(t, rng, between(rng, 0.3, 1.5), uniform(rng, -38, -14))


# Claps: several bursts, then a tail.


def bursts(t, rng, count, apart, t60, tail_t60):
    """The envelope of some hands that are not quite together."""
    envelope = np.zeros(len(t))
    at = 0.0
    for index in range(count):
        last = index == count - 1
        later = np.maximum(t - at, 0)
        envelope = np.maximum(envelope, (t >= at) * decay(later, tail_t60 if last else t60) * uniform(rng, 0.6, 1))
        at += apart * uniform(rng, 0.8, 1.25)
    return envelope


def clap_analogue(rng):
    tail = between(rng, 0.08, 0.5)
    t = times(between(rng, 0.15, 0.6))
    envelope = bursts(t, rng, int(rng.integers(2, 6)), between(rng, 0.006, 0.016), between(rng, 0.012, 0.05), tail)
    x = band(noise(len(t), rng), between(rng, 800, 2000), uniform(rng, 0.7, 3)) * envelope
    if chance(rng, 0.6):
        x = normalised(x) + decibels(uniform(rng, -24, -8)) * normalised(
            high(noise(len(t), rng), between(rng, 1500, 5000)) * envelope
        )
    return x


def clap_hands(rng):
    """One or many pairs of hands: resonances of cupped palms, each pair its own, in a room."""
    t = times(between(rng, 0.12, 0.4))
    x = np.zeros(len(t))
    people = int(rng.integers(1, 7))
    spread = between(rng, 0.004, 0.03)
    for _ in range(people):
        hand = band(noise(2600, rng), between(rng, 600, 2600), uniform(rng, 0.7, 2.5)) * decay(
            np.arange(2600) / RATE, between(rng, 0.015, 0.06)
        )
        x = add(x, normalised(hand) * uniform(rng, 0.5, 1), abs(rng.normal(0, spread)) if people > 1 else 0.0)[: len(t)]
    x = x + decibels(uniform(rng, -26, -8)) * normalised(high(noise(len(x), rng), 1500) * np.abs(x))
    if chance(rng, 0.7):
        x = room(x, response(rng, between(rng, 0.15, 0.8), between(rng, 2500, 10000)), uniform(rng, -16, -3))
    return x


def clap_noise(rng):
    """Modern: bright and wide, a snare's length, bursts hardly heard."""
    t = times(between(rng, 0.12, 0.5))
    envelope = bursts(
        t, rng, int(rng.integers(2, 8)), between(rng, 0.003, 0.012), between(rng, 0.01, 0.03), between(rng, 0.07, 0.35)
    )
    x = high(low(noise(len(t), rng), between(rng, 3500, 12000)), between(rng, 500, 1300))
    x = peak(x, between(rng, 900, 2200), uniform(rng, 3, 14), 1.2) * envelope
    return saturate(normalised(x), between(rng, 1, 5))


def clap_digital(rng):
    x = normalised(clap_analogue(rng))
    return crush(x, int(rng.integers(5, 9))) if chance(rng, 0.5) else x * (1 + 0.5 * np.sign(x))
