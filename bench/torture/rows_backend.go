package torture

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// The rows in which a backend misbehaves.

// killedIdle: no GET fails, and the backend is used again soon after it is back.
func killedIdle(s *scene) error {
	c := s.client()
	defer c.close()
	ask := func(int) error { return want(c.do(request{how: "whole", n: 1000}), right, 0) }
	if err := each(10, ask); err != nil {
		return err
	}
	b := s.pool[s.rng.IntN(len(s.pool))]
	b.kill()
	err := each(20, ask)
	return errors.Join(err, b.restart(s.ctx), s.recovers(b))
}

// recovers waits until a backend serves again.
func (s *scene) recovers(b *backend) error {
	c := s.client()
	defer c.close()
	before := b.served.Load()
	return s.until("recovery", 2*time.Second, func() bool {
		c.do(request{how: "whole", n: 100})
		return b.served.Load() > before
	})
}

// diesBeforeHead: a GET is repeated elsewhere, a POST is not.
func diesBeforeHead(s *scene) error {
	c := s.client()
	defer c.close()
	if err := want(c.do(request{how: "die-once", n: 1000}), right, 0); err != nil {
		return err
	}
	a := c.do(request{method: http.MethodPost, how: "die", n: 100, send: 1000})
	if err := want(a, refused, http.StatusBadGateway); err != nil {
		return err
	}
	if t := s.oracle.trace(a.id); t.seen != 1 {
		return fmt.Errorf("POST %d was seen %d times, want once", a.id, t.seen)
	}
	return nil
}

// cut plays a behaviour that must look broken, and then one that must not.
func (s *scene) cut(hows ...string) error {
	c := s.client()
	defer c.close()
	for _, how := range hows {
		n := 2 + s.rng.Int64N(200_000)
		if err := want(c.do(request{how: how, n: n}), broken, 0); err != nil {
			return fmt.Errorf("%s: %w", how, err)
		}
		if err := want(c.do(request{how: "whole", n: n}), right, 0); err != nil {
			return fmt.Errorf("after %s: %w", how, err)
		}
	}
	return nil
}

func cutsLength(s *scene) error  { return s.cut("cut-length", "cut-length") }
func cutsChunked(s *scene) error { return s.cut("cut-chunked", "cut-chunked") }
func resets(s *scene) error      { return s.cut("rst-length", "rst-chunked") }

// stopped: what is on the stopped backend gets a 504 in time, the rest its answer;
// when it goes on it is used again.
func stopped(s *scene) error {
	b := s.pool[s.rng.IntN(len(s.pool))]
	goOn := b.stall()
	defer goOn()
	const clients, limit = 4, time.Second
	err := all(clients, func(int) error {
		c := s.fresh()
		defer c.close()
		a := c.do(request{how: "whole", n: 100})
		if a.class == right {
			return nil
		}
		if err := want(a, refused, http.StatusGatewayTimeout); err != nil {
			return err
		}
		if a.took < limit*9/10 {
			return fmt.Errorf("504 after %s, too early", round(a.took))
		}
		return s.note("504", a.took, limit*11/10)
	})
	goOn()
	return errors.Join(err, s.recovers(b))
}

// refusing: the next server is tried at once; when all refuse, the client is told so.
func refusing(s *scene) (err error) {
	defer func() {
		for _, b := range s.pool {
			b.kill()
			err = errors.Join(err, b.restart(s.ctx))
		}
		err = errors.Join(err, s.recovers(s.pool[0]))
	}()
	c := s.client()
	defer c.close()
	first := s.rng.IntN(len(s.pool))
	s.pool[first].kill()
	if err := each(2*len(s.pool), func(int) error {
		a := c.do(request{how: "whole", n: 100})
		return errors.Join(want(a, right, 0), s.note("next server", a.took, 5*time.Millisecond))
	}); err != nil {
		return err
	}
	for _, b := range s.pool {
		b.kill()
	}
	return each(3, func(int) error {
		a := c.do(request{how: "whole", n: 100})
		if err := want(a, refused, http.StatusServiceUnavailable); err != nil {
			return err
		}
		if a.header.Get("Retry-After") == "" {
			return errors.New("503 without Retry-After")
		}
		return s.note("503", a.took, 10*time.Millisecond)
	})
}

// blackhole: after the connect timeout the next server is tried.
func blackhole(s *scene) error {
	return all(4, func(int) error {
		c := s.fresh()
		defer c.close()
		a := c.do(request{how: "whole", n: 100})
		return errors.Join(want(a, right, 0), s.note("answer", a.took, 400*time.Millisecond))
	})
}

func finAfterReply(s *scene) error {
	c := s.client()
	defer c.close()
	return each(10, func(int) error { return want(c.do(request{how: "fin", n: 1000}), right, 0) })
}

// stale: requests are sent around the moment in which the backend closes the
// connection that would carry them.
func stale(s *scene) error {
	c := s.client()
	defer c.close()
	return each(20, func(i int) error {
		pause(s.ctx, shortWhile-time.Millisecond+time.Duration(s.rng.IntN(2000))*time.Microsecond)
		if i%4 > 0 {
			return want(c.do(request{how: "stale", n: 1000}), right, 0)
		}
		a := c.do(request{method: http.MethodPost, how: "stale", n: 1000, send: 100})
		if a.class == refused && a.status == http.StatusBadGateway {
			return nil // it may have run: the client has to decide
		}
		return want(a, right, 0)
	})
}

func surplus(s *scene) error {
	return all(4, func(i int) error {
		c := s.client()
		defer c.close()
		return each(5, func(k int) error {
			how := "whole"
			if (i+k)%2 == 0 {
				how = "surplus"
			}
			return want(c.do(request{how: how, n: 1000}), right, 0)
		})
	})
}

func early(s *scene) error {
	c := s.client()
	defer c.close()
	a := c.do(request{method: http.MethodPost, how: "early", n: 0, send: 8 << 20})
	if a.status != http.StatusRequestEntityTooLarge {
		return want(a, refused, http.StatusRequestEntityTooLarge)
	}
	return want(c.do(request{how: "whole", n: 100}), right, 0)
}

func noHTTP(s *scene) error {
	c := s.client()
	defer c.close()
	for how := range garbage {
		if err := want(c.do(request{how: how}), refused, http.StatusBadGateway); err != nil {
			return fmt.Errorf("%s: %w", how, err)
		}
	}
	return want(c.do(request{how: "whole", n: 100}), right, 0)
}

func stallsInBody(s *scene) error {
	c := s.client()
	defer c.close()
	a := c.do(request{how: "half", n: 100_000})
	if err := want(a, broken, 0); err != nil {
		return err
	}
	return s.note("end", a.took, 1200*time.Millisecond)
}
