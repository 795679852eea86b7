#!/usr/bin/env python3
"""Listens to an archive with Ray Data: map_batches through `drumfs worker`.

    pip install 'ray[data]==2.60.0'
    with_ray.py ARCHIVE OUT [--jobs N] [--batch N]      writes OUT/index.jsonl

A worker that was killed is started again for its batch, up to 4 times; a process of Ray's that was killed is Ray's to
start again, which it does by itself.
"""

import argparse
import os
import subprocess

import ray

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("archive")
parser.add_argument("out")
parser.add_argument("--jobs", type=int, default=os.cpu_count())
parser.add_argument("--batch", type=int, default=2000)
parser.add_argument("--address", help="of a cluster that sees the archive [default: this machine]")
args = parser.parse_args()
drumfs = os.environ.get("DRUMFS", "drumfs")
archive, out = os.path.realpath(args.archive), os.path.realpath(args.out)


def hear(batch):
    """The records of a batch of lines of the list."""
    command = [drumfs, "worker", "--root", archive, "--threads", "1"]
    lines = "\n".join(batch["line"]) + "\n"
    for _ in range(4):
        done = subprocess.run(command, input=lines.encode(), stdout=subprocess.PIPE)
        if done.returncode == 0:
            return {"record": done.stdout.decode().removesuffix("\n").split("\n")}
    raise RuntimeError(f"drumfs worker ended with {done.returncode} four times")


os.makedirs(out, exist_ok=True)
listed = subprocess.run([drumfs, "worker", "--root", archive, "--list"], stdout=subprocess.PIPE, check=True).stdout
lines = listed.decode().removesuffix("\n").split("\n")
where = {"address": args.address} if args.address else {"num_cpus": args.jobs, "include_dashboard": False}
ray.init(log_to_driver=False, **where)
ray.data.DataContext.get_current().execution_options.preserve_order = True
ray.data.DataContext.get_current().enable_progress_bars = False
blocks = max(1, -(-len(lines) // args.batch))
dataset = ray.data.from_items([{"line": line} for line in lines], override_num_blocks=blocks)
dataset = dataset.map_batches(hear, batch_size=None)
with open(os.path.join(out, "index.jsonl.new"), "w") as file:
    for row in dataset.iter_rows():
        file.write(row["record"] + "\n")
os.rename(os.path.join(out, "index.jsonl.new"), os.path.join(out, "index.jsonl"))
