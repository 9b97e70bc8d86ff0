// franz-go v1.22.2 (kgo, kadm v1.19.0) against the broker in KQ_BROKERS: kq dev -- go run franz_go.go, in a module of its own.
package main

import (
	"context"
	"fmt"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"os"
	"time"
)

func must(e error) {
	if e != nil {
		fmt.Println("FAIL", e)
		os.Exit(1)
	}
}
func main() {
	ctx, c := context.WithTimeout(context.Background(), 15*time.Second)
	defer c()
	b := kgo.SeedBrokers(os.Getenv("KQ_BROKERS"))
	cl, e := kgo.NewClient(b)
	must(e)
	a := kadm.NewClient(cl)
	_, e = a.CreateTopic(ctx, 3, 1, nil, "fz")
	must(e)
	for _, z := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		p, e := kgo.NewClient(b, kgo.ProducerBatchCompression(z))
		must(e)
		for i := 0; i < 100; i++ {
			must(p.ProduceSync(ctx, &kgo.Record{Topic: "fz", Key: []byte(fmt.Sprint(i)), Value: []byte("v")}).FirstErr())
		}
		p.Close()
	}
	g, e := kgo.NewClient(b, kgo.ConsumerGroup("fg"), kgo.ConsumeTopics("fz"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	must(e)
	n := 0
	for n < 500 {
		f := g.PollFetches(ctx)
		must(f.Err())
		n += f.NumRecords()
	}
	must(g.CommitUncommittedOffsets(ctx))
	g.Close()
	l, e := a.Lag(ctx, "fg")
	must(e)
	if n != 500 || l["fg"].Lag.Total() != 0 {
		must(fmt.Errorf("read %d, lag %d", n, l["fg"].Lag.Total()))
	}
	gs, e := a.ListGroups(ctx)
	must(e)
	ts, e := a.ListTopics(ctx)
	must(e)
	if fmt.Sprint(gs.Groups(), ts.Names()) != "[fg] [fz]" {
		must(fmt.Errorf("listed %v %v", gs.Groups(), ts.Names()))
	}
}
