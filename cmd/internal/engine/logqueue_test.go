package engine

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/conf"
)

// stuckWriter takes nothing until it is freed, as a pipe that nobody reads.
type stuckWriter struct {
	free chan struct{}
	logBuffer
}

func (w *stuckWriter) Write(p []byte) (int, error) {
	<-w.free
	return w.logBuffer.Write(p)
}

// TestStuckLog is row 50 for the process log: reloads, traffic and a stop go on
// while nobody reads it.
func TestStuckLog(t *testing.T) {
	server := backendServer(t, "one")
	w := &stuckWriter{free: make(chan struct{})}
	r := &rig{t: t, dir: t.TempDir()}
	r.file = filepath.Join(r.dir, "weir.toml")
	r.write(web(server))
	e, err := Start(t.Context(), Options{File: r.file, Stderr: w})
	if err != nil {
		t.Fatal(err)
	}
	r.Engine = e
	if _, err := e.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	for e.out.dropped.Load() == 0 {
		e.log.Info(strings.Repeat("x", 1000))
	}
	var shown bytes.Buffer
	e.metrics.WritePrometheus(&shown)
	if !strings.Contains(shown.String(), "\nweir_log_dropped_lines_total 1\n") {
		t.Error("the dropped line is not in the metrics")
	}
	r.wantBody(r.addr("web"), "one")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := e.Stop(ctx); err != nil {
		t.Error(err)
	}
	close(w.free)
	eventually(t, "the rest is written, and what is missing is told", func() bool {
		return strings.Contains(w.String(), "level=WARN msg=\"lines of the process log were dropped") &&
			strings.Contains(w.String(), "version=2")
	})
}

type brokenWriter struct{ panics bool }

func (w brokenWriter) Write([]byte) (int, error) {
	if w.panics {
		panic("broken")
	}
	return 0, errors.ErrUnsupported
}

func TestLogOutlivesItsWriter(t *testing.T) {
	for _, panics := range []bool{false, true} {
		log, _, q := newLogger(conf.Log{}, brokenWriter{panics})
		log.Info("one")
		q.flush()
		log.Info("two")
		q.flush()
	}
	log, _, q := newLogger(conf.Log{Format: "json"}, os.Stderr)
	log.Debug("not written")
	q.flush()
}
