"""Generators of hi-hats and cymbals. Each draws its own parameters."""

import numpy as np

from synth_blocks import (
    LONGEST_SEC,
    RATE,
    air,
    band,
    between,
    between_many,
    chance,
    collisions,
    crack,
    decay,
    decibels,
    fm,
    gate,
    high,
    low,
    modes,
    noise,
    normalised,
    peak,
    plate,
    register_noise,
    rise,
    saturate,
    stepped,
    tick,
    times,
    uniform,
    wash,
    wave,
)

# The six square oscillators of the cymbal circuit of 1980, in Hz (its service notes).
SIX_SQUARES = np.array([205.3, 304.4, 369.6, 522.7, 540.0, 800.0])


def squares(t, rng):
    frequencies = SIX_SQUARES * between(rng, 0.7, 1.8) * np.exp(rng.normal(0, uniform(rng, 0, 0.15), 6))
    if chance(rng, 0.3):
        frequencies = frequencies * between(rng, 1.5, 4)
    return sum(wave(t * f + rng.random(), "square") for f in frequencies)


def metal_source(t, rng):
    """What an electronic hat or cymbal is cut out of."""
    kind = rng.integers(5)
    if kind == 0:
        return noise(len(t), rng, uniform(rng, -1, 3))
    if kind == 1:
        return fm(t, between(rng, 300, 6000), uniform(rng, 1.2, 9.7), between(rng, 2, 60), uniform(rng, 0, 4))
    if kind == 2:
        a = squares(t, rng)
        return a * squares(t, rng) + a
    return squares(t, rng)


# Hi-hats.


def hat_envelope(t, rng, kind):
    """Closed, pedal or open."""
    if kind == "open":
        t60 = between(rng, 0.4, 3)
        envelope = decay(t, t60)
        if chance(rng, 0.4):
            envelope = envelope * gate(t, between(rng, 0.15, 0.8), between(rng, 0.01, 0.08))
        return envelope
    t60 = between(rng, 0.06, 0.65)
    envelope = decay(t, t60)
    if chance(rng, 0.4):
        envelope = envelope + decibels(uniform(rng, -30, -12)) * decay(t, t60 * uniform(rng, 2, 4))
    if kind == "pedal":
        envelope = envelope * rise(t, between(rng, 0.004, 0.02))
    return envelope


def hat_kind(rng):
    return rng.choice(["closed", "closed", "pedal", "open"])


def hat_time(rng, kind):
    return times(between(rng, 0.4, 1.6) if kind == "open" else between(rng, 0.08, 0.8))


def hat_squares(rng):
    kind = hat_kind(rng)
    t = hat_time(rng, kind)
    x = high(band(squares(t, rng), between(rng, 4500, 10000), uniform(rng, 0.5, 1.6)), between(rng, 2500, 7500))
    return high(x, between(rng, 800, 7000)) * hat_envelope(t, rng, "closed" if kind == "pedal" else kind)


def hat_electronic(rng):
    kind = hat_kind(rng)
    t = hat_time(rng, kind)
    x = high(high(metal_source(t, rng), between(rng, 1500, 8000)), between(rng, 400, 6000))
    if chance(rng, 0.4):
        x = peak(x, between(rng, 4000, 12000), uniform(rng, 4, 15), uniform(rng, 0.7, 3))
    x = x * hat_envelope(t, rng, "closed" if kind == "pedal" else kind)
    if chance(rng, 0.5):
        # Sampled, with what else was in the room or in the layer below.
        x = normalised(x) + decibels(uniform(rng, -28, -4)) * crack(
            t, rng, between(rng, 0.04, 0.3), uniform(rng, -4, 1)
        )
    return x


def hat_noise(rng):
    kind = hat_kind(rng)
    t = hat_time(rng, kind)
    x = high(noise(len(t), rng, uniform(rng, -3, 2)), between(rng, 1500, 8000))
    if chance(rng, 0.4):
        x = high(x, between(rng, 1500, 7000), uniform(rng, 0.6, 2))
    if chance(rng, 0.4):
        x = low(x, between(rng, 7000, 14000))
    x = x * hat_envelope(t, rng, kind)
    if chance(rng, 0.4):
        x = normalised(x) + decibels(uniform(rng, -28, -6)) * crack(
            t, rng, between(rng, 0.04, 0.3), uniform(rng, -4, 1)
        )
    return x


