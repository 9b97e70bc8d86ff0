import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Kafka's own client, for tests to compare kq with, and for what kq does not do: transactions, odd
 * timestamps, a group's lag. The brokers are those of KQ_BROKERS; records are in kq's JSON
 * form, their bytes in base64.
 *
 * <pre>
 * Interop write [TRANSACTIONAL_ID]          stdin: records with "topic", and {"do":"begin|commit|abort|flush"},
 *                                           each of which is answered by its name when it is done
 * Interop read TOPIC                        every record, from the start to the end of each partition
 * Interop member TOPIC GROUP ASSIGNOR       a member of a group, until stdin ends; commits what it printed
 * Interop lag TOPIC GROUP                   "PARTITION COMMITTED END" of each partition, -1 where nothing is committed
 * </pre>
 */
public final class Interop {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String BROKERS = System.getenv("KQ_BROKERS");
    private static final PrintStream OUT = new PrintStream(System.out, false, StandardCharsets.UTF_8);

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "write" -> write(args.length > 1 ? args[1] : null);
            case "read" -> read(args[1]);
            case "member" -> member(args[1], args[2], args[3]);
            case "lag" -> lag(args[1], args[2]);
            default -> throw new IllegalArgumentException(args[0]);
        }
        OUT.flush();
        // A transaction that is open stays open: nothing is closed.
        Runtime.getRuntime().halt(0);
    }

    private static void write(String transactionalId) throws Exception {
        var settings = new java.util.HashMap<String, Object>(Map.of(
                "bootstrap.servers", BROKERS, "max.request.size", 10_000_000, "linger.ms", 5));
        if (transactionalId != null) {
            settings.put("transactional.id", transactionalId);
        }
        var producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
        if (transactionalId != null) {
            producer.initTransactions();
        }
        var sent = new ArrayList<Future<RecordMetadata>>();
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            JsonNode node = JSON.readTree(line);
            if (!node.has("do")) {
                sent.add(producer.send(recordOf(node)));
                continue;
            }
            String what = node.get("do").asText();
            switch (what) {
                case "begin" -> producer.beginTransaction();
                case "commit" -> producer.commitTransaction();
                case "abort" -> {
                    // What is not sent yet would be dropped, and leave nothing in the log.
                    producer.flush();
                    producer.abortTransaction();
                }
                case "flush" -> producer.flush();
                default -> throw new IllegalArgumentException(line);
            }
            OUT.println(what);
            OUT.flush();
        }
        producer.flush();
        for (var one : sent) {
            one.get();
        }
    }

    private static ProducerRecord<byte[], byte[]> recordOf(JsonNode node) throws Exception {
        Integer partition = node.hasNonNull("partition") ? node.get("partition").asInt() : null;
        Long timestamp = node.hasNonNull("timestamp") ? node.get("timestamp").asLong() : null;
        var record = new ProducerRecord<>(
                node.get("topic").asText(), partition, timestamp, bytes(node.get("key_base64")), bytes(node.get("value_base64")));
        for (JsonNode header : node.path("headers")) {
            record.headers().add(header.get(0).asText(), bytes(header.get(1).path("base64")));
        }
        return record;
    }

    private static byte[] bytes(JsonNode node) throws Exception {
        return node == null || node.isNull() || node.isMissingNode() ? null : node.binaryValue();
    }

    private static KafkaConsumer<byte[], byte[]> consumer(Map<String, Object> more) {
        var settings = new java.util.HashMap<String, Object>(Map.of(
                "bootstrap.servers", BROKERS, "enable.auto.commit", false, "auto.offset.reset", "earliest",
                "max.partition.fetch.bytes", 10_000_000, "fetch.max.wait.ms", 50));
        settings.putAll(more);
        return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private static void read(String topic) throws Exception {
        var consumer = consumer(Map.of());
        List<TopicPartition> partitions = consumer.partitionsFor(topic).stream()
                .map(info -> new TopicPartition(topic, info.partition()))
                .toList();
        consumer.assign(partitions);
        consumer.seekToBeginning(partitions);
        Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
        while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
            for (var record : consumer.poll(Duration.ofMillis(100))) {
                print(record);
            }
        }
    }

    private static void member(String topic, String group, String assignor) throws Exception {
        var consumer = consumer(Map.of(
                "group.id", group, "heartbeat.interval.ms", 200, "session.timeout.ms", 6000,
                "partition.assignment.strategy", "org.apache.kafka.clients.consumer." + assignor));
        consumer.subscribe(List.of(topic), new ConsumerRebalanceListener() {
            @Override
            public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
                // All that a poll gave was printed before the next: its new owner need not read it again.
                consumer.commitSync();
            }

            @Override
            public void onPartitionsAssigned(Collection<TopicPartition> partitions) {}
        });
        var ended = new java.util.concurrent.atomic.AtomicBoolean();
        var watcher = new Thread(() -> {
            try {
                System.in.transferTo(java.io.OutputStream.nullOutputStream());
            } catch (java.io.IOException e) {
                // It ended, too.
            }
            ended.set(true);
        });
        watcher.setDaemon(true);
        watcher.start();
        while (!ended.get()) {
            for (var record : consumer.poll(Duration.ofMillis(50))) {
                print(record);
            }
            OUT.flush();
            try {
                consumer.commitSync();
            } catch (org.apache.kafka.common.errors.RebalanceInProgressException e) {
                // The next poll completes it, and the next turn commits.
            }
        }
        consumer.close();
    }

    private static void lag(String topic, String group) {
        var consumer = consumer(Map.of("group.id", group));
        for (var info : consumer.partitionsFor(topic)) {
            var partition = new TopicPartition(topic, info.partition());
            var committed = consumer.committed(java.util.Set.of(partition)).get(partition);
            long end = consumer.endOffsets(List.of(partition)).get(partition);
            OUT.println(info.partition() + " " + (committed == null ? -1 : committed.offset()) + " " + end);
        }
    }

    private static void print(ConsumerRecord<byte[], byte[]> record) throws Exception {
        ObjectNode node = JSON.createObjectNode();
        node.put("topic", record.topic()).put("partition", record.partition()).put("offset", record.offset());
        node.put("timestamp", record.timestamp());
        node.put("key_base64", record.key()).put("value_base64", record.value());
        ArrayNode headers = node.putArray("headers");
        for (Header header : record.headers()) {
            ArrayNode pair = headers.addArray().add(header.key());
            if (header.value() == null) {
                pair.addNull();
            } else {
                pair.addObject().put("base64", header.value());
            }
        }
        OUT.println(JSON.writeValueAsString(node));
    }
}
