// kafka-go v0.4.48 against the broker in KQ_BROKERS: kq dev -- go run kafka_go.go, in a module of its own.
package main

import (
	"context"
	"fmt"
	k "github.com/segmentio/kafka-go"
	"os"
	"time"
)

func main() {
	b := os.Getenv("KQ_BROKERS")
	ctx, cc := context.WithTimeout(context.Background(), 40*time.Second)
	defer cc()
	c := &k.Client{Addr: k.TCP(b)}
	r, e := c.CreateTopics(ctx, &k.CreateTopicsRequest{Topics: []k.TopicConfig{{Topic: "go", NumPartitions: 3, ReplicationFactor: 1}}})
	fmt.Println("create", r.Errors, e)
	n := 0
	for _, z := range []k.Compression{0, k.Gzip, k.Snappy, k.Lz4, k.Zstd} {
		w := &k.Writer{Addr: k.TCP(b), Topic: "go", Compression: z, Balancer: k.Murmur2Balancer{}, BatchTimeout: 5 * time.Millisecond, RequiredAcks: k.RequireAll}
		ms := []k.Message{}
		for i := 0; i < 100; i++ {
			ms = append(ms, k.Message{Key: []byte(fmt.Sprint(i)), Value: []byte("v")})
			n++
		}
		if e := w.WriteMessages(ctx, ms...); e != nil {
			fmt.Println(z, e)
		}
		w.Close()
	}
	rd := k.NewReader(k.ReaderConfig{Brokers: []string{b}, GroupID: "gg", Topic: "go", StartOffset: k.FirstOffset, SessionTimeout: 2 * time.Second, HeartbeatInterval: 300 * time.Millisecond, MaxWait: 200 * time.Millisecond})
	got := 0
	for got < n {
		m, e := rd.FetchMessage(ctx)
		if e != nil {
			fmt.Println(e)
			break
		}
		got++
		if got == n || got%50 == 0 {
			if e := rd.CommitMessages(ctx, m); e != nil {
				fmt.Println("commit", e)
			}
		}
	}
	fmt.Println("consumed", got, "of", n)
	d, e := c.DescribeGroups(ctx, &k.DescribeGroupsRequest{GroupIDs: []string{"gg"}})
	fmt.Println(len(d.Groups[0].Members), d.Groups[0].GroupState, e)
	rd.Close()
	lg, e := c.ListGroups(ctx, &k.ListGroupsRequest{})
	fmt.Println("list", len(lg.Groups), e)
	dt, e := c.DeleteTopics(ctx, &k.DeleteTopicsRequest{Topics: []string{"go"}})
	fmt.Println("delete", dt.Errors, e)
}