def hat_acoustic(rng):
    """Two small cymbals: a clank of low modes, dense noise above, the top gone first."""
    kind = hat_kind(rng)
    t = hat_time(rng, kind)
    longest = between(rng, 0.5, 3.5) if kind == "open" else between(rng, 0.09, 0.75)
    attack = between(rng, 0.004, 0.03) if kind == "pedal" else 0.0
    centres = np.array([120, 350, 1000, 2800, 5500, 9000, 14000])
    gains = (
        np.array([-30, -22, -14, -7, 0, 2, 0])
        + rng.normal(0, 4, 7)
        + uniform(rng, -9, 9) * np.array([1, 1, 0.8, 0.5, 0, -0.3, -0.5])
    )
    t60s = longest * np.array([1.8, 1.4, 1.1, 1.1, 1, 0.9, 0.75]) * rng.uniform(0.75, 1.25, 7)
    x = normalised(wash(t, rng, centres, gains, t60s, np.full(7, attack)))
    ring = plate(
        t,
        rng,
        between(rng, 250, 3500),
        15500,
        130,
        longest * uniform(rng, 0.7, 1.5),
        uniform(rng, 0, 0.3),
        uniform(rng, -1.5, 3),
        8,
    )
    x += decibels(uniform(rng, -14, 4)) * normalised(ring) * (rise(t, attack) if attack else 1)
    stick = decibels(uniform(rng, -24, -4)) * tick(t, rng, between(rng, 3000, 9000), between(rng, 0.003, 0.012), 0.6)
    x = x + (stick if kind != "pedal" else 0.3 * stick)
    if kind == "open" and chance(rng, 0.4):
        # The cymbals rattle against each other.
        x *= 1 + uniform(rng, 0.1, 0.6) * normalised(low(noise(len(t), rng), between(rng, 20, 90)))
    if kind != "pedal" or chance(rng, 0.5):
        x += decibels(uniform(rng, -16, 3)) * crack(t, rng, between(rng, 0.05, 0.25), uniform(rng, -2, 2))
    if chance(rng, 0.6):
        # The low modes of the cymbals, the stand: what little body real hats have.
        body = modes(
            t,
            between_many(rng, 150, 1200, 8),
            decibels(rng.normal(0, 6, 8)),
            between(rng, 0.05, 0.5) * rng.uniform(0.5, 1.3, 8),
            rng,
        )
        x += decibels(uniform(rng, -34, -8)) * normalised(body)
    x += air(t, rng, between(rng, 0.15, 1.2), uniform(rng, -50, -20))
    return high(x, between(rng, 150, 3000)) if chance(rng, 0.25) else x


def hat_chip(rng):
    length = between(rng, 0.02, 0.3)
    t = times(length)
    short = chance(rng, 0.35)
    x = register_noise(
        t, between(rng, 35000, 220000) if short else between(rng, 22000, 60000), short, int(rng.integers(30000))
    )
    x = high(x, between(rng, 2500, 7000)) if chance(rng, 0.7) else x
    return x * stepped(t, decay(t, length * uniform(rng, 0.7, 2)))


def hat_open_long(rng):
    """Open and left open, up to a wash."""
    t = times(between(rng, 0.8, 1.6))
    gains = np.array([-30, -20, -6, 0, 0, -5]) + rng.normal(0, 4, 6)
    x = wash(t, rng, [250, 700, 2500, 6000, 9500, 14000], gains, between(rng, 1.2, 6) * rng.uniform(0.7, 1.2, 6))
    ring = plate(t, rng, between(rng, 300, 900), 15000, 150, between(rng, 1, 6), 0.15, uniform(rng, -1, 2.5), 8)
    x = normalised(x) + decibels(uniform(rng, -10, 4)) * normalised(ring)
    return x + decibels(uniform(rng, -20, -2)) * tick(t, rng, between(rng, 3000, 9000), between(rng, 0.005, 0.03), 0.5)


# Cymbals.


