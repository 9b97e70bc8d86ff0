#!/bin/sh
# kcat against the broker in KQ_BROKERS or the first argument, its topic made on first use:
#   kq dev -- sh tests/dev_clients/kcat.sh
set -eu
brokers=${1:-$KQ_BROKERS}
topic=kcat-$$
scratch=$(mktemp -d)
trap 'kill "${one:-}" "${two:-}" 2>/dev/null || :; rm -rf "$scratch"' EXIT

# Waits up to 20 s until the command holds; says which did not.
await() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || { echo "not within 20 s: $*" >&2; return 1; }
        sleep 0.1
    done
}
# Both members wrote this many different lines in all.
distinct() { [ "$(cat "$scratch/one" "$scratch/two" | sort -u | wc -l)" -eq "$1" ]; }
rebalances() { grep -c "assigned:" "$scratch/$1.err" | grep -qx "$2"; }

for codec in none gzip snappy lz4 zstd; do
    seq -f "$codec-%g" 100 | kcat -b "$brokers" -P -t "$topic" -z "$codec"
done
kcat -b "$brokers" -L | grep -q "topic \"$topic\" with 4 partitions"

member() {
    kcat -b "$brokers" -X session.timeout.ms=3000 -X heartbeat.interval.ms=300 -X auto.offset.reset=earliest \
        -u -G "$topic" "$topic" >"$scratch/$1" 2>"$scratch/$1.err" &
}
: >"$scratch/one"; : >"$scratch/two"
member one; one=$!
await distinct 500
member two; two=$!
await rebalances two 1
# Killed, and nothing tells the broker: its partitions must come to the one that is left.
kill -9 "$two"
wait "$two" 2>/dev/null || :
began=$(date +%s)
for n in $(seq 4); do seq -f "after-$n-%g" 25 | kcat -b "$brokers" -P -t "$topic" -p $((n - 1)); done
await distinct 600
took=$(($(date +%s) - began))
[ "$took" -le 10 ] || { echo "the killed member was replaced after $took s, its session is 3 s" >&2; exit 1; }
kill -INT "$one"
wait "$one" || :
# What was read is committed: a new member gets what is new, and no more.
seq -f "more-%g" 10 | kcat -b "$brokers" -P -t "$topic"
: >"$scratch/one"; : >"$scratch/two"
member one; one=$!
await distinct 10
grep -vq '^more-' "$scratch/one" && { echo "records came again" >&2; exit 1; }
kill -INT "$one"
echo "kcat $(kcat -V | sed -n 's/^Version \([0-9.]*\).*librdkafka \([0-9.]*\).*/\1, librdkafka \2/p'): all, the killed member replaced within $took s (its session is 3 s)"
