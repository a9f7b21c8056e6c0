package loop

import (
	"log/slog"
	"testing"
	"time"
)

// A loop that is idle has a pulse, for as long as anyone looks; one that hangs in a
// callback has none until the callback ends; one that has ended has none.
func TestPulse(t *testing.T) {
	l, err := New(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	p := NewPulse(l)
	p.Beats()
	for range 3 * askAfter {
		if !p.Beats() {
			// Asked at the look before, and the answer takes a moment.
			waitUntil(t, "an idle loop answers", p.Beats)
		}
		time.Sleep(time.Millisecond)
	}
	begun, end := make(chan struct{}), make(chan struct{})
	l.Do(func() { close(begun); <-end })
	<-begun
	p.Beats() // that it began is progress
	for range 2 * askAfter {
		if p.Beats() {
			t.Fatal("a loop that hangs in a callback has a pulse")
		}
	}
	close(end)
	waitUntil(t, "the callback ended", p.Beats)
	l.Close()
	waitUntil(t, "the loop ended", func() bool { return !p.Beats() })
	if p.Beats() {
		t.Error("a loop that has ended has a pulse")
	}
}

// To look costs nothing but the looks: no allocation while the loop is busy or quiet.
func TestPulseAllocates(t *testing.T) {
	l, err := New(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := NewPulse(l)
	if n := testing.AllocsPerRun(100, func() { p.quiet = 0; p.Beats() }); n != 0 && !raceEnabled {
		t.Errorf("%v allocations for a look", n)
	}
}

func waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting: %s", what)
		}
	}
}
