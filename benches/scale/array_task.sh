#!/bin/bash
#SBATCH --array=1-16
#SBATCH --cpus-per-task=2
# One task of an array: the shard of the archive that its number says.
#
#     sbatch --export=ALL,ARCHIVE=/data/archive,OUT=/data/out array_task.sh
#
# A task that ends in failure is run again alone: sbatch --array=7 … (its shard's file is only there when it is whole; keep
# the number of tasks: SHARDS=16).
set -euo pipefail
task=$SLURM_ARRAY_TASK_ID shards=${SHARDS:-$SLURM_ARRAY_TASK_COUNT}
shard=$OUT/shard-$task-of-$shards.jsonl
mkdir -p "$OUT"
[ -e "$shard" ] && exit
"${DRUMFS:-drumfs}" worker --root "$ARCHIVE" --list --shard "$task/$shards" |
    "${DRUMFS:-drumfs}" worker --root "$ARCHIVE" --threads "${SLURM_CPUS_PER_TASK:-1}" > "$shard.new"
mv "$shard.new" "$shard"
