package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/segmentio/kafka-go"
)

// write sends each line of stdin, a JSON record, to the partition of its key.
func write(ctx context.Context, brokers []string, topic, codec string) error {
	codecs := map[string]kafka.Compression{
		"none": 0, "gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd,
	}
	compression, known := codecs[codec]
	if !known {
		return fmt.Errorf("unknown codec %q", codec)
	}
	writer := &kafka.Writer{
		Addr:         kafka.TCP(brokers...),
		Topic:        topic,
		Balancer:     kafka.Murmur2Balancer{},
		Compression:  compression,
		RequiredAcks: kafka.RequireAll,
		BatchTimeout: 10 * time.Millisecond,
		BatchSize:    1000,
	}
	return errors.Join(send(ctx, writer), writer.Close())
}

func send(ctx context.Context, writer *kafka.Writer) error {
	input := bufio.NewReader(os.Stdin)
	var batch []kafka.Message
	for number := 1; ; number++ {
		line, err := input.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return err
		}
		if len(line) > 0 {
			message, wrong := parse(line)
			if wrong != nil {
				return fmt.Errorf("line %d: %w", number, wrong)
			}
			batch = append(batch, message)
		}
		if len(batch) == writer.BatchSize || err == io.EOF && len(batch) > 0 {
			if err := writer.WriteMessages(ctx, batch...); err != nil {
				return err
			}
			batch = batch[:0]
		}
		if err == io.EOF {
			return nil
		}
	}
}
