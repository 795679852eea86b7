"""What the generated drums are built from: oscillators, noise, filters, sums of decaying modes, collisions. All sounds
are mono float64 at RATE, and every function that draws takes the random generator to draw from."""

from functools import cache

import numpy as np
from scipy import fft
from scipy.signal import lfilter
from scipy.special import jn_zeros

RATE = 44100
# The model hears 1.12 s from the onset; more than this costs time and tells nothing.
LONGEST_SEC = 1.6
# Natural logarithm of the 60 dB that a reverberation time is measured over.
LN_60_DB = np.log(1000)
# Modes of an ideal circular membrane over its lowest: zeros of Bessel functions (Fletcher and Rossing, The Physics of
# Musical Instruments, 3.6); free bar (2.4); kettledrum's (1,1), (2,1) ... as tuned by its air (18.1).
MEMBRANE = np.sort(np.concatenate([jn_zeros(order, 7) for order in range(14)]))[:70] / jn_zeros(0, 1)
BAR = np.array([1, 2.757, 5.404, 8.933, 13.34, 18.64])
KETTLE = np.array([1, 1.504, 1.983, 2.44, 2.89, 3.35, 3.81, 4.27])


def uniform(rng, low, high):
    return float(rng.uniform(low, high))


def between(rng, low, high):
    """Log-uniform: for frequencies and times."""
    return float(low * (high / low) ** rng.random())


def chance(rng, probability):
    return rng.random() < probability


def decibels(value):
    return 10 ** (np.asarray(value) / 20)


def times(seconds):
    """Time of every sample, no longer than LONGEST_SEC."""
    return np.arange(max(int(min(seconds, LONGEST_SEC) * RATE), 400)) / RATE


def decay(t, t60):
    """Exponential decay that falls by 60 dB in t60 seconds."""
    return np.exp(t * (-LN_60_DB / t60))


def rise(t, seconds):
    """A soft attack, there after about `seconds`."""
    return 1 - np.exp(t * (-3 / max(seconds, 1e-5)))


def gate(t, length, fade=0.01):
    """1 until `length`, then a straight fade to 0."""
    return np.clip((length - t) / fade + 1, 0, 1)


def bump(t, attack, t60):
    """A soft rise and a decay: the hand that shakes."""
    return np.minimum(t / attack, 1) ** 1.5 * decay(np.maximum(t - attack, 0), t60)


def glide(t, start, end, seconds):
    """From start to end, exponentially, nearly there after `seconds`."""
    return end + (start - end) * np.exp(t * (-3 / max(seconds, 1e-4)))


def phase(frequency):
    """Phase in cycles of a frequency over time."""
    return np.cumsum(frequency) / RATE


def wave(cycles, shape="sine"):
    if shape == "sine":
        return np.sin(2 * np.pi * cycles)
    part = cycles % 1.0
    if shape == "triangle":
        return 4 * np.abs(part - 0.5) - 1
    if shape == "square":
        return np.where(part < 0.5, 1.0, -1.0)
    if shape == "pulse":
        return np.where(part < 0.25, 1.5, -0.5)
    return 2 * part - 1


def biquad(x, kind, frequency, q=0.707, gain=0.0):
    """Second-order filter (R. Bristow-Johnson, Audio EQ Cookbook)."""
    omega = 2 * np.pi * min(max(frequency, 15), 0.45 * RATE) / RATE
    cosine, alpha = np.cos(omega), np.sin(omega) / (2 * q)
    a = [1 + alpha, -2 * cosine, 1 - alpha]
    if kind == "low":
        b = [(1 - cosine) / 2, 1 - cosine, (1 - cosine) / 2]
    elif kind == "high":
        b = [(1 + cosine) / 2, -(1 + cosine), (1 + cosine) / 2]
    elif kind == "band":
        b = [alpha, 0, -alpha]
    else:
        root = 10 ** (gain / 40)
        b = [1 + alpha * root, -2 * cosine, 1 - alpha * root]
        a = [1 + alpha / root, -2 * cosine, 1 - alpha / root]
    return lfilter(np.array(b) / a[0], np.array(a) / a[0], x)


def low(x, frequency, q=0.707):
    return biquad(x, "low", frequency, q)


def high(x, frequency, q=0.707):
    return biquad(x, "high", frequency, q)


def band(x, frequency, q=1.0):
    return biquad(x, "band", frequency, q)


def peak(x, frequency, gain, q=1.0):
    return biquad(x, "peak", frequency, q, gain)


def noise(n, rng, colour=0.0):
    """White noise, or with a spectrum of `colour` dB an octave."""
    x = rng.standard_normal(n, dtype=np.float32)
    if colour:
        size = fft.next_fast_len(n, real=True)
        spectrum = fft.rfft(x, size)
        spectrum *= (np.maximum(np.arange(len(spectrum)), 1) / len(spectrum)) ** (colour / 6.02)
        x = fft.irfft(spectrum, size)[:n]
        x /= x.std() + 1e-12
    return x.astype(float)


def normalised(x):
    return x / max(np.abs(x).max(), 1e-9)


