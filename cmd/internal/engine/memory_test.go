package engine

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestPressure(t *testing.T) {
	f := func(from pressure, share float64, want pressure) {
		t.Helper()
		if got := from.next(share); got != want {
			t.Errorf("%v at %v %%: got %v, want %v", from, 100*share, got, want)
		}
	}
	f(calm, 0, calm)
	f(calm, 0.949, calm)
	f(calm, 0.95, shedding)
	f(calm, 0.98, answering)
	f(calm, 0.99, closing)
	f(calm, 1.5, closing)

	f(shedding, 0.94, shedding)
	f(shedding, 0.90, shedding)
	f(shedding, 0.899, calm)
	f(shedding, 0.98, answering)

	f(answering, 0.96, answering)
	f(answering, 0.949, shedding)
	f(answering, 0.5, calm)

	f(closing, 0.97, closing)
	f(closing, 0.969, answering)
	f(closing, 0.93, shedding)
	f(closing, 0.1, calm)
}

// guarded49 is a guard of 1000 bytes, on a clock and a measure that the test sets.
type guarded49 struct {
	*memoryGuard
	used, garbage int64
	err           error
	acted         []pressure
	reclaims      int
	log           *logBuffer
	at            time.Time
}

func newGuarded() *guarded49 {
	g := &guarded49{log: &logBuffer{}, at: time.Unix(1e9, 0)}
	g.memoryGuard = &memoryGuard{
		log: slog.New(slog.NewTextHandler(g.log, nil)), limit: 1000,
		measure: func() (int64, error) { return g.used + g.garbage, g.err },
		reclaim: func() { g.garbage = 0; g.reclaims++ },
		act:     func(p pressure) { g.acted = append(g.acted, p) },
	}
	return g
}

// looks looks so many times with so much in use, and wants the step at the end.
func (g *guarded49) looks(t *testing.T, n int, used int64, want pressure) {
	t.Helper()
	g.used = used
	for range n {
		g.at = g.at.Add(memoryTick)
		g.look(g.at)
	}
	if last := g.acted[len(g.acted)-1]; g.now != want || last != want || g.step.Load() != int64(want) {
		t.Errorf("%d of 1000 bytes: got %v, told %v, want %v", used, g.now, last, want)
	}
}

func TestRow49_Guard(t *testing.T) {
	g := newGuarded()
	g.looks(t, 10, 500, calm)
	g.looks(t, 10, 960, shedding)
	g.looks(t, 10, 985, answering)
	g.looks(t, 10, 995, closing)
	g.looks(t, 10, 960, answering)
	g.looks(t, 10, 920, shedding)
	g.looks(t, 10, 850, calm)
	if n := strings.Count(g.log.String(), "memory pressure"); n != 1 {
		t.Errorf("the log told %d times in 7 s, want once:\n%s", n, g.log)
	}
	g.looks(t, 100, 850, calm)
	if !strings.Contains(g.log.String(), "step=calm") {
		t.Errorf("the log does not tell that it is over:\n%s", g.log)
	}
}

// What is only garbage is collected, and nobody is shed for it; not all the time.
func TestMemoryGarbage(t *testing.T) {
	g := newGuarded()
	g.garbage = 500
	g.looks(t, 1, 480, calm)
	if g.reclaims != 1 {
		t.Errorf("collected %d times, want once", g.reclaims)
	}
	g.looks(t, 50, 960, shedding)
	if g.reclaims > 2 {
		t.Errorf("collected %d times in 5 s", g.reclaims)
	}
}

// Where nothing can be measured nothing is shed, and the log tells once.
func TestMemoryUnmeasured(t *testing.T) {
	g := newGuarded()
	g.looks(t, 1, 995, closing)
	g.err = errors.New("no such file")
	g.looks(t, 100, 995, calm)
	if n := strings.Count(g.log.String(), "cannot measure memory"); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
}

func TestMemoryGauge(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := func(usage, stat string, want int64) {
		t.Helper()
		write("usage", usage)
		write("stat", stat)
		g, err := openMemoryGauge(memoryLimit{bytes: 1000, group: cgroup{
			limit: 1000, usage: filepath.Join(dir, "usage")[1:], stat: filepath.Join(dir, "stat")[1:],
			file1: "active_file", file2: "inactive_file",
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer g.close()
		got, err := g.used()
		if got != want || (err != nil) != (want < 0) && want == 0 {
			t.Errorf("%q, %q: got %d, %v, want %d", usage, stat, got, err, want)
		}
		if n := testing.AllocsPerRun(10, func() { _, _ = g.used() }); n > 0 && err == nil {
			t.Errorf("%v allocations for a measurement", n)
		}
	}
	f("500\n", "", 500)
	f("950\n", "anon 1\nactive_file 100\ninactive_file 50\nkernel 3\n", 800)
	f("950\n", "inactive_file_x 100\ntotal_active_file 50\n", 950)
	f("950\n", "active_file 2000\n", 0)

	g, err := openMemoryGauge(memoryLimit{bytes: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	heap := make([]byte, 64<<20)
	for i := range heap {
		heap[i] = 1
	}
	if n, err := g.used(); err != nil || n < int64(len(heap)) || n > 8<<30 {
		t.Errorf("this process uses %d bytes, %v", n, err)
	}
	runtime.KeepAlive(heap)
	if _, err := openMemoryGauge(memoryLimit{bytes: 1, group: cgroup{limit: 1, usage: "no/such", stat: "no/such"}}); err == nil {
		t.Error("no error without the files")
	}
}

func TestChooseLimit(t *testing.T) {
	f := func(configured, group, goLimit, want int64, source string) {
		t.Helper()
		got := chooseLimit(configured, cgroup{limit: group}, goLimit)
		if got.bytes != want || got.source != source || got.soft != (source == "GOMEMLIMIT") {
			t.Errorf("%d, %d, %d: got %+v, want %d of %q", configured, group, goLimit, got, want, source)
		}
	}
	f(0, 0, 0, 0, "")
	f(0, 0, 30, 30, "GOMEMLIMIT")
	f(0, 20, 30, 20, "cgroup")
	f(10, 20, 30, 10, "process.memory_limit")
	f(20, 10, 30, 10, "cgroup")
	f(10, 0, 5, 10, "process.memory_limit")
}
