// Command kafka-go writes and reads topics with segmentio/kafka-go, so that a
// test can compare what kq and another client make of the same records.
//
//	kafka-go write --topic T [--codec C]         kq's JSON records on stdin, keys by Murmur2Balancer
//	kafka-go read  --topic T --group G --count N a member of a group: N records, then commit and leave
//	kafka-go read  --topic T --group G           the same until stdin ends, each record committed at once
//	kafka-go fetch --topic T                     every partition from its start to its end, without a group
//
// The brokers are those of KQ_BROKERS; read and fetch print kq's JSON records.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "kafka-go:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("give write, read or fetch")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	topic := flags.String("topic", "", "the topic, which must exist")
	codec := flags.String("codec", "none", "write: none, gzip, snappy, lz4 or zstd")
	group := flags.String("group", "", "read: the consumer group, which commits what was printed")
	count := flags.Int("count", 0, "read: how many records; 0 reads until stdin ends")
	timeout := flags.Duration("timeout", time.Minute, "for all of it")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	brokers := os.Getenv("KQ_BROKERS")
	if *topic == "" || brokers == "" {
		return errors.New("give --topic and KQ_BROKERS")
	}
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	addresses := strings.Split(brokers, ",")
	switch args[0] {
	case "write":
		return write(ctx, addresses, *topic, *codec)
	case "read":
		if *group == "" {
			return errors.New("give --group")
		}
		return read(ctx, addresses, *topic, *group, *count)
	case "fetch":
		return fetch(ctx, addresses, *topic)
	default:
		return fmt.Errorf("unknown command %q: give write, read or fetch", args[0])
	}
}
