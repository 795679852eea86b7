"""Writes the figures into the model card, between its marks, so that they are the ones that were computed."""

from labels import CANONICAL

NAMES = {
    "top1_of_34": "top-1 of 34", "top3_of_34": "top-3 of 34", "macro_f1_of_34": "macro-F1 of 34",
    "top1_of_7": "top-1 of 7", "macro_f1_of_7": "macro-F1 of 7", "ece_of_34": "calibration error, 34",
    "ece_of_7": "calibration error, 7", "nll_of_34": "negative log likelihood, 34", "nll_of_7": "negative log likelihood, 7",
}


def shown(name, value):
    return f"{value:.3f}" if name.startswith(("ece", "nll")) else f"{100 * value:.1f} %"


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def figures_section(report):
    seeds, folds = report["seeds"], report["folds"]
    parts = [f"{report['samples']} samples, {report['kits']} kits in {report['groups']} groups; {folds} folds, "
             f"{seeds} repetitions with other folds and other seeds. Printed and written to `evaluation.json` by",
             f"    {report['command']}"]
    rows = [[NAMES[name], shown(name, value["mean"]), shown(name, value["sd"]),
             " to ".join(shown(name, report["single_folds"][name][end]) for end in ("least", "most")),
             shown(name, report["uncalibrated"][name]["mean"]) if name.startswith(("ece", "nll")) else "",
             shown(name, report["shipped"]["figures"][name])]
            for name, value in report["figures"].items()]
    parts.append(table(["", "mean", "spread (sd) of repetitions", "single folds", "before calibration",
                        "shipped, on its own held-out kits"], rows))
    parts.append("What the class folders hold at a threshold: how much of it belongs there (precision), how many of the "
                 "samples that belong in a class folder are in theirs (coverage).")
    thresholds = list(report["folders"])
    rows = [[row, *(f"{100 * report['folders'][t][row]['mean']:.1f} %" for t in thresholds)]
            for row in ("precision", "coverage")]
    parts.append(table(["threshold", *thresholds], rows))
    parts.append("Quarters of the samples, by what may make them hard. Least bandwidth: the highest band within 60 dB of the "
                 "loudest.")
    columns = ["top1_of_34", "top1_of_7", "macro_f1_of_7", "ece_of_7"]
    rows = [[name, *(shown(c, quarter["figures"][c]["mean"]) for c in columns),
             *(f"{100 * quarter['folders']['0.5'][row]['mean']:.1f} %" for row in ("precision", "coverage"))]
            for name, quarter in report["quarters"].items()]
    parts.append(table(["quarter", *(NAMES[c] for c in columns), "precision at 0.5", "coverage at 0.5"], rows))
    matrix = report["confusion_of_7"]
    rows = [[CANONICAL[i], *row, f"{row[i] / max(sum(row), 1):.2f}"] for i, row in enumerate(matrix)]
    parts.append("First repetition, truth by rows (picture of this and of all 34: [confusion.svg](confusion.svg)):")
    parts.append(table(["truth \\ said", *CANONICAL, "recall"], rows))
    return "\n\n".join(parts)


def classes_section(report):
    rows = [[label, c["samples"], c["kits"], f"{c['recall']:.2f}",
             "" if c["precision"] is None else f"{c['precision']:.2f}", f"{c['folder_recall']:.2f}"]
            for label, c in report["classes"].items()]
    return table(["label", "samples", "kits", "recall", "precision", "recall of its folder"], rows)


def write(path, report):
    text = path.read_text()
    for mark, section in (("figures", figures_section(report)), ("classes", classes_section(report))):
        begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n\n{section}\n\n{end}{rest.split(end)[1]}"
    path.write_text(text)