def cymbal_body(t, rng, t60, lowest, brightness, bloom, count=150, clang=-12.0):
    """The parts that all thin cymbals have: dense modes of which some stand out, and noise that wanders up in frequency
    before it fades, the top first. brightness in dB an octave; bloom the time the top takes to come."""
    centres = np.array([100, 300, 800, 2000, 4500, 8000, 13000])
    gains = brightness * np.log2(centres / 2000) + np.array([-20, -8, -5, -2, 0, -1, -7]) + rng.normal(0, 3, 7)
    t60s = t60 * np.array([1.6, 1.6, 1.4, 1.2, 1.0, 0.8, 0.5]) * rng.uniform(0.75, 1.25, 7)
    attacks = bloom * np.array([0.1, 0.1, 0.2, 0.5, 0.9, 1.0, 0.8])
    x = normalised(wash(t, rng, centres, gains, t60s, attacks))
    falling = uniform(rng, 0.15, 0.5)
    ring = plate(t, rng, lowest, 13000, count, t60 * uniform(rng, 0.8, 1.4), falling, brightness - 1.0, 9)
    ring = normalised(ring) + uniform(rng, 0.3, 1.5) * normalised(
        plate(t, rng, lowest * 0.7, 9000, 12, t60 * 1.3, falling, brightness, 5)
    )
    return high(x, lowest * uniform(rng, 0.1, 0.5)) + decibels(clang) * normalised(ring)


def crash_acoustic(rng):
    t = times(LONGEST_SEC)
    x = cymbal_body(
        t,
        rng,
        between(rng, 2.5, 10),
        between(rng, 200, 700),
        uniform(rng, -4, 0.5),
        between(rng, 0.008, 0.09),
        count=180,
        clang=uniform(rng, -2, 12),
    )
    burst = wash(
        t,
        rng,
        [1500, 4000, 8000, 13000],
        rng.uniform([-6, -3, -6, -12], [2, 2, 0, -3]),
        rng.uniform(0.2, 0.9, 4),
        np.full(4, between(rng, 0.001, 0.02)),
    )
    x = normalised(x) + decibels(uniform(rng, -14, 0)) * normalised(burst)
    return x + decibels(uniform(rng, -16, 2)) * crack(t, rng, between(rng, 0.1, 0.8), uniform(rng, -5, -2))


def crash_electronic(rng):
    t60 = between(rng, 1.2, 5)
    t = times(LONGEST_SEC)
    source = metal_source(t, rng)
    x = normalised(band(source, between(rng, 2000, 4800), 0.6)) * decay(t, t60)
    x += (
        uniform(rng, 0.3, 1.2)
        * normalised(high(source, between(rng, 5000, 9000)))
        * decay(t, t60 * uniform(rng, 0.4, 1))
        * rise(t, between(rng, 0.001, 0.05))
    )
    x += (
        uniform(rng, 0, 1)
        * normalised(high(noise(len(t), rng), between(rng, 1500, 6000)))
        * decay(t, t60 * uniform(rng, 0.3, 0.9))
    )
    return high(x, between(rng, 150, 1200))


def crash_noise(rng):
    t = times(LONGEST_SEC)
    x = band(noise(len(t), rng, uniform(rng, -3, 1)), between(rng, 2500, 7000), uniform(rng, 0.2, 0.8)) * decay(
        t, between(rng, 1.5, 6.0)
    )
    return high(x, between(rng, 150, 1200)) * rise(t, between(rng, 0.0005, 0.02))


def crash_chip(rng):
    length = between(rng, 0.6, 1.5)
    t = times(length)
    clock = between(rng, 9000, 40000)
    return register_noise(t, clock, False, int(rng.integers(30000))) * stepped(t, decay(t, length * uniform(rng, 1, 2)))


def ride_acoustic(rng):
    """A stick's ping over a wash that stays."""
    t = times(LONGEST_SEC)
    t60 = between(rng, 2.5, 10)
    lowest = between(rng, 180, 700)
    body = cymbal_body(
        t, rng, t60, lowest, uniform(rng, -3, 2.5), between(rng, 0.005, 0.05), clang=uniform(rng, -2, 12)
    )
    ping_t60 = between(rng, 0.08, 0.6)
    ping = plate(t, rng, between(rng, 1200, 3500), 12000, 40, ping_t60, 0.2, uniform(rng, -1, 2), 6)
    ping = normalised(ping) + uniform(rng, 0.2, 1.2) * tick(
        t, rng, between(rng, 3000, 8000), between(rng, 0.005, 0.04), 0.5
    )
    x = normalised(body) * decibels(uniform(rng, -16, -1)) + ping
    return x + decibels(uniform(rng, -18, -2)) * crack(t, rng, between(rng, 0.15, 2.0), uniform(rng, -4, 0))


