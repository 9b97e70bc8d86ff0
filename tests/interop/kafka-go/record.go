package main

import (
	"encoding/base64"
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/segmentio/kafka-go"
)

// parse reads kq's JSON record. A missing or null key or value is nil, an empty one is not.
func parse(line []byte) (kafka.Message, error) {
	var fields struct {
		Key         *string
		KeyBase64   []byte `json:"key_base64"`
		Value       *string
		ValueBase64 []byte `json:"value_base64"`
		Timestamp   *int64
		Headers     [][2]json.RawMessage
	}
	var message kafka.Message
	if err := json.Unmarshal(line, &fields); err != nil {
		return message, err
	}
	message.Key, message.Value = fields.KeyBase64, fields.ValueBase64
	if fields.Key != nil {
		message.Key = []byte(*fields.Key)
	}
	if fields.Value != nil {
		message.Value = []byte(*fields.Value)
	}
	if fields.Timestamp != nil {
		message.Time = time.UnixMilli(*fields.Timestamp)
	}
	for _, pair := range fields.Headers {
		var header kafka.Header
		if err := json.Unmarshal(pair[0], &header.Key); err != nil {
			return message, err
		}
		var text *string
		if json.Unmarshal(pair[1], &text) == nil {
			if text != nil {
				header.Value = []byte(*text)
			}
		} else {
			var binary struct{ Base64 []byte }
			if err := json.Unmarshal(pair[1], &binary); err != nil {
				return message, err
			}
			header.Value = binary.Base64
		}
		message.Headers = append(message.Headers, header)
	}
	return message, nil
}

func recordOfMessage(message kafka.Message) map[string]any {
	return fieldsOf(message.Topic, message.Partition, message.Offset, message.Time, message.Key, message.Value, message.Headers)
}

func recordOfFetch(topic string, partition int, record *kafka.Record) (map[string]any, error) {
	key, err := kafka.ReadAll(record.Key)
	if err != nil {
		return nil, err
	}
	value, err := kafka.ReadAll(record.Value)
	if err != nil {
		return nil, err
	}
	return fieldsOf(topic, partition, record.Offset, record.Time, key, value, record.Headers), nil
}

// fieldsOf is kq's JSON record.
func fieldsOf(topic string, partition int, offset int64, at time.Time, key, value []byte, headers []kafka.Header) map[string]any {
	pairs := make([][2]any, 0, len(headers))
	for _, header := range headers {
		pairs = append(pairs, [2]any{header.Key, headerValue(header.Value)})
	}
	fields := map[string]any{
		"topic":     topic,
		"partition": partition,
		"offset":    offset,
		"timestamp": at.UnixMilli(),
		"headers":   pairs,
	}
	put(fields, "key", key)
	put(fields, "value", value)
	return fields
}

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
