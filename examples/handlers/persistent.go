// A persistent handler: go build persistent.go && kq worker orders --persistent -- ./persistent
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
)

type record struct {
	ID    json.RawMessage `json:"id"`
	Value string          `json:"value"`
}

type answer struct {
	ID   json.RawMessage `json:"id"`
	OK   bool            `json:"ok,omitempty"`
	Out  []string        `json:"out,omitempty"`
	Fail string          `json:"fail,omitempty"`
}

func handle(r record) (string, error) {
	if r.Value == "bad" {
		return "", errors.New("a bad value")
	}
	return strings.ToUpper(r.Value), nil
}

func main() {
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	decoder, encoder := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var r record
		if err := decoder.Decode(&r); err == io.EOF {
			return
		} else if err != nil {
			panic(err)
		}
		a := answer{ID: r.ID, OK: true}
		if text, err := handle(r); err != nil {
			a = answer{ID: r.ID, Fail: err.Error()}
		} else {
			a.Out = []string{text}
		}
		if err := encoder.Encode(a); err != nil {
			return
		}
		// Nothing more to read for now: what was answered must not wait here.
		if in.Buffered() == 0 {
			out.Flush()
		}
	}
}
