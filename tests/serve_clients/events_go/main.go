// Events that the CloudEvents SDK for Go sends by HTTP; its Kafka binding reads the same events from the topic.
//
//	kq dev -- events_go
//
// KQ names the binary (target/debug/kq).
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/cloudevents/sdk-go/protocol/kafka_sarama/v2"
	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// events returns the events of the test, by their ids.
func events() map[string]cloudevents.Event {
	all := map[string]cloudevents.Event{}
	data := []struct {
		kind  string
		value any
	}{
		{cloudevents.ApplicationJSON, map[string]any{"message": "Hello € World", "n": 1.5}},
		{"text/plain", []byte("text ü\nof two lines")},
		{"application/octet-stream", []byte{0, 1, 0xff}},
		{"", nil},
	}
	for n, some := range data {
		for _, more := range []bool{false, true} {
			event := cloudevents.NewEvent()
			event.SetID(fmt.Sprintf("%d-%t-é", n, more))
			event.SetSource("/kq/tests?a=b")
			event.SetType("com.example.order")
			// The client sets one where there is none.
			event.SetTime(time.Date(2018, 4, 5, 3, 56, 24, 123456789, time.UTC))
			if more {
				event.SetSubject(`café € 😀 100% "quoted" \ a,b`)
				event.SetExtension("partitionkey", "customer ü 7")
			}
			if some.value != nil {
				check(event.SetData(some.kind, some.value))
			}
			check(event.Validate())
			all[event.ID()] = event
		}
	}
	return all
}

type record struct {
	Key, Value  *string
	ValueBase64 *string `json:"value_base64"`
	Headers     [][2]string
}

func main() {
	kq := os.Getenv("KQ")
	if kq == "" {
		kq = "target/debug/kq"
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	sent := events()
	for _, mode := range []string{"binary", "structured"} {
		topic := "events-go-" + mode
		serve := exec.CommandContext(ctx, kq, "serve", topic, "--listen", "127.0.0.1:0", "--quiet", "--key-from", "ce:partitionkey", "--key-optional")
		serve.Stderr = os.Stderr
		out, err := serve.StdoutPipe()
		check(err)
		check(serve.Start())
		address, err := bufio.NewReader(out).ReadString('\n')
		check(err)
		client, err := cloudevents.NewClientHTTP(cloudevents.WithTarget("http://" + strings.TrimSpace(address) + "/topics/" + topic))
		check(err)
		in := binding.WithForceBinary(ctx)
		if mode == "structured" {
			in = binding.WithForceStructured(ctx)
		}
		for _, event := range sent {
			if result := client.Send(in, event); !cloudevents.IsACK(result) {
				panic(fmt.Sprint(mode, event, result))
			}
		}
		check(serve.Process.Signal(syscall.SIGTERM))
		check(serve.Wait())

		consumed, err := exec.CommandContext(ctx, kq, "consume", topic, "-e", "--quiet", "-J").Output()
		check(err)
		found := 0
		for _, line := range bytes.Split(bytes.TrimSpace(consumed), []byte("\n")) {
			var got record
			check(json.Unmarshal(line, &got))
			compare(ctx, mode, got, sent)
			found++
		}
		if found != len(sent) {
			panic(fmt.Sprint(mode, ": ", found, " records of ", len(sent)))
		}
	}
	fmt.Printf("%d events in each of both modes as sent (sdk-go 2.16.2)\n", len(sent))
}

func compare(ctx context.Context, mode string, got record, sent map[string]cloudevents.Event) {
	var value []byte
	if got.Value != nil {
		value = []byte(*got.Value)
	} else if got.ValueBase64 != nil {
		bytes, err := base64.StdEncoding.DecodeString(*got.ValueBase64)
		check(err)
		value = bytes
	}
	headers, contentType := map[string][]byte{}, ""
	for _, header := range got.Headers {
		if header[0] == "content-type" {
			contentType = header[1]
		}
		headers[header[0]] = []byte(header[1])
	}
	message := kafka_sarama.NewMessage(value, contentType, headers)
	if encoding := message.ReadEncoding().String(); encoding != mode {
		panic(fmt.Sprint(encoding, " in place of ", mode))
	}
	event, err := binding.ToEvent(ctx, message)
	check(err)
	check(event.Validate())
	want := sent[event.ID()]
	key, _ := want.Extensions()["partitionkey"].(string)
	if (key == "") != (got.Key == nil) || got.Key != nil && *got.Key != key {
		panic(fmt.Sprint("key ", got.Key, " in place of ", key))
	}
	// Not the whole text: it tells whether the data was in base64 on its way.
	if event.Context.String() != want.Context.String() || !bytes.Equal(event.Data(), want.Data()) {
		panic(fmt.Sprintf("%s\nin place of\n%s", event, want))
	}
}
