#!/usr/bin/env bash
# Requests that schemathesis makes of docs/openapi.yaml, against kq serve: each answer is one that it describes.
#
#   kq dev -- tests/serve_clients/openapi.sh SCHEMATHESIS SECONDS
#
# KQ names the binary (target/debug/kq). A test of the document as much as of kq.

set -euo pipefail
schemathesis=$(realpath "$1") seconds=$2 here=$PWD
kq=$(realpath "${KQ:-target/debug/kq}")
# It leaves files where it runs.
folder=$(mktemp -d)
cd "$folder"
coproc SERVE { exec "$kq" serve orders --listen 127.0.0.1:0 --quiet; }
serve=$SERVE_PID
trap 'kill "$serve" 2>/dev/null || true; rm -rf "$folder"' EXIT
read -r address <&"${SERVE[0]}"
# What the document takes and kq may refuse all the same: two keys, a partition that is not there, a JSON number
# out of range.
SCHEMATHESIS_HOOKS=$here/tests/serve_clients/openapi_hooks.py \
  "$schemathesis" run "$here/docs/openapi.yaml" --url "http://$address" --seed 13 --max-time "$seconds" \
  --phases examples,coverage,fuzzing --exclude-checks positive_data_acceptance --suppress-health-check all \
  --warnings off --no-color
kill "$serve"
wait "$serve"
# It would pass too if all were refused.
records=$("$kq" consume orders -e --quiet -f '.' | wc -c)
((records >= 5)) || { echo "only $records records were published" >&2; exit 1; }
echo "all answers are as docs/openapi.yaml says, $records records published ($("$schemathesis" --version))"