def ride_bell(rng):
    """The cup: few strong modes."""
    t = times(LONGEST_SEC)
    f = between(rng, 380, 1100)
    count = 14
    ratios = np.sort(np.concatenate([[1], rng.uniform(1.3, 11, count - 1)]))
    cup = modes(t, f * ratios, rng.uniform(0.3, 1, count), between(rng, 0.8, 3.5) * ratios**-0.3, rng)
    body = cymbal_body(t, rng, between(rng, 2.5, 8), f * 0.8, uniform(rng, -1, 2), 0.01, clang=-6)
    ping = tick(t, rng, between(rng, 3000, 8000), between(rng, 0.005, 0.03), 0.5)
    return normalised(cup) + decibels(uniform(rng, -16, -3)) * normalised(body) + uniform(rng, 0.1, 0.7) * ping


def ride_electronic(rng):
    t = times(LONGEST_SEC)
    source = metal_source(t, rng)
    t60 = between(rng, 1.2, 4)
    x = normalised(high(band(source, between(rng, 4000, 9000), uniform(rng, 0.5, 1.5)), between(rng, 2000, 6000)))
    envelope = decay(t, t60) * decibels(uniform(rng, -14, -4)) + decay(t, between(rng, 0.05, 0.3))
    ping = modes(t, between(rng, 2000, 5500) * rng.uniform(0.6, 1.7, 4), 1, rng.uniform(0.1, 0.8, 4), rng)
    return x * envelope + decibels(uniform(rng, -16, 0)) * normalised(ping)


def ride_chip(rng):
    length = between(rng, 0.4, 1.2)
    t = times(length)
    x = register_noise(t, between(rng, 60000, 250000), True) * 0.6 + 0.4 * high(register_noise(t, 44000), 5000)
    return high(x, 2000) * stepped(t, 0.4 * decay(t, length * 2) + 0.6 * decay(t, 0.15))


def splash_acoustic(rng):
    t = times(between(rng, 0.7, 1.6))
    x = cymbal_body(
        t,
        rng,
        between(rng, 1.2, 3.6),
        between(rng, 300, 1000),
        uniform(rng, -2, 1),
        between(rng, 0.004, 0.05),
        130,
        uniform(rng, -3, 10),
    )
    x = normalised(x) + decibels(uniform(rng, -24, -4)) * crack(t, rng, between(rng, 0.1, 0.6), uniform(rng, -4, -1))
    return x + decibels(uniform(rng, -14, 0)) * tick(t, rng, between(rng, 3500, 9000), between(rng, 0.02, 0.1), 0.4)


def splash_electronic(rng):
    t = times(between(rng, 0.6, 1.6))
    x = high(metal_source(t, rng), between(rng, 1500, 5000)) + uniform(rng, 0.5, 2) * band(
        noise(len(t), rng), between(rng, 4000, 8000), 0.4
    )
    return (
        low(high(x, between(rng, 300, 1500)), between(rng, 7000, 16000))
        * decay(t, between(rng, 0.7, 2.2))
        * rise(t, between(rng, 0.002, 0.02))
    )


def china(rng):
    """Turned-up edge: trashy, low, rough, soon gone."""
    t = times(LONGEST_SEC)
    t60 = between(rng, 1.0, 3.4)
    x = normalised(
        plate(t, rng, between(rng, 250, 1300), 9000, 170, t60, uniform(rng, 0.1, 0.35), uniform(rng, -2.5, 0), 6)
    )
    centres = np.array([300, 900, 2000, 3500, 6500, 11000])
    gains = np.array([-22, -8, 0, 1, -3, -10]) + rng.normal(0, 2.5, 6)
    trash = wash(
        t, rng, centres, gains, t60 * np.array([0.5, 0.7, 0.8, 0.7, 0.6, 0.5]), np.full(6, between(rng, 0.01, 0.09))
    )
    x = x * uniform(rng, 0.3, 1) + normalised(trash)
    x = saturate(
        normalised(x * (1 + 0.5 * normalised(low(noise(len(t), rng), between(rng, 60, 300))))), between(rng, 1, 6)
    )
    return x * decay(t, t60 * uniform(rng, 1.5, 4))


