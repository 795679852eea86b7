#!/bin/bash
# Stands in for Slurm where there is none: runs array_task.sh once a shard, JOBS at a time, and those that failed again.
#
#     with_array.sh ARCHIVE OUT [JOBS [SHARDS]]        writes OUT/index.jsonl
set -euo pipefail
here=$(dirname "$(realpath "$0")")
export ARCHIVE=$(realpath "$1") OUT=$(realpath -m "$2") DRUMFS=${DRUMFS:-drumfs}
jobs=${3:-$(nproc)} shards=${4:-16}
export SLURM_ARRAY_TASK_COUNT=$shards SLURM_CPUS_PER_TASK=1
for attempt in 1 2 3; do
    for task in $(seq "$shards"); do
        while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || true; done
        SLURM_ARRAY_TASK_ID=$task "$here/array_task.sh" || echo "shard $task failed (attempt $attempt)" >&2 &
    done
    wait
done
cat "$OUT"/shard-*-of-"$shards".jsonl > "$OUT/index.jsonl.new"
[ "$(ls "$OUT"/shard-*-of-"$shards".jsonl | wc -l)" = "$shards" ] || { echo "some shards are missing" >&2; exit 1; }
mv "$OUT/index.jsonl.new" "$OUT/index.jsonl"
