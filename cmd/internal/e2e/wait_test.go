package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait for something that should happen soon: ten times and
// more of what is promised, so that a busy machine passes.
const patience = 20 * time.Second

// waitFor polls until ok holds. It fails the test, naming what, after the limit.
func waitFor(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting after %v: %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

var ports struct {
	sync.Mutex
	given map[int]bool
}

// freePort finds a port nobody listens on. It stays below the range from which the
// kernel takes the ports of outgoing connections, and gives no port twice.
func freePort(t testing.TB) string {
	t.Helper()
	port, err := unusedPort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func unusedPort() (string, error) {
	ports.Lock()
	defer ports.Unlock()
	if ports.given == nil {
		ports.given = make(map[int]bool)
	}
	for range 1000 {
		port := 10000 + rand.IntN(22000)
		if ports.given[port] {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			continue
		}
		l.Close()
		ports.given[port] = true
		return strconv.Itoa(port), nil
	}
	return "", errors.New("no free port found")
}

// freeAddr is a free port of 127.0.0.1 as an address.
func freeAddr(t testing.TB) string {
	t.Helper()
	return "127.0.0.1:" + freePort(t)
}

// withinTime fails the test if f takes longer than the limit.
func withinTime(t testing.TB, limit time.Duration, what string, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if d := time.Since(start); d > limit {
		t.Errorf("%s took %v, more than %v", what, d, limit)
	}
}
