"""What a model is worth on kits it has not heard: figures, tables and the picture of its mistakes."""

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.metrics import confusion_matrix, f1_score

from labels import CANONICAL, LABELS, TO_CANONICAL

# The six folders of a kit; what goes to misc is in none of them.
FOLDERS = len(CANONICAL) - 1
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def softmax(logits, temperature=1.0):
    scaled = np.asarray(logits, np.float64) / temperature
    scaled = np.exp(scaled - scaled.max(1, keepdims=True))
    return scaled / scaled.sum(1, keepdims=True)


def to_canonical(probabilities):
    """Probabilities [n, 34] summed over the labels collected under each canonical one: [n, 7]."""
    return probabilities @ np.eye(len(CANONICAL))[TO_CANONICAL]


def calibration_error(probabilities, labels, bins=15):
    """Expected calibration error (Guo et al. 2017) over equally wide bins."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    return sum(abs(right[index == b].mean() - confidence[index == b].mean()) * (index == b).mean()
               for b in range(bins) if (index == b).any())


def fit_temperature(logits, labels):
    """The temperature with the least negative log likelihood of the canonical label, which thresholds are set on."""
    canonical = TO_CANONICAL[labels]

    def loss(log_temperature):
        probabilities = to_canonical(softmax(logits, np.exp(log_temperature)))
        return -np.log(probabilities[np.arange(len(labels)), canonical] + 1e-9).mean()

    return float(np.exp(minimize_scalar(loss, bounds=(-2, 2), method="bounded").x))


def figures(logits, labels, temperature):
    """The figures of the model card, of some samples."""
    fine = softmax(logits, temperature)
    folders = to_canonical(fine)
    canonical = TO_CANONICAL[labels]
    at = np.arange(len(labels))
    return {
        "top1_of_34": (fine.argmax(1) == labels).mean(),
        "top3_of_34": (np.argsort(-fine, 1)[:, :3] == labels[:, None]).any(1).mean(),
        "macro_f1_of_34": f1_score(labels, fine.argmax(1), labels=np.unique(labels), average="macro", zero_division=0),
        "top1_of_7": (folders.argmax(1) == canonical).mean(),
        "macro_f1_of_7": f1_score(canonical, folders.argmax(1), labels=np.unique(canonical), average="macro",
                                  zero_division=0),
        "ece_of_34": calibration_error(fine, labels),
        "ece_of_7": calibration_error(folders, canonical),
        "nll_of_34": -np.log(fine[at, labels] + 1e-9).mean(),
        "nll_of_7": -np.log(folders[at, canonical] + 1e-9).mean(),
    }


def folder_curve(logits, labels, temperature):
    """For each threshold: how much of what is in the six class folders belongs there (precision), and how many of the
    samples that belong in one are in the right one (coverage)."""
    folders = to_canonical(softmax(logits, temperature))
    canonical, top, confidence = TO_CANONICAL[labels], folders.argmax(1), folders.max(1)
    curve = {}
    for threshold in THRESHOLDS:
        shown = (top < FOLDERS) & (confidence >= threshold)
        right = shown & (top == canonical)
        curve[f"{threshold:.1f}"] = {"precision": right.sum() / max(shown.sum(), 1),
                                     "coverage": right.sum() / max((canonical < FOLDERS).sum(), 1)}
    return curve


def quarters(attributes, features_bandwidth):
    """The samples of the shortest, longest, quietest and dullest quarter: attributes are those of `drumfs features`
    (duration in s, RMS in dBFS), the bandwidth is the highest band within 60 dB of the loudest."""
    duration, level = attributes[:, 0], attributes[:, 1]
    lowest = lambda values: np.argsort(values, kind="stable")[: len(values) // 4]
    return {"shortest": lowest(duration), "longest": lowest(-duration), "quietest": lowest(level),
            "least bandwidth": lowest(features_bandwidth)}


def mean_and_spread(rows):
    """Mean and standard deviation of figures over repetitions."""
    return {key: {"mean": round(float(np.mean([row[key] for row in rows])), 4),
                  "sd": round(float(np.std([row[key] for row in rows], ddof=1)) if len(rows) > 1 else 0.0, 4)}
            for key in rows[0]}


def classes(logits, labels, kits, temperature):
    """Recall and precision of each label, and how many of its samples come to the right folder."""
    fine = softmax(logits, temperature)
    said, folders = fine.argmax(1), to_canonical(fine).argmax(1)
    table = {}
    for index, label in enumerate(LABELS):
        heard = labels == index
        if not heard.any():
            continue
        table[label] = {
            "samples": int(heard.sum()), "kits": len(set(kits[heard])),
            "recall": round(float((said[heard] == index).mean()), 3),
            "precision": round(float(heard[said == index].mean()), 3) if (said == index).any() else None,
            "folder_recall": round(float((folders[heard] == TO_CANONICAL[index]).mean()), 3),
        }
    return table


def mistakes(logits, labels, count=25):
    """The commonest confusions of fine labels."""
    matrix = confusion_matrix(labels, np.argmax(logits, 1), labels=range(len(LABELS)))
    np.fill_diagonal(matrix, 0)
    pairs = np.argsort(-matrix, axis=None, kind="stable")[:count]
    return [{"truth": LABELS[pair // len(LABELS)], "said": LABELS[pair % len(LABELS)], "times": int(matrix.flat[pair])}
            for pair in pairs]


def draw_confusion(logits, labels, temperature, path):
    """Both confusion matrices as one SVG picture: shares of a row's truth, counts written in."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "drumfs", "svg.fonttype": "none", "font.family": "sans-serif"})
    import matplotlib.pyplot as plt

    fine = softmax(logits, temperature)
    order = np.argsort(TO_CANONICAL * 100 + np.arange(len(LABELS)), kind="stable")
    rank = np.argsort(order)
    matrices = [
        (CANONICAL, confusion_matrix(TO_CANONICAL[labels], to_canonical(fine).argmax(1), labels=range(len(CANONICAL)))),
        ([LABELS[i] for i in order], confusion_matrix(rank[labels], rank[fine.argmax(1)], labels=range(len(LABELS)))),
    ]
    figure, axes = plt.subplots(2, 1, figsize=(11, 17), height_ratios=(5, 11), layout="constrained")
    figure.patch.set_facecolor("white")
    for axis, (names, matrix) in zip(axes, matrices):
        share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
        axis.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axis.set_xticks(range(len(names)), names, rotation=60, ha="right")
        axis.set_yticks(range(len(names)), [f"{name} ({count})" for name, count in zip(names, matrix.sum(1))])
        axis.set_xlabel("said")
        axis.set_ylabel("truth (samples)")
        for row, column in np.argwhere(matrix):
            axis.text(column, row, matrix[row, column], ha="center", va="center", fontsize=7 if len(names) > 9 else 10,
                      color="white" if share[row, column] > 0.55 else "black")
    axes[0].set_title("Kits that were not heard: folders, and all labels (kit classes first)")
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)
