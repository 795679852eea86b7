#!/usr/bin/env python3
"""Listens to an archive with PySpark: RDD.pipe through `drumfs worker`.

    pip install pyspark==4.3.0          # and Java 17
    with_spark.py ARCHIVE OUT [--jobs N] [--partitions N] [--master URL]      writes OUT/part-*

`checkCode=True` makes a worker that was killed fail its task, which Spark then runs again; without it what it had not yet
said would be missing and nobody told. A task's output is taken whole or not at all.
"""

import argparse
import os
import shlex
import shutil
import subprocess

from pyspark import SparkConf, SparkContext

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("archive")
parser.add_argument("out")
parser.add_argument("--jobs", type=int, default=os.cpu_count())
parser.add_argument("--partitions", type=int, default=25)
parser.add_argument("--master", help="of a cluster that sees the archive [default: this machine, 4 attempts a task]")
args = parser.parse_args()
drumfs = os.environ.get("DRUMFS", "drumfs")
archive, out = os.path.realpath(args.archive), os.path.realpath(args.out)

paths = out + ".list"
with open(paths, "wb") as file:
    subprocess.run([drumfs, "worker", "--root", archive, "--list"], stdout=file, check=True)
shutil.rmtree(out, ignore_errors=True)
conf = SparkConf().setAppName("drumfs").setMaster(args.master or f"local[{args.jobs},4]")
conf.set("spark.ui.enabled", "false")
with SparkContext(conf=conf) as spark:
    spark.setLogLevel("ERROR")
    command = shlex.join([drumfs, "worker", "--root", archive, "--threads", "1"])
    spark.textFile(paths, args.partitions).pipe(command, os.environ, checkCode=True).saveAsTextFile(out)
