"""What more models cost an indexing pass: the shipped one alone, with a second, and with a gate, in turns.

    cargo build --release
    python benches/indexing.py --make 3000 DIR --from tests/archive
    python benches/second_model.py DIR

The second model is `small` (the shipped network under another name: it shares the features), then tests/models/six.onnx
(MFCC at 22.05 kHz), then tests/models/old.onnx (the older pipeline's layout, 44.1 kHz), then tests/models/waveform.onnx
(raw audio at 8 kHz). Each round makes a pass with each configuration into an empty store; the medians of the rounds are
printed, with what each adds per file.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def configurations(folder):
    """Name and config.yml of each, in the order in which they run."""
    same = folder / "same.onnx"
    shutil.copy(ROOT / "models" / "drums.onnx", same)
    description = json.loads((ROOT / "models" / "drums.json").read_text())
    same.with_suffix(".json").write_text(json.dumps(description | {"name": "same"}))
    models = ROOT / "tests" / "models"

    def with_second(path):
        return f"models:\n- {{}}\n- model_path: {path}\n"

    return {
        "shipped model alone": "threads: 1\n",
        "+ the same network": "threads: 1\n" + with_second(same),
        "+ MFCC 13 x 22 at 22.05 kHz": "threads: 1\n" + with_second(models / "six.onnx"),
        "+ MFCC 40 x 98 at 44.1 kHz": "threads: 1\n" + with_second(models / "old.onnx"),
        "+ raw audio, 8,000 at 8 kHz": "threads: 1\n" + with_second(models / "waveform.onnx"),
        "+ gate on raw audio": f"threads: 1\ngate: {{model_path: {models / 'gate.onnx'}}}\n",
    }


def seconds(archive, config, folder):
    """One pass into an empty store: seconds a file that was heard, walk left out."""
    store = folder / "store"
    command = [ROOT / "target/release/drumfs", "index", archive, "--store", store, "--config", config, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    shutil.rmtree(store)
    if done.returncode not in (0, 3):
        raise SystemExit(done.stderr)
    summary = json.loads(done.stdout)
    return (summary["seconds"] - summary["seconds_walk"]) / summary["heard"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        times = {}
        for number in range(arguments.rounds + 1):
            for key, text in configurations(folder).items():
                config = folder / "config.yml"
                config.write_text(text)
                time = seconds(arguments.archive, config, folder)
                # The first round warms the page cache.
                if number:
                    times.setdefault(key, []).append(time)
        alone = None
        for key, values in times.items():
            median = statistics.median(values)
            alone = alone or median
            print(f"{key:30} {median * 1e6:7.0f} µs a file, {(median - alone) * 1e6:+7.0f}, "
                  f"{1 / median:6.0f} files/s ({min(values) * 1e6:.0f} to {max(values) * 1e6:.0f} µs)")


if __name__ == "__main__":
    main()
