"""Variants of a drum sample that are still the same drum: what another pack, another room or an older sampler
would have made of it. Written as WAV files, so that `drumfs features` hears them as it hears any file."""

import zlib
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import fftconvolve, resample_poly

LONGEST_SEC = 2.5


def resampled(x, factor):
    """The sound `factor` times as long (and lower), by a rational approximation of it."""
    return resample_poly(x, int(round(100 * factor)), 100)


def random_equaliser(x, rate, rng):
    """Gains of a few dB at octave points, straight lines between them."""
    size = len(x)
    spectrum = np.fft.rfft(x)
    points = np.array([20, 63, 125, 250, 500, 1000, 2000, 4000, 8000, 24000], float)
    tilt = rng.uniform(-1.5, 1.5) * np.log2(points / 1000)
    gains = tilt + rng.normal(0, 2.5, len(points))
    frequencies = np.maximum(np.fft.rfftfreq(size, 1 / rate), 20)
    curve = np.interp(np.log(frequencies), np.log(points), gains)
    return np.fft.irfft(spectrum * 10 ** (curve / 20), size)


def room(x, rate, rng):
    """A room of exponentially decaying noise, under the dry sound."""
    seconds = rng.uniform(0.05, 0.5)
    t = np.arange(int(seconds * rate)) / rate
    response = rng.normal(0, 1, len(t)) * np.exp(-6.9 * t / seconds)
    wet = fftconvolve(x, response)
    wet *= np.sqrt(np.sum(x**2) / max(np.sum(wet**2), 1e-20)) * 10 ** (rng.uniform(-24, -9) / 20)
    wet[: len(x)] += x
    return wet


def variant(x, rate, rng):
    """One variant: the new samples and their rate in Hz."""
    def chance(p):
        return rng.random() < p

    x = x / max(np.abs(x).max(), 1e-9)
    if chance(0.7):
        x = resampled(x, 2 ** (rng.uniform(-3, 3) / 12))
    if chance(0.6):
        x = random_equaliser(x, rate, rng)
    if chance(0.3):
        # A gate or an envelope: faster decay from the peak on.
        peak = int(np.abs(x).argmax())
        t = np.maximum(np.arange(len(x)) - peak, 0) / rate
        x = x * np.exp(-t / rng.uniform(0.15, 1.0))
    if chance(0.25):
        drive = rng.uniform(1, 6)
        x = np.tanh(drive * x / max(np.abs(x).max(), 1e-9)) / np.tanh(drive)
    if chance(0.25):
        x = room(x, rate, rng)
    if chance(0.2):
        length = int(rng.uniform(0.15, 1.2) * rate)
        if length < len(x):
            fade = min(length, int(0.01 * rate))
            x = x[:length].copy()
            x[-fade:] *= np.linspace(1, 0, fade)
    if chance(0.15):
        x = x[int(rng.uniform(0.001, 0.008) * rate):]
    if chance(0.3):
        level = np.abs(x).max(initial=1e-9) * 10 ** (rng.uniform(-70, -38) / 20)
        x = x + rng.normal(0, level, len(x))
    if chance(0.2):
        x = np.concatenate([np.zeros(int(rng.uniform(0, 0.03) * rate)), x])
    if chance(0.2):
        # An older sampler's rate.
        new_rate = int(rng.choice([11025, 16000, 22050, 32000]))
        if new_rate < rate:
            x = resample_poly(x, new_rate, rate)
            rate = new_rate
    if len(x) < 0.01 * rate:
        x = np.concatenate([x, np.zeros(int(0.01 * rate))])
    x = x[: int(LONGEST_SEC * rate)]
    x = x / max(np.abs(x).max(), 1e-9) * 10 ** (rng.uniform(-20, 0) / 20)
    if chance(0.1):
        steps = 2 ** rng.uniform(6, 10)
        x = np.round(x * steps) / steps
    return x, rate


def write_variants(task):
    """Writes `count` variants of one file into a folder; returns their names."""
    index, path, count, folder, seed = task
    x, rate = soundfile.read(path, dtype="float64", always_2d=True)
    x = x.mean(axis=1)
    names = []
    for number in range(count):
        rng = np.random.default_rng([seed, zlib.crc32(Path(path).name.encode()), index, number])
        y, new_rate = variant(x, rate, rng)
        name = f"{index:05d}-{number}.wav"
        soundfile.write(Path(folder) / name, np.clip(y, -1, 1), new_rate, subtype="PCM_16")
        names.append(name)
    return names


def augment(paths, count, folder, seed, processes):
    """Variants of every file; a list of names for each."""
    tasks = [(index, str(path), count, str(folder), seed) for index, path in enumerate(paths)]
    with Pool(processes) as pool:
        return pool.map(write_variants, tasks, chunksize=16)
