package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/segmentio/kafka-go"
)

// output prints records, one JSON object a line.
type output struct {
	buffer *bufio.Writer
	lines  *json.Encoder
}

func stdout() output {
	buffer := bufio.NewWriter(os.Stdout)
	lines := json.NewEncoder(buffer)
	lines.SetEscapeHTML(false)
	return output{buffer, lines}
}

// read prints count records of a group and commits them after they were printed;
// without a count each record is printed and committed at once, until stdin ends.
func read(ctx context.Context, brokers []string, topic, group string, count int) error {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers:           brokers,
		Topic:             topic,
		GroupID:           group,
		StartOffset:       kafka.FirstOffset,
		MaxWait:           100 * time.Millisecond,
		MaxBytes:          10 << 20,
		HeartbeatInterval: 200 * time.Millisecond,
		JoinGroupBackoff:  200 * time.Millisecond,
	})
	if count > 0 {
		return errors.Join(readCount(ctx, reader, count), reader.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	err := follow(ctx, reader)
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, reader.Close())
}

func readCount(ctx context.Context, reader *kafka.Reader, count int) error {
	output := stdout()
	printed := make([]kafka.Message, 0, count)
	for len(printed) < count {
		message, err := reader.FetchMessage(ctx)
		if err != nil {
			return fmt.Errorf("after %d of %d records: %w", len(printed), count, err)
		}
		if err := output.lines.Encode(recordOfMessage(message)); err != nil {
			return err
		}
		printed = append(printed, message)
	}
	if err := output.buffer.Flush(); err != nil {
		return err
	}
	return reader.CommitMessages(ctx, printed...)
}

func follow(ctx context.Context, reader *kafka.Reader) error {
	output := stdout()
	for {
		message, err := reader.FetchMessage(ctx)
		if err != nil {
			return err
		}
		if err := errors.Join(output.lines.Encode(recordOfMessage(message)), output.buffer.Flush()); err != nil {
			return err
		}
		// Not cut short by the end of stdin: what was printed is committed.
		if err := reader.CommitMessages(context.WithoutCancel(ctx), message); err != nil {
			return err
		}
	}
}

// fetch prints every partition from its start to its end. Unlike a Reader, which
// gives nil for both, it tells an empty key or value from null.
func fetch(ctx context.Context, brokers []string, topic string) error {
	client := &kafka.Client{Addr: kafka.TCP(brokers...), Timeout: 10 * time.Second}
	metadata, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return err
	}
	output := stdout()
	for _, found := range metadata.Topics {
		for _, partition := range found.Partitions {
			if err := fetchPartition(ctx, client, topic, partition.ID, output); err != nil {
				return fmt.Errorf("%s[%d]: %w", topic, partition.ID, err)
			}
		}
	}
	return output.buffer.Flush()
}

func fetchPartition(ctx context.Context, client *kafka.Client, topic string, partition int, output output) error {
	for next := int64(0); ; {
		answer, err := client.Fetch(ctx, &kafka.FetchRequest{
			Topic: topic, Partition: partition, Offset: next, MinBytes: 1, MaxBytes: 10 << 20, MaxWait: 5 * time.Second,
		})
		if err == nil {
			err = answer.Error
		}
		if err != nil {
			return err
		}
		for {
			record, err := answer.Records.ReadRecord()
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			if record.Offset < next {
				continue
			}
			next = record.Offset + 1
			line, err := recordOfFetch(topic, partition, record)
			if err != nil {
				return err
			}
			if err := output.lines.Encode(line); err != nil {
				return err
			}
		}
		if next >= answer.HighWatermark {
			return nil
		}
	}
}
