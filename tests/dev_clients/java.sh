#!/bin/sh
# Kafka's own console tools against the broker in KQ_BROKERS.
#   kq dev -- env KAFKA_JARS=DIR sh tests/dev_clients/java.sh
# DIR holds the jars of org.apache.kafka:kafka-tools:4.1.0 and what it depends on.
set -eu
tool() { main=$1; shift; java -cp "$KAFKA_JARS/*" "org.apache.kafka.tools.$main" --bootstrap-server "$KQ_BROKERS" "$@"; }
tool TopicCommand --create --topic j --partitions 3 --replication-factor 2
tool TopicCommand --describe --topic j
for codec in none gzip snappy lz4 zstd; do
    seq 100 | tool ConsoleProducer --topic j --compression-codec "$codec"
done
read=$(tool consumer.ConsoleConsumer --topic j --group jg --from-beginning --max-messages 500 | wc -l)
test "$read" -eq 500
tool consumer.group.ConsumerGroupCommand --describe --group jg
tool consumer.group.ConsumerGroupCommand --list
tool TopicCommand --delete --topic j
tool TopicCommand --list
