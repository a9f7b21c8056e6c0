package backend

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// lockedBuffer is a log target that can be held.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestEventsAreLogged(t *testing.T) {
	var out lockedBuffer
	r := New(Options{Log: slog.New(slog.NewTextHandler(&out, nil))})
	g := commit(t, r, testPool("p", "", servers(1, 1))).Group("p")
	m := g.Members()[0]
	m.Report(Refused)
	m.Report(Refused)
	m.SetDrain(true)
	r.Close()
	text := out.String()
	for _, want := range []string{
		`level=WARN msg="backend ejected" pool=p backend=10.0.0.1:1 reason=refused for=1s in_a_row=1`,
		`level=INFO msg="backend setting changed" pool=p backend=10.0.0.1:1 drain=true`,
	} {
		if strings.Count(text, want) != 1 {
			t.Errorf("want once %q in:\n%s", want, text)
		}
	}
}

// A log that hangs holds neither traffic nor changes of state up.
func TestLogThatHangs(t *testing.T) {
	var out lockedBuffer
	out.mu.Lock()
	r := New(Options{Log: slog.New(slog.NewTextHandler(&out, nil))})
	g := commit(t, r, testPool("p", "", servers(1, 1))).Group("p")
	for i := range 3 * maxEvents {
		g.Members()[0].SetDrain(i%2 == 0)
	}
	pick(t, g, &Query{}).Report(Refused)
	if r.events.dropped.Load() < maxEvents {
		t.Errorf("%d events dropped", r.events.dropped.Load())
	}
	out.mu.Unlock()
	r.Close()
	if !strings.Contains(out.String(), "backend events were not logged") {
		t.Error("the loss is not told")
	}
}

type panickyHandler struct{ slog.Handler }

func (panickyHandler) Handle(context.Context, slog.Record) error { panic("log") }

func TestLogThatPanics(t *testing.T) {
	r := New(Options{Log: slog.New(panickyHandler{slog.NewTextHandler(&bytes.Buffer{}, nil)})})
	g := commit(t, r, testPool("p", "", servers(1))).Group("p")
	g.Members()[0].SetDrain(true)
	start := time.Now()
	r.Close()
	if time.Since(start) > 10*time.Second {
		t.Error("Close hangs")
	}
}