def unit(x):
    """Of RMS 1."""
    return x / max(np.sqrt(np.mean(x**2)), 1e-9)


def add(x, y, seconds=0.0):
    """x with y laid over it from a time on, as long as needed."""
    at = int(seconds * RATE)
    out = np.zeros(min(max(len(x), at + len(y)), int(LONGEST_SEC * RATE) + 1))
    out[: len(x)] = x[: len(out)]
    if at < len(out):
        out[at : at + len(y)] += y[: len(out) - at]
    return out


def modes(t, frequencies, amplitudes, t60s, rng=None):
    """Sum of decaying sines. Computed as the product of two small matrices, one of phasors at the starts of blocks
    and one of phasors inside a block, which is far faster than a sine for every mode and sample."""
    frequencies = np.asarray(frequencies, float)
    keep = (frequencies > 15) & (frequencies < 0.47 * RATE)
    frequencies = frequencies[keep]
    amplitudes = np.broadcast_to(amplitudes, keep.shape)[keep]
    t60s = np.maximum(np.broadcast_to(t60s, keep.shape)[keep], 1e-3)
    if not len(frequencies):
        return np.zeros(len(t))
    n = len(t)
    block = max(int(np.sqrt(n)), 16)
    blocks = -(-n // block)
    exponents = (-LN_60_DB / t60s + 2j * np.pi * frequencies) / RATE
    start = -0.25 if rng is None else rng.random(len(frequencies))
    inside = np.exp(np.outer(exponents, np.arange(block)))
    starts = np.exp(np.outer(np.arange(blocks) * block, exponents)) * (amplitudes * np.exp(2j * np.pi * start))
    left = np.concatenate([starts.real, -starts.imag], axis=1).astype(np.float32)
    right = np.concatenate([inside.real, inside.imag], axis=0).astype(np.float32)
    return (left @ right).ravel()[:n].astype(float)


def wash(t, rng, centres, gains, t60s, attacks=None):
    """Noise in overlapping bands around `centres` in Hz, each with a gain in dB, a decay and an attack in s."""
    size = fft.next_fast_len(len(t), real=True)
    spectrum = fft.rfft(rng.standard_normal(size, dtype=np.float32))
    octave = np.log2(np.maximum(np.arange(len(spectrum), dtype=np.float32) * (RATE / size), 10))
    places = np.log2(centres)
    short_t = t.astype(np.float32)
    x = np.zeros(len(t), np.float32)
    for index in range(len(places)):
        share = np.interp(octave, places, np.arange(len(places)) == index).astype(np.float32)
        part = fft.irfft(spectrum * share, size)[: len(t)]
        part *= np.exp(short_t * np.float32(-LN_60_DB / t60s[index]) + np.float32(np.log(10) / 20 * gains[index]))
        if attacks is not None and attacks[index] > 1e-4:
            coming = min(len(t), int(3 * attacks[index] * RATE) + 1)
            part[:coming] *= rise(short_t[:coming], np.float32(attacks[index]))
        x += part
    return x.astype(float)


def plate(t, rng, lowest, highest, count, t60, falling=0.5, tilt=0.0, spread=6.0):
    """Many inharmonic modes, as of a cymbal or a sheet: t60 at 1 kHz, shorter by `falling` as a power of frequency;
    amplitudes tilted by `tilt` dB an octave with a random spread in dB."""
    frequencies = between_many(rng, lowest, highest, count)
    octaves = np.log2(frequencies / 1000)
    amplitudes = decibels(tilt * octaves + rng.normal(0, spread, count))
    t60s = t60 * 2 ** (-falling * octaves) * np.exp(rng.normal(0, 0.35, count))
    x = modes(t, frequencies, amplitudes, t60s, rng)
    return x


def between_many(rng, lowest, highest, count):
    """Frequencies, denser towards the high end than log-uniform would have them, as modes of a plate are."""
    share = rng.random(count) ** uniform(rng, 0.5, 0.9)
    return lowest * (highest / lowest) ** share


def skin(t, rng, frequency, t60, bend=0.05, bend_sec=0.05, damping=0.7, count=70, detune=0.02, slope=1.8):
    """A struck membrane: Bessel modes, the higher ones weaker (as ratio to the power of -slope) and shorter (to the
    power of -damping), that start a little sharp and settle."""
    count = min(count, len(MEMBRANE), int(16000 / frequency) + 1)
    ratios = MEMBRANE[:count] * np.exp(rng.normal(0, detune, count))
    ratios[0] = 1
    amplitudes = ratios**-slope * decibels(rng.normal(0, 5, count))
    amplitudes[0] = 1
    t60s = t60 * ratios**-damping * np.exp(rng.normal(0, 0.25, count))
    if bend <= 0.003:
        return modes(t, frequency * ratios, amplitudes, t60s)
    # The bend is one warp of time for all modes.
    warped = t + bend * bend_sec / 3 * (1 - np.exp(t * (-3 / bend_sec)))
    straight = np.arange(len(t) + int(bend * bend_sec * RATE) + 4) / RATE
    return np.interp(warped, straight, modes(straight, frequency * ratios, amplitudes, t60s))


def tick(t, rng, frequency, t60, q=1.0):
    """The short noise of a stick, a hand or a beater."""
    size = min(len(t), max(int(1.5 * t60 * RATE), 64))
    out = np.zeros(len(t))
    out[:size] = normalised(band(noise(size, rng), frequency, q)) * decay(t[:size], t60)
    return out


def collisions(t, rng, per_second, sound_t60, resonances, energy):
    """Random collisions of small things in a vessel (after P. Cook, Physically Informed Stochastic Event Modeling,
    1997): impulses as often as `per_second`, as strong as `energy` is then, each a short burst of noise, through
    resonances of (frequency, q, gain)."""
    happening = rng.random(len(t)) < np.minimum(per_second / RATE, 1)
    strength = happening * energy * rng.exponential(1, len(t))
    level = lfilter([1], [1, -np.exp(-LN_60_DB / (sound_t60 * RATE))], strength)
    source = level * noise(len(t), rng)
    return sum(gain * band(source, frequency, q) for frequency, q, gain in resonances)


def fm(t, carrier, ratio, index, feedback=0.0):
    """Two-operator frequency modulation (phase modulation of a sine); carrier and index may change over time."""
    cycles = phase(np.broadcast_to(carrier, t.shape))
    modulator = np.sin(2 * np.pi * ratio * cycles)
    if feedback:
        modulator = np.sin(2 * np.pi * ratio * cycles + feedback * modulator)
    return np.sin(2 * np.pi * cycles + index * modulator)


@cache
def shift_register(short):
    """One period of the noise of a 15-bit linear feedback shift register with taps 0 and 1, or 0 and 6."""
    tap, state, bits = (6 if short else 1), 1, []
    for _ in range(93 if short else 32767):
        bits.append(state & 1)
        state = (state >> 1) | (((state ^ (state >> tap)) & 1) << 14)
    return np.array(bits) * 2.0 - 1


def register_noise(t, clock, short=False, start=0):
    """Shift register noise at a clock in Hz, which may change over time."""
    bits = shift_register(short)
    return bits[(start + np.cumsum(np.broadcast_to(clock, t.shape)) / RATE).astype(int) % len(bits)]


def stepped(t, envelope, hertz=60.0, levels=15):
    """An envelope as an early sound chip plays it: renewed at the frame rate, in few levels."""
    held = envelope[np.minimum((np.floor(t * hertz) / hertz * RATE).astype(int), len(t) - 1)]
    return np.round(held * levels) / levels


def saturate(x, drive):
    """Soft clipping of a sound of peak 1; drive 1 is hardly heard."""
    return np.tanh(drive * x) / np.tanh(drive)


def clip(x, drive):
    return np.clip(drive * x, -1, 1)


def crush(x, bits):
    steps = 2.0 ** (bits - 1)
    return np.round(x * steps) / steps


def response(rng, t60, brightness):
    """What a room answers to a click: noise, decaying faster at the ends of the spectrum."""
    t = np.arange(int(min(1.2 * t60, 1.0) * RATE)) / RATE
    t60s = t60 * np.array([0.8, 1.1, 1.0, 0.8, 0.5]) * rng.uniform(0.7, 1.3, 5)
    return low(wash(t, rng, [100, 400, 1500, 5000, 11000], rng.normal(0, 3, 5), t60s), brightness)


def room(x, answer, level):
    """The sound in a room, whose answer is `level` dB below it."""
    length = min(len(x) + len(answer), int(LONGEST_SEC * RATE))
    size = fft.next_fast_len(len(x) + len(answer), real=True)
    wet = fft.irfft(fft.rfft(x, size) * fft.rfft(answer, size), size)[:length]
    wet *= np.sqrt(np.sum(x**2) / max(np.sum(wet**2), 1e-20)) * decibels(level)
    wet[: len(x)] += x[:length]
    return wet


def air(t, rng, t60, level):
    """What a microphone hears around a drum: shell, hardware, other drums, in all bands and low, at `level` dB."""
    t60s = t60 * np.array([2.2, 1.6, 1.0, 0.65, 0.4]) * rng.uniform(0.6, 1.4, 5)
    gains = np.array([2, 0, -4, -11, -20]) + rng.normal(0, 5, 5)
    x = wash(t, rng, [90, 300, 1000, 3500, 10000], gains, t60s, np.full(5, between(rng, 0.0005, 0.01)))
    return normalised(x) * decibels(level)


def crack(t, rng, t60, tilt=-2.0):
    """The first moment of a hard stroke: all bands at once, `tilt` dB an octave, each a little different."""
    centres = np.array([120, 350, 1000, 2500, 5500, 11000])
    gains = tilt * np.log2(centres / 1000) + rng.normal(0, 5, 6)
    size = min(len(t), int(1.2 * t60 * RATE) + 64)
    out = np.zeros(len(t))
    out[:size] = normalised(wash(t[:size], rng, centres, gains, t60 * rng.uniform(0.5, 1.3, 6)))
    return out
