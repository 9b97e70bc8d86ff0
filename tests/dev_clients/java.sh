#!/bin/sh
# Kafka's own console tools against the broker in KQ_BROKERS or the first argument.
#   kq dev -- env KAFKA_JARS=DIR sh tests/dev_clients/java.sh
# DIR holds the jars of org.apache.kafka:kafka-tools:4.1.0 and what it depends on.
set -eu
brokers=${1:-$KQ_BROKERS}
topic=java-$$
group=$topic
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'kill "${one:-}" "${two:-}" 2>/dev/null || :; rm -rf "$scratch"' EXIT

tool() {
    main=$1
    shift
    java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "-Dlog4j2.configurationFile=$here/../kafka/log4j2.properties" \
        -cp "$KAFKA_JARS/*" "org.apache.kafka.tools.$main" --bootstrap-server "$brokers" "$@" 2>>"$scratch/err"
}
fail() {
    echo "$*" >&2
    tail -n 20 "$scratch"/* >&2
    exit 1
}
# Waits up to 40 s until the command holds; says which did not.
await() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -lt 400 ] || fail "not within 40 s: $*"
        sleep 0.1
    done
}
expect() { [ "$2" = "$3" ] || fail "$1: expected '$2', saw '$3'"; }
distinct() { [ "$(cat "$scratch/one" "$scratch/two" | sort -u | wc -l)" -eq "$1" ]; }
some() { [ -s "$scratch/$1" ]; }
produce() { tool ConsoleProducer --topic "$topic" --compression-codec "$1" --producer-property partitioner.class=org.apache.kafka.clients.producer.RoundRobinPartitioner; }
# A member in the background, itself and no shell: it can be killed. Its output is a file.
member() {
    name=$1
    shift
    (
        java() { exec env java "$@"; }
        tool consumer.ConsoleConsumer --topic "$topic" --group "$group" "$@" \
            --consumer-property auto.offset.reset=earliest \
            --consumer-property session.timeout.ms=6000 --consumer-property heartbeat.interval.ms=500
    ) >"$scratch/$name" &
}

tool TopicCommand --create --topic "$topic" --partitions 3 --replication-factor 1 >/dev/null
expect "partitions" 3 "$(tool TopicCommand --describe --topic "$topic" | grep -c 'Partition: ')"
for codec in none gzip snappy lz4 zstd; do seq -f "$codec-%g" 100 | produce "$codec"; done

: >"$scratch/one"
: >"$scratch/two"
member one
one=$!
await distinct 500
member two
two=$!
# The second has its part when it has read something new: lines come until it has.
fed=0
until some two; do
    fed=$((fed + 1))
    [ "$fed" -le 10 ] || fail "the second member read nothing"
    seq -f "fed-$fed-%g" 30 | produce none
done
await distinct $((500 + 30 * fed))
# Killed, and nothing tells the broker: what comes now must reach the one that is left.
kill -9 "$two"
wait "$two" 2>/dev/null || :
began=$(date +%s)
seq -f "after-%g" 30 | produce none
await distinct $((530 + 30 * fed))
took=$(($(date +%s) - began))
# Its session, a rebalance, and a producer's start.
[ "$took" -le 15 ] || fail "the killed member was replaced after $took s, its session is 6 s"
kill -TERM "$one"
wait "$one" || :

# What was read is committed: a new member gets what is new, and no more.
total=$((530 + 30 * fed))
lag() { tool consumer.group.ConsumerGroupCommand --describe --group "$group" | awk -v t="$topic" '$2 == t { at += $4; lag += $6 } END { print at, lag }'; }
expect "sum of the committed offsets, and the lag" "$total 0" "$(lag)"
seq -f "more-%02g" 10 | produce none
: >"$scratch/two"
member one --max-messages 10
one=$!
wait "$one" || fail "a new member ended with $?"
expect "what a new member reads" "$(seq -f "more-%02g" 10)" "$(sort "$scratch/one")"
expect "the same after it" "$((total + 10)) 0" "$(lag)"

expect "the group is listed" "$group" "$(tool consumer.group.ConsumerGroupCommand --list | grep -x "$group")"
expect "the topic is listed" "$topic" "$(tool TopicCommand --list | grep -x "$topic")"
# The calls of administrators' tools.
command=$(tool FeatureCommand describe)
case $command in *metadata.version*) ;; *) fail "no metadata.version: $command" ;; esac
size() { tool LogDirsCommand --describe --topic-list "$topic" | tr '{' '\n' | sed -n 's/.*"size":\([0-9]*\).*/\1/p' | awk '{ n += $1 } END { print (n > 0) }'; }
expect "the topic has a size" 1 "$(size)"
expect "transactions" 1 "$(tool TransactionsCommand list | wc -l)"

tool consumer.group.ConsumerGroupCommand --delete --group "$group" >/dev/null
tool TopicCommand --delete --topic "$topic"
expect "the topic is gone" "" "$(tool TopicCommand --list | grep -x "$topic")"
version=$(basename "$(ls "$KAFKA_JARS"/kafka-clients-*.jar)" .jar)
echo "Java console tools, $version: all, the killed member replaced within $took s (its session is 6 s)"
