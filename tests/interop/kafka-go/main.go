// Command kafka-go writes and reads topics with segmentio/kafka-go, so that a
// test can compare what kq and another client make of the same records.
//
//	kafka-go write --brokers B --topic T [--codec C] [--header N=V]…   key<TAB>value lines on stdin
//	kafka-go read  --brokers B --topic T --group G --count N           kq's JSON records on stdout
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/segmentio/kafka-go"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "kafka-go:", err)
		os.Exit(1)
	}
}

// headers collects a repeated --header name=value; a name alone is a null header.
type headers []kafka.Header

func (h *headers) String() string { return "" }

func (h *headers) Set(s string) error {
	name, value, found := strings.Cut(s, "=")
	header := kafka.Header{Key: name}
	if found {
		header.Value = []byte(value)
	}
	*h = append(*h, header)
	return nil
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("give write or read")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	brokers := flags.String("brokers", "localhost:9092", "host:port,…")
	topic := flags.String("topic", "", "the topic, which must exist")
	codec := flags.String("codec", "none", "write: none, gzip, snappy, lz4 or zstd")
	group := flags.String("group", "", "read: the consumer group, which commits what was printed")
	count := flags.Int("count", 0, "read: how many records")
	timeout := flags.Duration("timeout", time.Minute, "for all of it")
	var with headers
	flags.Var(&with, "header", "write: name=value for each record; may be repeated")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if *topic == "" {
		return errors.New("give --topic")
	}
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	addresses := strings.Split(*brokers, ",")
	switch args[0] {
	case "write":
		return write(ctx, addresses, *topic, *codec, with)
	case "read":
		if *group == "" || *count <= 0 {
			return errors.New("give --group and --count")
		}
		return read(ctx, addresses, *topic, *group, *count)
	default:
		return fmt.Errorf("unknown command %q: give write or read", args[0])
	}
}

// write sends each line of stdin as a record. A line without a tab is a value without a key.
func write(ctx context.Context, brokers []string, topic, codec string, with headers) error {
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
		Balancer:     kafka.Murmur2Balancer{Consistent: true},
		Compression:  compression,
		RequiredAcks: kafka.RequireAll,
		BatchTimeout: 10 * time.Millisecond,
		BatchSize:    1000,
	}
	input := bufio.NewReader(os.Stdin)
	var batch []kafka.Message
	send := func() error {
		err := writer.WriteMessages(ctx, batch...)
		batch = batch[:0]
		return err
	}
	for {
		line, err := input.ReadBytes('\n')
		if len(line) > 0 {
			message := kafka.Message{Headers: with}
			line = bytes.TrimSuffix(line, []byte("\n"))
			if key, value, found := bytes.Cut(line, []byte("\t")); found {
				message.Key, message.Value = key, value
			} else {
				message.Value = line
			}
			batch = append(batch, message)
		}
		if len(batch) == writer.BatchSize || err != nil && len(batch) > 0 {
			if err := send(); err != nil {
				return errors.Join(err, writer.Close())
			}
		}
		if err != nil {
			if err != io.EOF {
				return errors.Join(err, writer.Close())
			}
			return writer.Close()
		}
	}
}

// read prints count records of a group as kq's JSON records, and commits each after it was printed.
func read(ctx context.Context, brokers []string, topic, group string, count int) error {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers:     brokers,
		Topic:       topic,
		GroupID:     group,
		StartOffset: kafka.FirstOffset,
		MaxWait:     100 * time.Millisecond,
	})
	output := bufio.NewWriter(os.Stdout)
	lines := json.NewEncoder(output)
	lines.SetEscapeHTML(false)
	printed := make([]kafka.Message, 0, count)
	for len(printed) < count {
		message, err := reader.FetchMessage(ctx)
		if err != nil {
			return errors.Join(fmt.Errorf("after %d of %d records: %w", len(printed), count, err), reader.Close())
		}
		if err := lines.Encode(record(message)); err != nil {
			return errors.Join(err, reader.Close())
		}
		printed = append(printed, message)
	}
	if err := output.Flush(); err != nil {
		return errors.Join(err, reader.Close())
	}
	return errors.Join(reader.CommitMessages(ctx, printed...), reader.Close())
}

func record(message kafka.Message) map[string]any {
	pairs := make([][2]any, 0, len(message.Headers))
	for _, header := range message.Headers {
		pairs = append(pairs, [2]any{header.Key, headerValue(header.Value)})
	}
	fields := map[string]any{
		"topic":     message.Topic,
		"partition": message.Partition,
		"offset":    message.Offset,
		"timestamp": message.Time.UnixMilli(),
		"headers":   pairs,
	}
	put(fields, "key", message.Key)
	put(fields, "value", message.Value)
	return fields
}

// put writes an empty key or value as null: kafka-go's Reader gives nil for both,
// so a test that compares with kq takes kq's "" for null too.
func put(fields map[string]any, name string, content []byte) {
	switch {
	case content == nil:
		fields[name] = nil
	case utf8.Valid(content):
		fields[name] = string(content)
	default:
		fields[name+"_base64"] = base64.StdEncoding.EncodeToString(content)
	}
}

func headerValue(content []byte) any {
	switch {
	case content == nil:
		return nil
	case utf8.Valid(content):
		return string(content)
	default:
		return map[string]string{"base64": base64.StdEncoding.EncodeToString(content)}
	}
}
