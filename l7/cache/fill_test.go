package cache

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"
	"time"
)

// TestReadersFollow lets readers come at any time of a fill's life and read what is there.
func TestReadersFollow(t *testing.T) {
	s := newStore(t, Options{Budget: 64 << 20})
	req := request(t, "/follow")
	want := body(3<<20, "f")
	f, err := s.Begin(object(req, ""))
	if err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	for i := 0; i < len(want); i += 100_000 {
		readers.Go(func() {
			if got := found(t, s, request(t, "/follow")); got != want {
				t.Errorf("a reader from octet %d on got %d bytes", i, len(got))
			}
		})
		if err := f.Write([]byte(want[i:min(i+100_000, len(want))]), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	readers.Wait()
}

func TestReaderWaits(t *testing.T) {
	s := newStore(t, Options{})
	f, err := s.Begin(object(request(t, "/w"), ""))
	if err != nil {
		t.Fatal(err)
	}
	var ref Ref
	f.Read(&ref)
	if _, ok, err := ref.TryNext(); ok || err != nil {
		t.Errorf("nothing is there: ok %v, %v", ok, err)
	}
	if _, err := ref.Next(nil, time.Millisecond); !errors.Is(err, ErrSlow) {
		t.Errorf("got %v", err)
	}
	stop := make(chan struct{})
	close(stop)
	if _, err := ref.Next(stop, 0); !errors.Is(err, ErrStopped) {
		t.Errorf("got %v", err)
	}
	if err := f.Write([]byte("some"), nil); err != nil {
		t.Fatal(err)
	}
	if b, err := ref.Next(nil, 0); string(b) != "some" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
	f.Abort(io.ErrUnexpectedEOF)
	if _, err := ref.Next(nil, 0); err != io.ErrUnexpectedEOF {
		t.Errorf("got %v", err)
	}
	ref.Release()
	if got := found(t, s, request(t, "/w")); got != "-" {
		t.Errorf("found %q after Abort", got)
	}
}

// TestAbortUncovers: what was stored before a fill is found again when that fails.
func TestAbortUncovers(t *testing.T) {
	s := newStore(t, Options{})
	req := request(t, "/u")
	mustPut(t, s, object(req, ""), "old")
	f, err := s.Begin(object(req, ""))
	if err != nil {
		t.Fatal(err)
	}
	var ref Ref
	if s.Lookup(keyOf(req), req, testNow, &ref) != Hit || !ref.Growing() {
		t.Error("the fill is not found")
	}
	f.Abort(nil)
	f.Abort(nil) // does nothing
	if _, err := ref.Next(nil, 0); err != errAborted {
		t.Errorf("got %v", err)
	}
	ref.Release()
	if got := found(t, s, req); got != "old" {
		t.Errorf("got %q", got)
	}
}

func TestLengthMustBeRight(t *testing.T) {
	s := newStore(t, Options{})
	o := object(request(t, "/l"), "")
	o.Length = 10
	f, err := s.Begin(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Write(make([]byte, 9), nil); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err == nil {
		t.Error("a short body was stored")
	}
	if f, err = s.Begin(o); err != nil {
		t.Fatal(err)
	}
	if err := f.Write(make([]byte, 11), nil); err == nil {
		t.Error("a long body was taken")
	}
	f.Abort(nil)
	if got := found(t, s, request(t, "/l")); got != "-" {
		t.Errorf("found %q", got)
	}
}

// TestTwoFills: of two fills for one thing, that which began later is what stays.
func TestTwoFills(t *testing.T) {
	for _, later := range []bool{true, false} {
		s := newStore(t, Options{})
		o := object(request(t, "/two"), "")
		var fills [2]*Fill
		for i := range fills {
			f, err := s.Begin(o)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Write([]byte{'a' + byte(i)}, nil); err != nil {
				t.Fatal(err)
			}
			fills[i] = f
		}
		if later {
			fills[0], fills[1] = fills[1], fills[0]
		}
		for _, f := range fills {
			if err := f.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		if got := found(t, s, request(t, "/two")); got != "b" {
			t.Errorf("the later first %v: got %q", later, got)
		}
		if n := s.Stats().Objects; n != 1 {
			t.Errorf("the later first %v: %d objects", later, n)
		}
	}
}

// TestPassing: a body that turns out to be too large goes to those who read it already, in
// bounded memory, and to nobody else.
func TestPassing(t *testing.T) {
	const limit, size = 1 << 20, 8 << 20
	s := newStore(t, Options{Budget: 8 << 20, MaxObject: limit})
	want := []byte(body(size, "p"))
	f, err := s.Begin(object(request(t, "/pass"), ""))
	if err != nil {
		t.Fatal(err)
	}
	var refs [3]Ref
	for i := range refs {
		f.Read(&refs[i])
	}
	var readers sync.WaitGroup
	for i := range refs {
		readers.Go(func() {
			defer refs[i].Release()
			var got []byte
			for {
				b, err := refs[i].Next(nil, 20*time.Second)
				if err == io.EOF {
					break
				} else if err != nil {
					t.Error(err)
					return
				}
				got = append(got, b...)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("reader %d got %d bytes", i, len(got))
			}
		})
	}
	var most int64
	for at := 0; at < size; at += 30_000 {
		if err := f.Write(want[at:min(at+30_000, size)], nil); err != nil {
			t.Fatal(err)
		}
		most = max(most, s.Stats().Payload)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	readers.Wait()
	if most > limit+Window+4*slabSize {
		t.Errorf("%d bytes of memory for a body that passes", most)
	}
	if got := found(t, s, request(t, "/pass")); got != "-" {
		t.Errorf("%d bytes were stored", len(got))
	}
	if n := s.Stats().Objects; n != 0 {
		t.Errorf("%d objects are left", n)
	}
}

func TestNobodyReadsWhatPasses(t *testing.T) {
	s := newStore(t, Options{Budget: 8 << 20, MaxObject: 1 << 20})
	f, err := s.Begin(object(request(t, "/unread"), ""))
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err = f.Write(make([]byte, 100_000), nil); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrUnread) {
		t.Errorf("got %v", err)
	}
	f.Abort(err)
}
