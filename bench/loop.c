/* The bare client: what librdkafka costs without a program around it.
 *
 *     loop produce BROKERS TOPIC FILE     each line of FILE is a record; Snappy, idempotent
 *     loop consume BROKERS TOPIC          the records up to now, one line each on stdout
 *
 * Built by bench/run with cc against Debian's librdkafka-dev, the library that kcat uses there.
 * Produce hands over 1,000 lines at a time to one partition, in turn; consume asks the batch
 * call for one record and then takes all that are queued. Nothing is validated, decoded or counted,
 * except to know that all records arrived.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BATCH = 1000, CHUNK = 256 * 1024 };

static long failed;

static void die(const char *what, const char *why) {
    fprintf(stderr, "loop: %s: %s\n", what, why);
    exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char why[512];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK) die(name, why);
}

static rd_kafka_t *client(rd_kafka_type_t type, rd_kafka_conf_t *conf) {
    char why[512];
    rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof why);
    if (!rk) die("client", why);
    return rk;
}

static int partitions(rd_kafka_t *rk, rd_kafka_topic_t *rkt) {
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t err = rd_kafka_metadata(rk, 0, rkt, &metadata, 10000);
    if (err) die("metadata", rd_kafka_err2str(err));
    int count = metadata->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    return count;
}

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
    (void)rk, (void)opaque;
    if (message->err) failed++;
}

static int produce(const char *brokers, const char *topic, const char *path) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", brokers);
    set(conf, "enable.idempotence", "true");
    set(conf, "compression.type", "snappy");
    set(conf, "queue.buffering.max.messages", "50000");
    set(conf, "linger.ms", "5");
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, conf);
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
    int spread = partitions(rk, rkt), partition = 0;

    int fd = open(path, O_RDONLY);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0) die(path, "can't be opened");
    char *at = mmap(NULL, info.st_size, PROT_READ, MAP_PRIVATE, fd, 0), *end = at + info.st_size;
    static rd_kafka_message_t batch[BATCH];
    while (at < end) {
        int count = 0;
        for (; count < BATCH && at < end; count++) {
            char *newline = memchr(at, '\n', end - at);
            if (!newline) newline = end;
            batch[count] = (rd_kafka_message_t){.payload = at, .len = newline - at};
            at = newline + 1;
        }
        for (int done = 0; done < count;) {
            rd_kafka_produce_batch(rkt, partition, RD_KAFKA_MSG_F_COPY, batch + done, count - done);
            while (done < count && !batch[done].err) done++;
            if (done < count && batch[done].err != RD_KAFKA_RESP_ERR__QUEUE_FULL)
                die("produce", rd_kafka_err2str(batch[done].err));
            rd_kafka_poll(rk, done < count ? 10 : 0);
            for (int i = done; i < count; i++) batch[i].err = 0;
        }
        partition = (partition + 1) % spread;
    }
    while (rd_kafka_outq_len(rk) > 0) rd_kafka_poll(rk, 1);
    return failed != 0;
}

static char out[CHUNK + 1024 * 1024];
static size_t filled;

static void write_out(void) {
    for (size_t at = 0; at < filled;) {
        ssize_t wrote = write(STDOUT_FILENO, out + at, filled - at);
        if (wrote < 0) die("stdout", "can't be written");
        at += wrote;
    }
    filled = 0;
}

static int consume(const char *brokers, const char *topic) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", brokers);
    set(conf, "group.id", "loop");
    set(conf, "enable.auto.commit", "false");
    set(conf, "enable.partition.eof", "true");
    set(conf, "queued.min.messages", "1000000");
    set(conf, "fetch.wait.max.ms", "20");
    rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, conf);
    rd_kafka_poll_set_consumer(rk);
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
    int open_ends = partitions(rk, rkt);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(open_ends);
    for (int p = 0; p < open_ends; p++)
        rd_kafka_topic_partition_list_add(list, topic, p)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_assign(rk, list);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(rk);
    static rd_kafka_message_t *messages[BATCH];
    while (open_ends > 0) {
        ssize_t count = rd_kafka_consume_batch_queue(queue, 100, messages, 1);
        if (count == 1) count += rd_kafka_consume_batch_queue(queue, 0, messages + 1, BATCH - 1);
        for (ssize_t i = 0; i < count; i++) {
            rd_kafka_message_t *message = messages[i];
            if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
                open_ends--;
            } else if (message->err) {
                die("consume", rd_kafka_message_errstr(message));
            } else {
                if (filled + message->len >= sizeof out) write_out();
                memcpy(out + filled, message->payload, message->len);
                filled += message->len;
                out[filled++] = '\n';
                if (filled >= CHUNK) write_out();
            }
            rd_kafka_message_destroy(message);
        }
    }
    write_out();
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 5 && !strcmp(argv[1], "produce")) _exit(produce(argv[2], argv[3], argv[4]));
    if (argc == 4 && !strcmp(argv[1], "consume")) _exit(consume(argv[2], argv[3]));
    die("usage", "loop produce BROKERS TOPIC FILE | loop consume BROKERS TOPIC");
}
