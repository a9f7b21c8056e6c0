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

// A loop with nothing to do is still, whatever it is asked; one at rest rouses whoever
// rests by the first thing it does, before that is done.
func TestPulseRests(t *testing.T) {
	l, err := New(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := NewPulse(l)
	still := func() bool { p.Beats(); return p.IsStill() }
	waitUntil(t, "it is still", still)
	for range 3 * askAfter {
		if p.Beats(); !p.IsStill() && !p.asked {
			t.Fatal("a loop that only answers is not still")
		}
		time.Sleep(time.Millisecond)
	}
	waitUntil(t, "the answer", func() bool { p.Beats(); return !p.asked })
	roused := make(chan struct{}, 1)
	if !p.Rest(func() { roused <- struct{}{} }) {
		t.Fatal("no rest, and nothing happens")
	}
	end := make(chan struct{})
	l.Do(func() { <-end })
	<-roused
	p.Wake()
	if p.Beats(); p.Beats() {
		t.Error("the loop hangs in what has roused, and has a pulse")
	}
	if p.Rest(func() { t.Error("roused again") }) {
		t.Error("a rest while a callback runs")
	}
	p.Wake()
	close(end)
	waitUntil(t, "it goes on", p.Beats)
	if p.IsStill() {
		t.Error("still, right after a callback")
	}
	waitUntil(t, "it is still again", still)
	waitUntil(t, "the answer", func() bool { p.Beats(); return !p.asked })
	if !p.Rest(func() { t.Error("roused after the end of the rest") }) {
		t.Error("no second rest")
	}
	p.Wake()
	l.Do(func() {})
	waitUntil(t, "progress", func() bool { return l.stats.Progress.Load() > p.seen })
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
