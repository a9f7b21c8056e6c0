package cache

import (
	"errors"
	"fmt"
	"sync"
	"testing"
)

// tagged is an object with tags.
func tagged(t *testing.T, target string, tags ...string) *Object {
	o := object(request(t, target), "")
	for _, tag := range tags {
		o.Tags = append(o.Tags, []byte(tag))
	}
	return o
}

// TestPurgeByTagOfNothing: purges by tags that nothing stored has look at nothing, are not
// remembered in place of others, and hit what is being fetched.
func TestPurgeByTagOfNothing(t *testing.T) {
	s := newStore(t, Options{})
	mustPut(t, s, tagged(t, "/stored", "a"), "body")
	since := s.Epoch()
	for n := range 3 * recentPurges {
		if got := s.Purge(&Selector{Tag: fmt.Appendf(nil, "none %d", n%7)}, testNow); got != 0 {
			t.Fatalf("%d hit", got)
		}
	}
	if s.purges.begun != 0 || s.purges.active.Load() != nil {
		t.Errorf("%d purges are remembered", s.purges.begun)
	}
	o := tagged(t, "/fetched", "b")
	o.Since = since
	if f, err := s.Begin(o); err != nil {
		t.Errorf("not stored after purges by other tags: %v", err)
	} else {
		f.Abort(nil)
	}
	o = tagged(t, "/fetched", "b", "none 3")
	o.Since = since
	if f, err := s.Begin(o); !errors.Is(err, ErrPurged) {
		f.Abort(nil)
		t.Errorf("stored although it was purged by its tag: %v", err)
	}
	if got := s.Purge(&Selector{Tag: []byte("a")}, testNow); got != 1 {
		t.Errorf("%d hit by the tag that is there, want 1", got)
	}
}

// TestTagFilterIsMadeAnew: a sweep forgets the tags of what is gone, and none of what stays.
func TestTagFilterIsMadeAnew(t *testing.T) {
	s := newStore(t, Options{})
	gone, stays := tagged(t, "/gone", "x"), tagged(t, "/stays", "y")
	mustPut(t, s, gone, "body")
	mustPut(t, s, stays, "body")
	s.Purge(&Selector{Key: gone.Key}, testNow)
	has := func(tag string) bool { return s.purges.stored.has(s.hash([]byte(tag))) }
	if !has("x") || !has("y") || has("z") {
		t.Errorf("before the sweep: %v, %v, %v", has("x"), has("y"), has("z"))
	}
	s.Purge(&Selector{Host: []byte("nobody")}, testNow)
	if has("x") || !has("y") {
		t.Errorf("after the sweep: %v, %v", has("x"), has("y"))
	}
}

// TestTagPurgesRace: what was stored under a tag is gone when a purge by it returns, while
// others store, purge and sweep.
func TestTagPurgesRace(t *testing.T) {
	s := newStore(t, Options{})
	stop := make(chan struct{})
	var sweeper, wg sync.WaitGroup
	sweeper.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				s.Purge(&Selector{Host: []byte("nobody")}, testNow)
			}
		}
	})
	for w := range 4 {
		wg.Go(func() {
			for n := range 500 {
				tag := fmt.Sprintf("%d-%d", w, n)
				req := request(t, "/"+tag)
				o := tagged(t, "/"+tag, tag)
				o.Since = s.Epoch()
				f, err := s.Begin(o)
				if err != nil {
					continue // more purges than are remembered came in between
				}
				if err := f.Commit(); err != nil {
					t.Error(err)
				}
				if got := s.Purge(&Selector{Tag: []byte(tag)}, testNow); got != 1 {
					t.Errorf("%s: %d hit", tag, got)
				}
				if got := found(t, s, req); got != "-" {
					t.Errorf("%s: found %q", tag, got)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	sweeper.Wait()
}
