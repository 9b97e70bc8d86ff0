// A persistent handler: go build persistent.go && kq worker orders --persistent -- ./persistent
//
// `kq worker --help` has the protocol.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

type record struct {
	ID json.RawMessage `json:"id"`
	// nil where the record is a tombstone, and where the value is not UTF-8.
	Value *string `json:"value"`
	// The value that is not UTF-8; nil otherwise. encoding/json decodes the base64.
	ValueBase64 []byte `json:"value_base64"`
}

type answer struct {
	ID   json.RawMessage `json:"id"`
	OK   bool            `json:"ok,omitempty"`
	Out  []string        `json:"out,omitempty"`
	Fail string          `json:"fail,omitempty"`
}

func handle(r record) (string, error) {
	switch {
	case r.ValueBase64 != nil:
		return fmt.Sprintf("%d bytes", len(r.ValueBase64)), nil
	case r.Value == nil:
		return "deleted", nil
	case *r.Value == "bad":
		return "", errors.New("a bad value")
	}
	return strings.ToUpper(*r.Value), nil
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
