package limit

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Those that have begun go first, then it is first come, first served.
func TestTurnsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(1)
		if !turns.Take(false, nil, 0) {
			t.Fatal("a free turn was not given")
		}
		var got []string
		for _, c := range []struct {
			name  string
			begun bool
		}{{"fresh 1", false}, {"fresh 2", false}, {"begun 1", true}, {"begun 2", true}} {
			go func() {
				if turns.Take(c.begun, nil, time.Hour) {
					got = append(got, c.name)
					turns.Give()
				}
			}()
			synctest.Wait()
		}
		if n := turns.Waiting(); n != 4 {
			t.Errorf("%d wait, want 4", n)
		}
		turns.Give()
		synctest.Wait()
		want := []string{"begun 1", "begun 2", "fresh 1", "fresh 2"}
		for i := range want {
			if len(got) != len(want) || got[i] != want[i] {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	})
}

func TestTurnsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(0) // one all the same
		turns.Take(false, nil, 0)
		if turns.Take(false, nil, time.Second) {
			t.Error("two turns at a time")
		}
		stop := make(chan struct{})
		close(stop)
		if turns.Take(true, stop, time.Hour) {
			t.Error("a turn after the stop")
		}
		if n := turns.Waiting(); n != 0 {
			t.Errorf("%d wait, want none", n)
		}
		turns.Give()
		if !turns.Take(false, nil, 0) {
			t.Error("the turn was lost")
		}
	})
}

// Whoever gives up while turns come and go, none is lost and none made.
func TestTurnsAreKept(t *testing.T) {
	const most = 3
	turns := NewTurns(most)
	var now, over atomic.Int32
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			for j := range 200 {
				if !turns.Take(j%2 == 0, nil, time.Duration((i+j)%5)*10*time.Microsecond) {
					continue
				}
				if now.Add(1) > most {
					over.Add(1)
				}
				now.Add(-1)
				turns.Give()
			}
		})
	}
	all.Wait()
	if over.Load() > 0 || turns.free != most || turns.Waiting() != 0 {
		t.Errorf("%d times too many, %d free of %d, %d wait", over.Load(), turns.free, most, turns.Waiting())
	}
}
