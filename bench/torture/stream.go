package torture

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// A TCP backend reads one line and does what it says:
//
//	send ID N   N bytes of body ID, and the end
//	take ID     reads body ID up to its end, then says how long it was
//	echo        sends back what comes
func serveStream(b *backend, p *peer) {
	b.wait()
	line, err := p.r.ReadString('\n')
	if err != nil {
		return
	}
	b.served.Add(1)
	b.active.Add(1)
	defer b.active.Add(-1)
	b.wait()
	switch f := strings.Fields(line); {
	case len(f) == 3 && f[0] == "send":
		id, n := number(f[1]), number(f[2])
		x := &exchange{backend: b, peer: p, id: id, n: int64(n)}
		x.send(x.n)
	case len(f) == 2 && f[0] == "take":
		c := newChecker(number(f[1]))
		if _, err := io.Copy(c, p.r); err == nil {
			_, _ = fmt.Fprintf(p, "%d", c.n)
		} else if wrong := (errWrongBytes{}); errors.As(err, &wrong) {
			b.oracle.accuse("l4: upload %s reached a backend with %v", f[1], wrong)
		}
	case len(f) == 1 && f[0] == "echo":
		_, _ = io.Copy(p, p.r)
	default:
		b.oracle.accuse("l4: a backend was told %q", line)
	}
}

// number reads what we wrote ourselves.
func number(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}

// dial connects to Weir.
func dial(addr string, limit time.Duration) (*net.TCPConn, error) {
	c, err := net.DialTimeout("tcp", addr, limit)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to %s: %w", addr, err)
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return nil, fmt.Errorf("BUG: a connection of type %T", c)
	}
	return tcp, tcp.SetDeadline(time.Now().Add(limit))
}

// download asks a TCP backend for n bytes through Weir and judges what came. A
// clean end is the only thing that a client can take for the whole.
func (s *stage) download(addr string, n int64) answer {
	id := s.oracle.next()
	c, err := dial(addr, s.patience())
	if err != nil {
		return s.judged(answer{class: broken, err: err})
	}
	defer c.Close() //nolint:errcheck // nothing is lost
	if _, err := fmt.Fprintf(c, "send %d %d\n", id, n); err != nil {
		return s.judged(answer{class: broken, err: err})
	}
	check := newChecker(id)
	_, err = io.Copy(check, c)
	a := answer{id: id, n: check.n, err: err}
	switch {
	case errors.As(err, new(errWrongBytes)):
		a.class = wrong
	case timedOut(err):
		a.class, a.err = wrong, fmt.Errorf("no end within %s", s.patience())
	case err != nil:
		a.class = broken
	case check.n == 0 && n > 0:
		a.class = refused // closed before anything came
	case check.n != n:
		a.class, a.err = wrong, fmt.Errorf("%d of %d bytes and a clean end", check.n, n)
	}
	return s.judged(a)
}

// upload sends n bytes, half-closes, and wants to be told how many came.
func (s *stage) upload(addr string, n int64) answer {
	id := s.oracle.next()
	c, err := dial(addr, s.patience())
	if err != nil {
		return s.judged(answer{class: broken, err: err})
	}
	defer c.Close() //nolint:errcheck // nothing is lost
	_, err = fmt.Fprintf(c, "take %d\n", id)
	if err == nil {
		_, err = io.Copy(c, bodyOf(id, n))
	}
	if err == nil {
		err = c.CloseWrite()
	}
	if err != nil {
		return s.judged(answer{class: broken, err: err})
	}
	text, err := io.ReadAll(io.LimitReader(c, 100))
	a := answer{id: id, n: n, err: err}
	switch {
	case timedOut(err):
		a.class, a.err = wrong, fmt.Errorf("no answer to a half-close within %s", s.patience())
	case err != nil:
		a.class = broken
	case len(text) == 0:
		a.class = refused
	case string(text) != strconv.FormatInt(n, 10):
		a.class, a.err = wrong, fmt.Errorf("the backend got %q bytes of %d and a clean end", text, n)
	}
	return s.judged(a)
}

// judged counts an answer and accuses where it is wrong.
func (s *stage) judged(a answer) answer {
	s.oracle.count(a.class, a.n)
	if a.class == wrong {
		s.oracle.accuse("l4 session %d: %v", a.id, a.err)
	}
	return a
}

func timedOut(err error) bool {
	t := net.Error(nil)
	return errors.As(err, &t) && t.Timeout()
}
