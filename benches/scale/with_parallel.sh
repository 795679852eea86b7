#!/bin/bash
# Listens to an archive with GNU parallel: the list in parts, one `drumfs worker` a part. Running it again goes on where it
# ended: parts that are done are not heard again.
#
#     with_parallel.sh ARCHIVE OUT [JOBS]        writes OUT/index.jsonl
#
# On several machines that see the archive and OUT: set SSHLOGINS, such as SSHLOGINS=host1,host2.
set -euo pipefail
archive=$(realpath "$1") out=$(realpath -m "$2") jobs=${3:-$(nproc)}
drumfs=${DRUMFS:-drumfs} lines=${LINES_A_PART:-2000}
mkdir -p "$out/parts"

if [ ! -e "$out/listed" ]; then
    "$drumfs" worker --root "$archive" --list > "$out/list"
    split --lines="$lines" --suffix-length=6 --numeric-suffixes "$out/list" "$out/parts/"
    touch "$out/listed"
fi

# A part is there when it is whole: a worker that is killed leaves nothing but a .new, and --retries runs it again.
part() {
    "$1" worker --root "$2" --threads 1 < "$3" > "$3.jsonl.new" && mv "$3.jsonl.new" "$3.jsonl"
}
export -f part
find "$out/parts" -type f ! -name '*.jsonl*' | sort |
    parallel ${SSHLOGINS:+--sshlogin "$SSHLOGINS" --env part} --jobs "$jobs" --retries 3 --joblog "$out/joblog" \
        --resume-failed part "$drumfs" "$archive" {}

cat "$out"/parts/*.jsonl > "$out/index.jsonl.new"
mv "$out/index.jsonl.new" "$out/index.jsonl"
