package e2e

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// load asks for the same URL from several workers until it is stopped, and checks
// every answer: right status, right length, right bytes.
type load struct {
	stop    chan struct{}
	workers sync.WaitGroup
	mu      sync.Mutex
	good    int
	status  map[int]int    // answers that were not 200
	broken  map[string]int // no answer, or not to its end
	wrong   []string       // complete answers with the wrong bytes: never allowed
	slowest time.Duration
}

// loadOptions says how a load asks.
type loadOptions struct {
	url     string
	size    int64 // length of the pattern that must come
	workers int
	fresh   bool // a new connection for each request
	pause   time.Duration
}

func startLoad(t testing.TB, o loadOptions) *load {
	t.Helper()
	l := &load{stop: make(chan struct{}), status: make(map[int]int), broken: make(map[string]int)}
	for range o.workers {
		tr := &http.Transport{DisableKeepAlives: o.fresh, DisableCompression: true}
		c := &http.Client{Transport: tr, Timeout: patience}
		l.workers.Go(func() {
			defer tr.CloseIdleConnections()
			for l.next(o.pause) {
				l.ask(c, o)
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

// next waits for the pause and tells whether to go on.
func (l *load) next(pause time.Duration) bool {
	select {
	case <-l.stop:
		return false
	case <-time.After(pause):
		return true
	}
}

func (l *load) ask(c *http.Client, o loadOptions) {
	start := time.Now()
	resp, err := c.Get(o.url)
	if err != nil {
		l.failed(err)
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		io.Copy(io.Discard, resp.Body)
		l.mu.Lock()
		l.status[resp.StatusCode]++
		l.mu.Unlock()
		return
	}
	n, right, err := checkPattern(resp.Body)
	if err != nil {
		l.failed(err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slowest = max(l.slowest, time.Since(start))
	if n != o.size || !right {
		l.wrong = append(l.wrong, fmt.Sprintf("%d bytes of %d, right: %t", n, o.size, right))
		return
	}
	l.good++
}

func (l *load) failed(err error) {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken[err.Error()]++
}

// end stops the workers and waits for them. It may be called twice.
func (l *load) end() {
	l.mu.Lock()
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.mu.Unlock()
	l.workers.Wait()
}

// answered is the number of good answers so far.
func (l *load) answered() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.good
}

// failures is the number of answers so far that were not good.
func (l *load) failures() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.wrong)
	for _, m := range l.status {
		n += m
	}
	for _, m := range l.broken {
		n += m
	}
	return n
}

// report ends the load. It fails the test if a wrong body came, if there were more
// than limit failures, or nothing good at all.
func (l *load) report(t testing.TB, limit int) {
	t.Helper()
	l.end()
	if len(l.wrong) > 0 {
		t.Errorf("%d wrong bodies: %s", len(l.wrong), l.wrong[0])
	}
	if n := l.failures(); n > limit || l.good == 0 {
		t.Errorf("%d failed requests beside %d good ones, at most %d allowed: %s", n, l.good, limit, l)
	}
}

func (l *load) String() string {
	var parts []string
	for _, code := range slices.Sorted(maps.Keys(l.status)) {
		parts = append(parts, fmt.Sprintf("%d x status %d", l.status[code], code))
	}
	for _, text := range slices.Sorted(maps.Keys(l.broken)) {
		parts = append(parts, fmt.Sprintf("%d x %s", l.broken[text], text))
	}
	return strings.Join(parts, ", ")
}
