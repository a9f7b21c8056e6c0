package engine

import (
	"context"
	"io"
	"runtime"
	"testing"

	"weir/conf"
)

// TestProcessorsForTheLoops: docs/decisions/0005.
func TestProcessorsForTheLoops(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	cfg, err := conf.Parse("weir.toml", []byte(
		"[process]\nloops = 3\nstate_dir = \""+t.TempDir()+"\"\n[admin]\nlisten = \"127.0.0.1:0\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := Start(t.Context(), Options{Config: cfg, Stderr: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	if n := runtime.GOMAXPROCS(0); n != before+3 {
		t.Errorf("GOMAXPROCS is %d with 3 loops, want %d", n, before+3)
	}
	if err := e.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if n := runtime.GOMAXPROCS(0); n != before {
		t.Errorf("GOMAXPROCS is %d after the stop, want %d", n, before)
	}
}
