// Run it as: go test
package orders

import (
	"bufio"
	"context"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// broker starts kq dev for one test and says where it listens.
func broker(t *testing.T) string {
	cmd := exec.Command("kq", "dev", "--port", "0", "--quiet", "--topic", "orders:1")
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(address)
}

func TestAnOrderArrives(t *testing.T) {
	brokers := broker(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	writer := &kafka.Writer{Addr: kafka.TCP(brokers), Topic: "orders", BatchTimeout: time.Millisecond}
	if err := writer.WriteMessages(ctx, kafka.Message{Value: []byte(`{"id":1}`)}); err != nil {
		t.Fatal(err)
	}
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{brokers}, Topic: "orders", MaxWait: 100 * time.Millisecond})
	defer reader.Close()
	message, err := reader.ReadMessage(ctx)
	if err != nil || string(message.Value) != `{"id":1}` {
		t.Fatalf("read %q, %v", message.Value, err)
	}
}
