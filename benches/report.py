#!/usr/bin/env python3
"""Puts the benches' results into docs/performance.md and docs/scale.md.

    python3 benches/report.py RESULTS_DIR

RESULTS_DIR holds what the commands at the top of the first document write (`--json`). Between the lines `<!-- NAME -->` and
`<!-- end -->` of a document everything is replaced by the tables of that result; a section whose result is not in
RESULTS_DIR is left as it is. `<!-- targets -->` becomes one table of every target that the results have a figure for.
"""

import argparse
import os
import re
import sys

import common
import indexing
import million
import rules_save
import side_by_side

sys.path.append(os.path.join(common.HERE, "scale"))
import scale  # noqa: E402

DOCUMENTS = [os.path.join(common.HERE, "..", "docs", name) for name in ("performance.md", "scale.md")]
# File of the results -> how its tables are made.
TABLES = {
    "side_by_side-50000.json": side_by_side.tables,
    "side_by_side-1000000.json": side_by_side.tables,
    "rules_save-50000.json": rules_save.tables,
    "rules_save-1000000.json": rules_save.tables,
    "million.json": million.tables,
    "indexing.json": indexing.table,
    "scale.json": scale.tables,
}


def figures_of(result):
    return {(f["row"], f["peer"], f["condition"]): f for f in result["figures"]}


def targets(results):
    lines = []

    def add(source, rows):
        lines.extend([*row, f"`{source.removesuffix('.json')}`"] for row in rows)

    for source, result in results.items():
        if source.startswith("side_by_side"):
            count = f"{result['originals']['files']:,}"
            judged = side_by_side.judge(result, figures_of(result))
            add(source, [[f"{row}, {condition}, {count} files" + ("" if mode == "drumfs" else f", {mode}"),
                          f"{limit} × native", measured, met] for mode, row, condition, limit, measured, met in judged])
            behind, compared = side_by_side.peers_ahead(result)
            ahead = f"{compared - len(behind)} of {compared}"
            add(source, [[f"ahead of every peer in every row, {count} files", "all", ahead,
                          "missed" if behind else "met"]])
        elif source.startswith("rules_save"):
            add(source, rules_save.targets(result))
        elif source.startswith("million"):
            add(source, million.targets(result))
        elif source.startswith("indexing"):
            add(source, indexing.targets(result))
    return common.table(["target", "asked", "measured", "", "from"], lines, markdown=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", metavar="RESULTS_DIR")
    args = parser.parse_args()
    paths = {name: os.path.join(args.results, name) for name in TABLES}
    results = {name: common.read_json(path) for name, path in paths.items() if os.path.exists(path)}
    def section(match):
        name = match.group(1)
        if name == "targets" and results:
            inner = targets(results)
        elif name in results:
            inner = TABLES[name](results[name], True)
        else:
            return match.group(0)
        return f"<!-- {name} -->\n\n{inner}\n\n<!-- end -->"

    for document in DOCUMENTS:
        with open(document) as file:
            text = file.read()
        text = re.sub(r"<!-- (\S+) -->\n.*?<!-- end -->", section, text, flags=re.DOTALL)
        with open(document + ".new", "w") as file:
            file.write(text)
        os.replace(document + ".new", document)


if __name__ == "__main__":
    main()
