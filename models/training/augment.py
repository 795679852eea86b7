"""Variants of a drum sample that are still the same drum: what another pack, another room, an older sampler or a careless
cut would have made of it. Written as WAV files, so that `drumfs features` hears them as it hears any file."""

import io
import zlib
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import soundfile
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import fftconvolve, lfilter, resample_poly
from threadpoolctl import threadpool_limits

LONGEST_SEC = 3.0
OLD_RATES = [8000, 11025, 12000, 16000, 22050, 27500, 32000]


def log_uniform(rng, low, high):
    return np.exp(rng.uniform(np.log(low), np.log(high)))


def at_full_scale(x):
    return x / max(np.abs(x).max(initial=0), 1e-9)


def resampled(x, factor):
    """The sound `factor` times as long (and lower), by a rational approximation of it."""
    return resample_poly(x, max(int(round(60 * factor)), 1), 60)


def filtered(x, rate, gain):
    """The sound with its spectrum multiplied by gain(frequencies in Hz)."""
    size = next_fast_len(len(x) + 512)
    return irfft(rfft(x, size) * gain(np.fft.rfftfreq(size, 1 / rate)), size)[: len(x)]


def random_equaliser(x, rate, rng):
    """A tilt and gains of a few dB at octave points, straight lines between them."""
    points = np.array([20, 63, 125, 250, 500, 1000, 2000, 4000, 8000, 24000], float)
    gains = rng.uniform(-2, 2) * np.log2(points / 1000) + rng.normal(0, 2.5, len(points))
    return filtered(x, rate, lambda hz: 10 ** (np.interp(np.log(np.maximum(hz, 20)), np.log(points), gains) / 20))


def random_cut(x, rate, rng):
    """A low-pass or a high-pass filter of one of a few slopes."""
    if rng.random() < 0.5:
        corner, slope = log_uniform(rng, 2500, 12000), 2 * rng.integers(1, 5)
        return filtered(x, rate, lambda hz: 1 / np.sqrt(1 + (hz / corner) ** slope))
    corner, slope = log_uniform(rng, 30, 300), 2 * rng.integers(1, 4)
    return filtered(x, rate, lambda hz: 1 / np.sqrt(1 + (corner / (hz + 1)) ** slope))


def envelope(x, rate, rng):
    """A faster decay from the peak on, or a gate."""
    t = np.maximum(np.arange(len(x)) - int(np.abs(x).argmax()), 0) / rate
    if rng.random() < 0.7:
        return x * np.exp(-t / log_uniform(rng, 0.06, 1.0))
    hold, release = rng.uniform(0.03, 0.4), rng.uniform(0.005, 0.1)
    return x * np.clip(1 - (t - hold) / release, 0, 1)


def drive(x, rng):
    """Saturation, clipping, a biased valve or a wave folder."""
    x = at_full_scale(x) * 10 ** (rng.uniform(0, 22) / 20)
    kind = rng.random()
    if kind < 0.45:
        return np.tanh(x)
    if kind < 0.7:
        return np.clip(x, -1, 1)
    if kind < 0.85:
        bias = rng.uniform(0, 0.5)
        return np.tanh(x + bias) - np.tanh(bias)
    return np.sin(np.clip(x, -np.pi / 2, np.pi / 2))


def compressed(x, rate, rng):
    pole = np.exp(-1 / (rng.uniform(0.002, 0.03) * rate))
    level = np.sqrt(lfilter([1 - pole], [1, -pole], x**2) + 1e-8)
    return x * (level / level.max() + 1e-3) ** -rng.uniform(0.2, 0.7)


def room(x, rate, rng):
    """A room of exponentially decaying noise, perhaps dull and late, under the dry sound."""
    seconds = log_uniform(rng, 0.05, 1.2)
    t = np.arange(int(seconds * rate)) / rate
    response = rng.normal(0, 1, len(t)) * np.exp(-6.9 * t / seconds)
    if rng.random() < 0.6:
        response = lfilter([1], [1, -rng.uniform(0.2, 0.9)], response)
    wet = fftconvolve(x, response)
    wet *= np.sqrt(np.sum(x**2) / max(np.sum(wet**2), 1e-20)) * 10 ** (rng.uniform(-26, -6) / 20)
    wet = np.concatenate([np.zeros(int(rng.uniform(0, 0.02) * rate)), wet])
    wet[: len(x)] += x
    return wet


def cut(x, rate, rng):
    """Ends early: with a click, a short fade or a longer one."""
    length = int(log_uniform(rng, 0.08, 1.5) * rate)
    if length >= len(x):
        return x
    fade = min(length, int(rng.choice([0.0005, 0.005, 0.03]) * rate) + 1)
    x = x[:length].copy()
    x[-fade:] *= np.linspace(1, 0, fade)
    return x


