// franz-go (kgo, kadm: what kcl is made of) against the broker in KQ_BROKERS or the first argument.
//
//	cd tests/dev_clients && kq dev -- go run ./franz_go
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"kq/tests/dev_clients/check"
)

func client(brokers string, options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(strings.Split(brokers, ",")...))...)
	check.Must("make a client", err)
	return client
}

func member(brokers, topic, group string) *kgo.Client {
	return client(brokers, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(check.Session), kgo.HeartbeatInterval(300*time.Millisecond), kgo.FetchMaxWait(200*time.Millisecond))
}

func produce(ctx context.Context, brokers, topic string, codec kgo.CompressionCodec, values []string) {
	producer := client(brokers, kgo.ProducerBatchCompression(codec), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	defer producer.Close()
	records := []*kgo.Record{}
	for _, value := range values {
		records = append(records, &kgo.Record{Topic: topic, Key: []byte(value), Value: []byte(value)})
	}
	check.Must("produce", producer.ProduceSync(ctx, records...).FirstErr())
}

// read takes records until it has so many, and commits them.
func read(ctx context.Context, from *kgo.Client, count int) []string {
	values := []string{}
	for len(values) < count {
		fetches := from.PollFetches(ctx)
		check.Must(fmt.Sprintf("read after %d of %d records", len(values), count), fetches.Err())
		for _, record := range fetches.Records() {
			values = append(values, string(record.Value))
		}
	}
	check.Must("commit", from.CommitUncommittedOffsets(ctx))
	slices.Sort(values)
	return values
}

// shares is how many partitions each member has, fewest first.
func shares(ctx context.Context, admin *kadm.Client, group string) []int {
	groups, err := admin.DescribeGroups(ctx, group)
	check.Must("describe the group", err)
	counts := []int{}
	if groups[group].State == "Stable" {
		for _, member := range groups[group].Members {
			count := 0
			if assigned, is := member.Assigned.AsConsumer(); is {
				for _, topic := range assigned.Topics {
					count += len(topic.Partitions)
				}
			}
			counts = append(counts, count)
		}
	}
	slices.Sort(counts)
	return counts
}

// administer makes the calls of tools such as kcl and kafkactl, on a topic that was written to.
func administer(ctx context.Context, admin *kadm.Client, topic kadm.TopicDetail) {
	all := kadm.TopicsSet{}
	all.Add(topic.Topic, 0, 1, 2)
	acls, err := admin.DescribeACLs(ctx, kadm.NewACLs().AnyResource().Allow().Deny().AllowHosts().DenyHosts().Operations().ResourcePatternType(kadm.ACLPatternAny))
	check.Must("ask for ACLs", err)
	for _, answer := range acls {
		check.Expect("an ACL request without an authorizer", true, errors.Is(answer.Err, kerr.SecurityDisabled))
	}
	dirs, err := admin.DescribeAllLogDirs(ctx, all)
	check.Must("describe log directories", err)
	size := int64(0)
	dirs.Each(func(dir kadm.DescribedLogDir) { size += dir.Size() })
	check.Expect("the topic has a size", true, size > 0)
	moves := kadm.AlterPartitionAssignmentsReq{}
	leader := topic.Partitions[0].Leader
	moves.Assign(topic.Topic, 0, []int32{leader})
	moved, err := admin.AlterPartitionAssignments(ctx, moves)
	check.Must("assign a partition to where it is", err)
	check.Must("assign a partition to where it is", moved.Error())
	moving, err := admin.ListPartitionReassignments(ctx, all)
	check.Must("list reassignments", err)
	check.Expect("reassignments", 0, len(moving))
	elected, err := admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, all)
	check.Must("elect leaders", err)
	check.Expect("an election that is not needed", true, errors.Is(elected[topic.Topic][0].Err, kerr.ElectionNotNeeded))
	quotas, err := admin.DescribeClientQuotas(ctx, false, []kadm.DescribeClientQuotaComponent{{Type: "user", MatchType: 2}})
	check.Must("describe quotas", err)
	check.Expect("quotas", 0, len(quotas))
	users, err := admin.DescribeUserSCRAMs(ctx)
	check.Must("describe SCRAM users", err)
	check.Expect("SCRAM users", 0, len(users))
	producers, err := admin.DescribeProducers(ctx, all)
	check.Must("describe producers", err)
	wrote := 0
	producers.EachProducer(func(kadm.DescribedProducer) { wrote++ })
	check.Expect("producers are described", true, wrote > 0)
	transactions, err := admin.ListTransactions(ctx, nil, nil)
	check.Must("list transactions", err)
	check.Expect("transactions", 0, len(transactions))
}

func main() {
	brokers := check.Brokers()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if len(os.Args) > 3 {
		// The member that is killed.
		for killed := member(brokers, os.Args[2], os.Args[3]); ; {
			check.Must("read as the second member", killed.PollFetches(ctx).Err())
		}
	}
	topic := fmt.Sprintf("franz-go-%d", os.Getpid())
	group := topic
	admin := kadm.NewClient(client(brokers))
	created, err := admin.CreateTopic(ctx, 3, 1, nil, topic)
	check.Must("create a topic", err)
	check.Must("create a topic", created.Err)

	sent := []string{}
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		values := check.Values(name, 100)
		produce(ctx, brokers, topic, codec, values)
		sent = append(sent, values...)
	}
	slices.Sort(sent)
	one := member(brokers, topic, group)
	check.Expect("values of all codecs", sent, read(ctx, one, len(sent)))

	// A second member takes a part, and is killed: nothing tells the broker.
	two := exec.Command(os.Args[0], brokers, topic, group)
	two.Stderr = os.Stderr
	check.Must("start a second member", two.Start())
	check.Await("both have partitions", func() bool { return reflect.DeepEqual(shares(ctx, admin, group), []int{1, 2}) })
	check.Must("kill it", two.Process.Kill())
	_ = two.Wait()
	killed := time.Now()
	check.Await("one has all partitions", func() bool { return reflect.DeepEqual(shares(ctx, admin, group), []int{3}) })
	took := check.Replaced(killed)
	after := check.Values("after", 9)
	produce(ctx, brokers, topic, kgo.NoCompression(), after)
	check.Expect("what came after the kill", after, read(ctx, one, len(after)))
	one.Close()
	lag, err := admin.Lag(ctx, group)
	check.Must("ask for the lag", err)
	check.Expect("lag", int64(0), lag[group].Lag.Total())

	// A new member gets what is new, and nothing twice.
	more := check.Values("more", 10)
	produce(ctx, brokers, topic, kgo.NoCompression(), more)
	again := member(brokers, topic, group)
	check.Expect("what a new member reads", more, read(ctx, again, len(more)))
	again.Close()

	groups, err := admin.ListGroups(ctx)
	check.Must("list groups", err)
	check.Expect("the group is listed", true, slices.Contains(groups.Groups(), group))
	topics, err := admin.ListTopics(ctx)
	check.Must("list topics", err)
	check.Expect("the topic's partitions", 3, len(topics[topic].Partitions))
	check.Expect("the topic's id", created.ID, topics[topic].ID)
	administer(ctx, admin, topics[topic])
	_, err = admin.DeleteTopic(ctx, topic)
	check.Must("delete the topic", err)
	fmt.Printf("franz-go %s: all, the killed member replaced in %.1f s\n", check.Version("github.com/twmb/franz-go"), took.Seconds())
}
