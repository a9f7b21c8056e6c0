package loop

import (
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// owner is a Parker that tells a channel what it is told.
type owner struct {
	place Parking
	fd    int
	name  string
	told  chan string
	panik bool
}

func (o *owner) Resume() {
	if o.panik {
		panic("resume")
	}
	o.told <- o.name + " resume"
}

func (o *owner) Leave() {
	unix.Close(o.fd)
	o.told <- o.name + " leave"
}

// park parks one end of a new pair and returns the other.
func park(t *testing.T, l *Loop, o *owner, d time.Duration) (other int) {
	t.Helper()
	a, b := pair(t)
	o.fd = a
	on(t, l, func() {
		if err := l.Park(&o.place, a, d, o); err != nil {
			t.Error(err)
		}
	})
	return b
}

func want(t *testing.T, told chan string, what string) {
	t.Helper()
	select {
	case got := <-told:
		if got != what {
			t.Errorf("got %q, want %q", got, what)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("timed out waiting for %q", what)
	}
}

func TestPark(t *testing.T) {
	l, _ := newLoop(t)
	f := func(what string, d time.Duration, act func(other int)) {
		t.Helper()
		o := &owner{name: "a", told: make(chan string, 4)}
		other := park(t, l, o, d)
		act(other)
		want(t, o.told, what)
		if n := l.Stats().Parked.Load(); n != 0 {
			t.Errorf("%d are parked afterwards", n)
		}
		on(t, l, func() {
			if o.place != (Parking{}) || l.table[o.fd] != nil || l.parked.first != nil {
				t.Error("the place is not free")
			}
		})
		if what == "a resume" {
			var b [2]byte
			if n, err := unix.Read(o.fd, b[:]); n != 1 || err != nil {
				t.Errorf("read %d %v: the octet that woke is not there", n, err)
			}
			unix.Close(o.fd)
		}
		unix.Close(other)
	}
	f("a resume", time.Minute, func(other int) { unix.Write(other, []byte{1}) })
	f("a resume", time.Minute, func(other int) {
		unix.Write(other, []byte{1})
		unix.Shutdown(other, unix.SHUT_WR)
	})
	f("a leave", time.Minute, func(other int) { unix.Shutdown(other, unix.SHUT_WR) })
	f("a leave", 30*time.Millisecond, func(int) {})
	f("a leave", 0, func(int) {})
	f("a leave", time.Minute, func(int) {
		l.ScanParked(func(Parker, time.Duration) time.Duration { return 0 }, nil)
	})
	f("a leave", time.Minute, func(int) {
		l.ScanParked(func(Parker, time.Duration) time.Duration { return 20 * time.Millisecond }, nil)
	})
	f("a resume", time.Minute, func(other int) {
		l.ScanParked(func(Parker, time.Duration) time.Duration { return Stay }, nil)
		unix.Write(other, []byte{1})
	})
}

// TestParkSeesWhatCameBefore parks a connection whose octet is there already.
func TestParkSeesWhatCameBefore(t *testing.T) {
	l, _ := newLoop(t)
	o := &owner{name: "a", told: make(chan string, 4)}
	a, b := pair(t)
	o.fd = a
	unix.Write(b, []byte{1})
	on(t, l, func() { l.Park(&o.place, a, time.Minute, o) })
	want(t, o.told, "a resume")
	unix.Close(a)
	unix.Close(b)
}

// TestScanParkedGoesInSteps ends half of many, while others come and go.
func TestScanParkedGoesInSteps(t *testing.T) {
	l, _ := newLoop(t)
	const n = 3 * scanStep
	told := make(chan string, 2*n)
	owners, others := make([]owner, n), make([]int, n)
	for i := range owners {
		owners[i] = owner{name: fmt.Sprint(i), told: told}
		others[i] = park(t, l, &owners[i], time.Minute)
	}
	done := make(chan struct{})
	visits := 0
	l.ScanParked(func(p Parker, _ time.Duration) time.Duration {
		visits++
		o := p.(*owner)
		for i := range owners {
			if &owners[i] == o && i%2 == 0 {
				return 0
			}
			if &owners[i] == o && i > 2 && visits%100 == 0 && owners[i-1].place.owner != nil {
				owners[i-1].place.hand(Parker.Leave) // the next one to be visited
			}
		}
		return Stay
	}, func() { close(done) })
	<-done
	on(t, l, func() {
		if len(l.parked.scans) != 0 {
			t.Error("the scan is still there")
		}
		left := 0
		for p := l.parked.first; p != nil; p = p.next {
			left++
		}
		if left != n/2 || l.Stats().Parked.Load() != n/2 {
			t.Errorf("%d are left, counted %d, want %d", left, l.Stats().Parked.Load(), n/2)
		}
	})
	l.Close() // ends the others
	if len(told) != n {
		t.Errorf("%d owners were told to leave, want %d", len(told), n)
	}
	if l.ScanParked(func(Parker, time.Duration) time.Duration { return 0 }, nil) {
		t.Error("a loop that has ended scans")
	}
	for _, fd := range others {
		unix.Close(fd)
	}
}

// TestCloseRunsWhatCameLate checks that a connection on its way to a loop that ends is
// not lost.
func TestCloseRunsWhatCameLate(t *testing.T) {
	for range 50 {
		l, _ := newLoop(t)
		o := &owner{name: "a", told: make(chan string, 4)}
		a, b := pair(t)
		o.fd = a
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			l.Close()
		}()
		if l.Do(func() { l.Park(&o.place, a, time.Minute, o) }) {
			want(t, o.told, "a leave")
		} else {
			unix.Close(a)
		}
		<-closed
		unix.Close(b)
	}
}

func TestParkSurvivesPanics(t *testing.T) {
	l, _ := newLoop(t)
	o := &owner{name: "a", told: make(chan string, 4), panik: true}
	other := park(t, l, o, time.Minute)
	unix.Write(other, []byte{1})
	want(t, o.told, "a leave")
	unix.Close(other)
	if n := l.Stats().Panics.Load(); n != 1 {
		t.Errorf("%d panics were counted", n)
	}
}

func TestDetach(t *testing.T) {
	l, _ := newLoop(t)
	before := openFDs(t)
	a, b := pair(t)
	defer unix.Close(b)
	c, err := NewConn(Handover{FD: a})
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Unix(1, 0))
	for range 10 { // to and fro
		h, err := c.Detach()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != net.ErrClosed {
			t.Errorf("got %v of the old one", err)
		}
		o := &owner{name: "a", told: make(chan string, 4), fd: h.FD}
		on(t, l, func() { l.Park(&o.place, h.FD, time.Minute, o) })
		unix.Write(b, []byte("x"))
		want(t, o.told, "a resume")
		if c, err = NewConn(h); err != nil {
			t.Fatal(err)
		}
		var buf [2]byte
		if n, err := c.Read(buf[:]); n != 1 || err != nil {
			t.Fatalf("read %d %v", n, err)
		}
	}
	c.Close()
	if n := openFDs(t); n != before+1 {
		t.Errorf("%d descriptors, want %d", n, before+1)
	}
}

// TestParkAllocatesNothing is for parking and resuming on the loop itself.
func TestParkAllocatesNothing(t *testing.T) {
	if raceEnabled {
		return // the race detector allocates
	}
	l, _ := newLoop(t)
	a, b := pair(t)
	defer unix.Close(a)
	defer unix.Close(b)
	o := &owner{name: "a"}
	on(t, l, func() {
		l.Arm(new(Timer), time.Second, &handler{ready: func(int, Events) {}}) // the alarm is set
		if n := testing.AllocsPerRun(100, func() {
			l.Park(&o.place, a, time.Minute, o)
			o.place.free()
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}