def noisy(x, rng):
    level = np.abs(x).max(initial=1e-9) * 10 ** (rng.uniform(-72, -34) / 20)
    noise = rng.normal(0, 1, len(x))
    if rng.random() < 0.3:
        noise = 0.25 * lfilter([1], [1, -0.97], noise)
    return x + level * noise


def old_sampler(x, rate, rng):
    """A lower sample rate, with or without a filter against aliases, kept or held up to the old rate."""
    new_rate = int(rng.choice(OLD_RATES))
    if new_rate >= rate:
        return x, rate
    length = len(x)
    if rng.random() < 0.4:
        x = x[(np.arange(int(length * new_rate / rate)) * rate / new_rate).astype(int)]
    else:
        x = resample_poly(x, new_rate, rate)
    if rng.random() < 0.35 and len(x):
        return x[np.minimum((np.arange(length) * new_rate / rate).astype(int), len(x) - 1)], rate
    return x, new_rate


def coded(x, rate, rng):
    """Through Vorbis or MP3 at a low quality, where libsndfile has them for this rate."""
    container, codec = ("OGG", "VORBIS") if rng.random() < 0.5 else ("MP3", "MPEG_LAYER_III")
    file = io.BytesIO()
    try:
        soundfile.write(file, (0.7 * at_full_scale(x)).astype(np.float32), rate, format=container, subtype=codec,
                        compression_level=float(rng.uniform(0.6, 0.99)))
        file.seek(0)
        return soundfile.read(file)[0]
    except (soundfile.LibsndfileError, TypeError):
        return x


def coarse(x, rng):
    """Few bits: 8-bit mu-law, or 5 to 11 bits."""
    if rng.random() < 0.3:
        small = np.round(np.sign(x) * np.log1p(255 * np.abs(x)) / np.log1p(255) * 127) / 127
        return np.sign(small) * np.expm1(np.abs(small) * np.log1p(255)) / 255
    steps = 2 ** rng.uniform(5, 11)
    return np.round(x * 10 ** (rng.uniform(-10, 0) / 20) * steps) / steps


def variant(x, rate, rng):
    """One variant: the new samples and their rate in Hz."""
    def chance(p):
        return rng.random() < p

    x = at_full_scale(x)
    pitched = rng.random()
    if pitched < 0.65:
        x = resampled(x, 2 ** (np.clip(rng.normal(0, 2.4), -6, 6) / 12))
    elif pitched < 0.73:
        # Samplers play it an octave lower, too.
        x = resampled(x, 2 ** (rng.uniform(-7, 12) / 12))
    if chance(0.6):
        x = random_equaliser(x, rate, rng)
    if chance(0.15):
        x = random_cut(x, rate, rng)
    if chance(0.3):
        x = envelope(x, rate, rng)
    if chance(0.3):
        x = drive(x, rng)
    if chance(0.15):
        x = compressed(x, rate, rng)
    if chance(0.25):
        x = room(x, rate, rng)
    if chance(0.2):
        x = cut(x, rate, rng)
    if chance(0.15):
        # Cut into its attack.
        x = x[int(log_uniform(rng, 0.0005, 0.015) * rate):]
    if chance(0.1):
        fade = min(int(rng.uniform(0.002, 0.02) * rate), len(x))
        x = x * np.concatenate([np.linspace(0, 1, fade), np.ones(len(x) - fade)])
    if chance(0.3):
        x = noisy(x, rng)
    if chance(0.2):
        x = np.concatenate([np.zeros(int(rng.uniform(0, 0.06) * rate)), x])
    if chance(0.25):
        x, rate = old_sampler(x, rate, rng)
    if len(x) < 0.02 * rate:
        x = np.concatenate([x, np.zeros(int(0.02 * rate))])
    x = at_full_scale(x[: int(LONGEST_SEC * rate)])
    if chance(0.08):
        x = coded(x, rate, rng)
    if chance(0.2):
        x = coarse(x, rng)
    return at_full_scale(x), rate


def write_some(task):
    """Writes variants of one file into a folder; returns their paths."""
    index, path, numbers, folder, seed = task
    with threadpool_limits(1):
        x, rate = soundfile.read(path, dtype="float64", always_2d=True)
        x = x.mean(axis=1)
        written = []
        for number in numbers:
            rng = np.random.default_rng([seed, zlib.crc32(Path(path).name.encode()), index, number])
            y, new_rate = variant(x, rate, rng)
            written.append(Path(folder) / f"{index:05d}-{number}.wav")
            soundfile.write(written[-1], np.clip(y, -1, 1), new_rate, subtype="PCM_16")
    return written


def write_variants(paths, numbers, folder, seed, processes):
    """The variants of these numbers of every file: a list of paths for each. The same for any number of processes."""
    tasks = [(index, str(path), list(numbers), str(folder), seed) for index, path in enumerate(paths)]
    with get_context("fork").Pool(processes) as pool:
        return pool.map(write_some, tasks, chunksize=16)
