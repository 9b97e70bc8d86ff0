// Package check is what the Go clients assert with: the first thing that is not as expected ends the program.
package check

import (
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"slices"
	"time"
)

// Session is the session time-out of the members.
const Session = 1500 * time.Millisecond

const patience = 30 * time.Second

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

// Brokers is where the broker listens: the first argument, or KQ_BROKERS.
func Brokers() string {
	if len(os.Args) > 1 {
		return os.Args[1]
	}
	brokers := os.Getenv("KQ_BROKERS")
	if brokers == "" {
		fail("give the brokers' address, or set KQ_BROKERS")
	}
	return brokers
}

// Must ends the program on an error.
func Must(what string, err error) {
	if err != nil {
		fail("%s: %v", what, err)
	}
}

// Expect ends the program unless what was seen is what was expected.
func Expect(what string, expected, seen any) {
	if !reflect.DeepEqual(expected, seen) {
		fail("%s: expected %v, saw %v", what, expected, seen)
	}
}

// Await looks until the condition holds.
func Await(what string, holds func() bool) {
	for start := time.Now(); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Since(start) > patience {
			fail("%s: not within %v", what, patience)
		}
	}
}

// Replaced is the time since a member was killed: its session, and a rebalance, for which a busy machine gets seconds.
func Replaced(killed time.Time) time.Duration {
	took := time.Since(killed)
	if took > Session+5*time.Second {
		fail("the killed member was replaced after %v, its session is %v", took, Session)
	}
	return took
}

// Values are so many different ones, sorted.
func Values(name string, count int) []string {
	values := []string{}
	for n := range count {
		values = append(values, fmt.Sprintf("%s-%d", name, n))
	}
	slices.Sort(values)
	return values
}

// Version is that of a module in this program.
func Version(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			return dependency.Version
		}
	}
	return "unknown"
}
