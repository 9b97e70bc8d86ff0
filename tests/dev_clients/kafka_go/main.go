// kafka-go against the broker in KQ_BROKERS or the first argument.
//
//	cd tests/dev_clients && kq dev -- go run ./kafka_go
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"kq/tests/dev_clients/check"
)

func reader(brokers, topic, group string) *kafka.Reader {
	return kafka.NewReader(kafka.ReaderConfig{
		Brokers: strings.Split(brokers, ","), GroupID: group, Topic: topic, StartOffset: kafka.FirstOffset,
		SessionTimeout: check.Session, HeartbeatInterval: 300 * time.Millisecond, RebalanceTimeout: 5 * time.Second,
		JoinGroupBackoff: 200 * time.Millisecond, MaxWait: 200 * time.Millisecond,
		ReadBackoffMin: 10 * time.Millisecond, ReadBackoffMax: 100 * time.Millisecond,
	})
}

func produce(ctx context.Context, brokers, topic string, codec kafka.Compression, values []string) {
	writer := &kafka.Writer{
		Addr: kafka.TCP(strings.Split(brokers, ",")...), Compression: codec, Balancer: &kafka.RoundRobin{},
		BatchTimeout: 5 * time.Millisecond, RequiredAcks: kafka.RequireAll,
	}
	messages := make([]kafka.Message, 0, len(values))
	for _, value := range values {
		messages = append(messages, kafka.Message{Topic: topic, Key: []byte(value), Value: []byte(value)})
	}
	check.Must("produce", writer.WriteMessages(ctx, messages...))
	check.Must("close a writer", writer.Close())
}

// read takes so many messages and commits them.
func read(ctx context.Context, from *kafka.Reader, count int) []string {
	values := []string{}
	for len(values) < count {
		message, err := from.FetchMessage(ctx)
		check.Must(fmt.Sprintf("read message %d of %d", len(values)+1, count), err)
		values = append(values, string(message.Value))
		check.Must("commit", from.CommitMessages(ctx, message))
	}
	slices.Sort(values)
	return values
}

// shares is how many partitions each member has, fewest first.
func shares(ctx context.Context, client *kafka.Client, group string) []int {
	answer, err := client.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	check.Must("describe the group", err)
	counts := []int{}
	if answer.Groups[0].GroupState == "Stable" {
		for _, member := range answer.Groups[0].Members {
			count := 0
			for _, topic := range member.MemberAssignments.Topics {
				count += len(topic.Partitions)
			}
			counts = append(counts, count)
		}
	}
	slices.Sort(counts)
	return counts
}

func main() {
	brokers := check.Brokers()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if len(os.Args) > 3 {
		// The member that is killed.
		for from := reader(brokers, os.Args[2], os.Args[3]); ; {
			_, err := from.FetchMessage(ctx)
			check.Must("read as the second member", err)
		}
	}
	topic := fmt.Sprintf("kafka-go-%d", os.Getpid())
	group := topic
	client := &kafka.Client{Addr: kafka.TCP(strings.Split(brokers, ",")...)}
	created, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 3, ReplicationFactor: 1}},
	})
	check.Must("create a topic", err)
	check.Must("create a topic", created.Errors[topic])
	check.Await("the topic's leaders are there", func() bool {
		metadata, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
		check.Must("metadata", err)
		return metadata.Topics[0].Error == nil && len(metadata.Topics[0].Partitions) == 3
	})

	sent := []string{}
	for name, codec := range map[string]kafka.Compression{
		"none": 0, "gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd,
	} {
		values := check.Values(name, 100)
		produce(ctx, brokers, topic, codec, values)
		sent = append(sent, values...)
	}
	slices.Sort(sent)
	one := reader(brokers, topic, group)
	check.Expect("values of all codecs", sent, read(ctx, one, len(sent)))

	// A second member takes a part, and is killed: nothing tells the broker.
	two := exec.Command(os.Args[0], brokers, topic, group)
	two.Stderr = os.Stderr
	check.Must("start a second member", two.Start())
	check.Await("both have partitions", func() bool { return reflect.DeepEqual(shares(ctx, client, group), []int{1, 2}) })
	check.Must("kill it", two.Process.Kill())
	_ = two.Wait()
	killed := time.Now()
	check.Await("one has all partitions", func() bool { return reflect.DeepEqual(shares(ctx, client, group), []int{3}) })
	took := check.Replaced(killed)
	after := check.Values("after", 9)
	produce(ctx, brokers, topic, 0, after)
	check.Expect("what came after the kill", after, read(ctx, one, len(after)))
	check.Must("leave", one.Close())
	offsets, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {0, 1, 2}}})
	check.Must("fetch offsets", err)
	committed := int64(0)
	for _, partition := range offsets.Topics[topic] {
		committed += partition.CommittedOffset
	}
	check.Expect("sum of the committed offsets", int64(len(sent)+len(after)), committed)

	// A new member gets what is new, and nothing twice.
	more := check.Values("more", 10)
	produce(ctx, brokers, topic, 0, more)
	again := reader(brokers, topic, group)
	check.Expect("what a new member reads", more, read(ctx, again, len(more)))
	check.Must("leave", again.Close())

	groups, err := client.ListGroups(ctx, &kafka.ListGroupsRequest{})
	check.Must("list groups", err)
	check.Expect("the group is listed", true, slices.ContainsFunc(groups.Groups, func(g kafka.ListGroupsResponseGroup) bool { return g.GroupID == group }))
	deleted, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	check.Must("delete the topic", err)
	check.Must("delete the topic", deleted.Errors[topic])
	fmt.Printf("kafka-go %s: all, the killed member replaced in %.1f s\n", check.Version("github.com/segmentio/kafka-go"), took.Seconds())
}
