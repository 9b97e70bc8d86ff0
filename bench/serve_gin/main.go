// What kq serve replaces: gin and kafka-go, the handler of a usual service. Started by bench/serve.
//
// The value is the body as it came, once it is JSON; the answer comes after the acknowledgement of all replicas.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/gin-gonic/gin/binding"
	"github.com/segmentio/kafka-go"
)

// Order is what the case `schema` demands of a value.
type Order struct {
	ID     *int   `json:"id" binding:"required"`
	User   string `json:"user" binding:"required"`
	Amount *int   `json:"amount" binding:"required"`
	Note   string `json:"note" binding:"required"`
}

var schema = os.Getenv("SCHEMA") != ""

func main() {
	writer := &kafka.Writer{
		Addr:         kafka.TCP(strings.Split(os.Getenv("KQ_BROKERS"), ",")...),
		Balancer:     &kafka.Hash{},
		RequiredAcks: kafka.RequireAll,
		Compression:  kafka.Snappy,
	}
	// Without it kafka-go waits a second for a batch of a hundred.
	if text := os.Getenv("BATCH_TIMEOUT"); text != "" {
		timeout, err := time.ParseDuration(text)
		if err != nil {
			panic(err)
		}
		writer.BatchTimeout = timeout
	}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.Use(gin.Recovery())
	engine.GET("/livez", func(c *gin.Context) { c.String(http.StatusOK, "ok\n") })
	engine.POST("/topics/:topic", func(c *gin.Context) { publish(c, writer) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr())
	panic(http.Serve(listener, engine))
}

func publish(c *gin.Context, writer *kafka.Writer) {
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, 1<<20))
	if err == nil && c.GetHeader("Content-Encoding") == "gzip" {
		body, err = inflate(body)
	}
	if err != nil {
		c.String(http.StatusBadRequest, err.Error())
		return
	}
	values := [][]byte{body}
	if c.ContentType() == "application/x-ndjson" {
		values = bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n"))
	}
	messages := make([]kafka.Message, len(values))
	for i, value := range values {
		if !valid(value) {
			c.String(http.StatusBadRequest, "not what it must be")
			return
		}
		messages[i] = kafka.Message{Topic: c.Param("topic"), Value: value}
	}
	if err := writer.WriteMessages(c.Request.Context(), messages...); err != nil {
		c.String(http.StatusServiceUnavailable, err.Error())
		return
	}
	c.JSON(http.StatusOK, gin.H{"topic": c.Param("topic"), "acknowledged": len(messages)})
}

func valid(value []byte) bool {
	if !schema {
		return json.Valid(value)
	}
	var order Order
	return binding.JSON.BindBody(value, &order) == nil
}

func inflate(body []byte) ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(reader, 1<<20))
}
