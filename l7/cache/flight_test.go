package cache

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/l7/message"
)

// TestOneFetch lets a thousand ask for one cold key: one of them fetches.
func TestOneFetch(t *testing.T) {
	s := newStore(t, Options{})
	var fetches, hits atomic.Int64
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			req := request(t, "/cold")
			fetchOrWait(t, s, req, &fetches, &hits)
		})
	}
	all.Wait()
	if fetches.Load() != 1 || hits.Load() != 999 {
		t.Errorf("%d fetches, %d hits", fetches.Load(), hits.Load())
	}
}

func fetchOrWait(t *testing.T, s *Store, req *message.Request, fetches, hits *atomic.Int64) {
	key := keyOf(req)
	for {
		var ref Ref
		if s.Lookup(key, req, testNow, &ref) == Hit {
			hits.Add(1)
			if got := readAll(t, &ref); got != "fetched" {
				t.Errorf("got %q", got)
			}
			ref.Release()
			return
		}
		flight, role := s.Join(key, req, testNow, &ref)
		switch role {
		case Waiter:
			if o := flight.Wait(nil, 20*time.Second); o != Stored {
				t.Errorf("outcome %d", o)
			}
		case Leader:
			fetches.Add(1)
			o := object(req, "")
			o.Since = flight.Since()
			f, err := s.Begin(o)
			if err != nil {
				t.Error(err)
				return
			}
			flight.End(Stored)
			if err := f.Write([]byte("fetched"), nil); err != nil {
				t.Error(err)
			}
			if err := f.Commit(); err != nil {
				t.Error(err)
			}
			return
		case Again:
		default:
			t.Errorf("role %d", role)
			return
		}
	}
}

func TestJoin(t *testing.T) {
	s := newStore(t, Options{})
	req := request(t, "/j")
	key := keyOf(req)
	join := func(ref *Ref) (*Flight, Role) { return s.Join(key, req, testNow, ref) }
	var none Ref
	lead, role := join(&none)
	if role != Leader {
		t.Fatalf("role %d", role)
	}
	wait, role := join(&none)
	if role != Waiter || wait.Wait(nil, time.Millisecond) != Late {
		t.Errorf("role %d", role)
	}
	stop := make(chan struct{})
	close(stop)
	if wait.Wait(stop, 0) != Stopped {
		t.Error("not stopped")
	}
	lead.End(Unstored)
	lead.End(Stored) // does nothing
	if o := wait.Wait(nil, 0); o != Unstored {
		t.Errorf("outcome %d", o)
	}

	// What was stored since Lookup makes it look again.
	mustPut(t, s, object(req, ""), "x")
	if _, role := join(&none); role != Again {
		t.Errorf("role %d", role)
	}
	// What was found and is stale is fetched by one.
	var ref Ref
	s.Lookup(key, req, testNow, &ref)
	lead, role = join(&ref)
	if role != Leader {
		t.Errorf("role %d", role)
	}
	lead.End(Failed)
	mustPut(t, s, object(req, ""), "y")
	if _, role := join(&ref); role != Again {
		t.Errorf("role %d", role)
	}
	ref.Release()
}

func TestUncacheable(t *testing.T) {
	s := newStore(t, Options{})
	req := request(t, "/hfm")
	key := keyOf(req)
	s.MarkUncacheable(key, testNow.Add(time.Second))
	var ref Ref
	if got := s.Lookup(key, req, testNow, &ref); got != Uncacheable {
		t.Errorf("got %d", got)
	}
	if _, role := s.Join(key, req, testNow, &ref); role != Alone {
		t.Errorf("role %d", role)
	}
	if got := s.Lookup(key, req, testNow.Add(time.Second), &ref); got != Miss {
		t.Errorf("after its time: %d", got)
	}
	mustPut(t, s, object(req, ""), "x")
	if got := found(t, s, req); got != "x" {
		t.Errorf("got %q", got)
	}
	s.Purge(&Selector{Key: key}, testNow)
	if got := found(t, s, req); got != "-" {
		t.Errorf("what was stored did not end it: %q", got)
	}
	for i := range 100_000 {
		s.MarkUncacheable(fmt.Append(nil, i), testNow.Add(time.Second))
	}
	s.MarkUncacheable(key, testNow.Add(time.Minute))
	s.Purge(&Selector{Key: key}, testNow)
	if got := found(t, s, req); got != "-" {
		t.Errorf("a purge did not end it: %q", got)
	}
}

// TestFlightsByVariant: those who want different variants do not wait for each other.
func TestFlightsByVariant(t *testing.T) {
	s := newStore(t, Options{})
	mustPut(t, s, object(request(t, "/v", "X: 0"), "X"), "0")
	var none Ref
	f := func(x string, want Role) *Flight {
		t.Helper()
		req := request(t, "/v", "X: "+x)
		flight, role := s.Join(keyOf(req), req, testNow, &none)
		if role != want {
			t.Errorf("X %s: role %d, want %d", x, role, want)
		}
		return flight
	}
	a := f("1", Leader)
	b := f("2", Leader)
	f("1", Waiter)
	f("2", Waiter)
	a.End(Failed)
	f("2", Waiter)
	b.End(Failed)
}
