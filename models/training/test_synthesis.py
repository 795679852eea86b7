"""python -m unittest test_synthesis, or pytest: what the training relies on in the generated drums."""

import tempfile
import unittest
from pathlib import Path

import numpy as np
import soundfile

import synthesis
from synth_blocks import LONGEST_SEC, RATE

# Seconds from the first to the last sample within 20 dB of the loudest 5 ms: of the middle of many sounds.
PLAUSIBLE = {
    "Kick": (0.05, 1.2),
    "Snare": (0.03, 0.5),
    "Hihat": (0.02, 0.8),
    "Crash": (0.3, 1.6),
    "Ride": (0.1, 1.6),
    "Clave": (0.005, 0.15),
    "Rim": (0.005, 0.2),
    "Tom": (0.08, 1.3),
    "Timpani": (0.2, 1.6),
    "Triangle": (0.05, 1.6),
    "Maracas": (0.02, 0.3),
}


def heard_seconds(x, rate):
    step = int(0.005 * rate)
    level = np.sqrt(np.add.reduceat(x**2, np.arange(0, len(x), step)))
    loud = np.flatnonzero(level > 0.1 * level.max())
    return (loud[-1] - loud[0] + 1) * 0.005


class Synthesis(unittest.TestCase):
    def test_every_label_has_generators(self):
        self.assertEqual(sorted(synthesis.KINDS), sorted(synthesis.LABELS))
        self.assertTrue(all(synthesis.KINDS.values()))

    def test_every_generator_gives_a_finite_sound_of_plausible_length(self):
        rng = np.random.default_rng(1)
        for generators in synthesis.KINDS.values():
            for generator in set(generators):
                for _ in range(3):
                    x = generator(rng)
                    with self.subTest(generator.__name__):
                        self.assertTrue(np.isfinite(x).all())
                        self.assertGreater(np.abs(x).max(), 1e-4)
                        self.assertGreater(len(x), 0.005 * RATE)
                        self.assertLessEqual(len(x), (LONGEST_SEC + 0.2) * RATE)

    def test_sounds_keep_to_full_scale(self):
        rng = np.random.default_rng(2)
        for label in synthesis.LABELS:
            x, rate = synthesis.make(label, rng)
            with self.subTest(label):
                self.assertTrue(np.isfinite(x).all())
                self.assertLessEqual(np.abs(x).max(), 1)
                self.assertGreaterEqual(rate, 8000)

    def test_drums_last_as_long_as_such_drums_do(self):
        rng = np.random.default_rng(3)
        for label, (shortest, longest) in PLAUSIBLE.items():
            middle = np.median([heard_seconds(*synthesis.make(label, rng)) for _ in range(15)])
            with self.subTest(label):
                self.assertGreater(middle, shortest)
                self.assertLess(middle, longest)

    def test_the_same_seed_gives_the_same_files_with_any_number_of_processes(self):
        counts = {"Kick": 7, "Crash": 4, "Vox": 1}
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two, tempfile.TemporaryDirectory() as other:
            first = synthesis.write_sounds(one, counts, seed=5, processes=1)
            second = synthesis.write_sounds(two, counts, seed=5, processes=3)
            third = synthesis.write_sounds(other, counts, seed=6, processes=1)
            self.assertEqual(
                [(p.relative_to(one), l, k) for p, l, k in first], [(p.relative_to(two), l, k) for p, l, k in second]
            )
            self.assertEqual({label: sum(l == label for _, l, _ in first) for label in counts}, counts)
            self.assertTrue(all(a.read_bytes() == b.read_bytes() for (a, _, _), (b, _, _) in zip(first, second)))
            self.assertFalse(any(a.read_bytes() == b.read_bytes() for (a, _, _), (b, _, _) in zip(first, third)))
            self.assertGreater(len({k for _, _, k in first}), 1)
            self.assertEqual(soundfile.info(Path(first[0][0])).channels, 1)


if __name__ == "__main__":
    unittest.main()