def china_electronic(rng):
    t = times(LONGEST_SEC)
    x = fm(
        t,
        between(rng, 250, 900),
        uniform(rng, 1.3, 3.9),
        between(rng, 4, 20) * decay(t, between(rng, 1, 4)),
        uniform(rng, 0.5, 3),
    )
    x = normalised(high(x, between(rng, 300, 1200))) + uniform(rng, 0.3, 1) * normalised(
        band(noise(len(t), rng), between(rng, 2000, 5000), 0.5)
    )
    return x * decay(t, between(rng, 0.8, 3)) * rise(t, between(rng, 0.002, 0.03))


def cymbal_small(rng):
    """What packs call just cymbal: between splash, crash and hat."""
    t = times(between(rng, 0.5, 1.6))
    x = cymbal_body(
        t,
        rng,
        between(rng, 0.7, 6),
        between(rng, 250, 1500),
        uniform(rng, -1.5, 3),
        between(rng, 0.001, 0.04),
        clang=uniform(rng, -6, 10),
    )
    x *= decibels(uniform(rng, -14, 6)) + decay(t, between(rng, 0.2, 0.8))
    x = normalised(x) + decibels(uniform(rng, -26, -4)) * crack(t, rng, between(rng, 0.1, 0.6), uniform(rng, -4, -1))
    return x + decibels(uniform(rng, -14, 2)) * tick(t, rng, between(rng, 4000, 10000), between(rng, 0.01, 0.06), 0.5)


def cymbal_squares(rng):
    """Six squares in two bands, each with its own decay."""
    t = times(between(rng, 0.5, 1.6))
    source = squares(t, rng)
    t60 = between(rng, 0.5, 4)
    lower = high(band(source, between(rng, 2800, 4500), uniform(rng, 0.8, 2)), 1500) * decay(t, t60)
    upper = high(band(source, between(rng, 6000, 10000), uniform(rng, 0.6, 1.5)), between(rng, 4000, 7000))
    upper = upper * (decay(t, between(rng, 0.1, 0.4)) + uniform(rng, 0.1, 0.7) * decay(t, t60))
    return normalised(lower) * uniform(rng, 0.2, 1) + normalised(upper)


def cymbal_electronic(rng):
    t = times(between(rng, 0.4, 1.4))
    x = high(metal_source(t, rng), between(rng, 2500, 8000)) + uniform(rng, 0, 1) * high(noise(len(t), rng), 6000)
    return high(x, between(rng, 300, 5000)) * decay(t, between(rng, 0.4, 3.5))


def cymbal_swell(rng):
    """Rolled with mallets: it comes and goes."""
    t = times(LONGEST_SEC)
    x = cymbal_body(
        t, rng, between(rng, 2, 6), between(rng, 250, 600), uniform(rng, -2, 1), between(rng, 0.2, 0.8), clang=-6
    )
    return x * rise(t, between(rng, 0.15, 0.8))


def rivets(t, rng, x, level):
    """Rivets or a chain buzzing on a cymbal: a grainy top that outlasts the stroke."""
    buzz = collisions(
        t,
        rng,
        between(rng, 60, 700),
        between(rng, 0.008, 0.04),
        [(between(rng, 4500, 7000), 0.8, 1.0), (between(rng, 8000, 12000), 0.7, 1.0)],
        decay(t, between(rng, 1.2, 6)),
    )
    buzz *= rise(t, between(rng, 0.01, 0.1))
    return normalised(x) + decibels(level) * normalised(buzz)


def sizzle_ride(rng):
    x = ride_acoustic(rng)
    return rivets(np.arange(len(x)) / RATE, rng, x, uniform(rng, -10, 3))


def sizzle_crash(rng):
    x = crash_acoustic(rng) if chance(rng, 0.6) else ride_bell(rng)
    return rivets(np.arange(len(x)) / RATE, rng, x, uniform(rng, -8, 4))


def sizzle_hiss(rng):
    """An even high hiss with grains, as synthesisers have it."""
    t = times(LONGEST_SEC)
    x = high(noise(len(t), rng), between(rng, 4000, 8000)) * decay(t, between(rng, 1.5, 5))
    return rivets(t, rng, x + 0.5 * tick(t, rng, 5000, 0.03), uniform(rng, -3, 6))
