package torture

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// The rows in which a client misbehaves, or only seems to.

// uploadCut: no backend takes a cut upload for a whole one.
func uploadCut(s *scene) error {
	for i := range 4 {
		c := s.fresh()
		a := c.do(request{
			method: http.MethodPost, how: "whole", n: 10, send: 100_000, cut: 1 + s.rng.Int64N(99_999),
			chunk: i&1 > 0, rst: i&2 > 0,
		})
		c.close()
		if a.class != broken && a.class != refused {
			return want(a, broken, 0)
		}
	}
	return s.until("end at the backend", time.Second, func() bool {
		return s.pool[0].active.Load()+s.pool[1].active.Load() == 0
	})
}

// slowReader: the backend is paused, Weir holds little, and when the client goes on
// nothing is missing.
func slowReader(s *scene) error {
	const readers, size = 4, 24 << 20
	before, err := s.weir.usage(s.ctx)
	if err != nil {
		return err
	}
	sent := s.pool[0].sent.Load()
	var clients []*client
	var ids []uint64
	defer func() {
		for _, c := range clients {
			c.close()
		}
	}()
	for range readers {
		c := s.plain() // of what TLS holds there is no account
		id, err := c.begin("whole", size)
		if err != nil {
			return err
		}
		clients, ids = append(clients, c), append(ids, id)
	}
	last, still := int64(-1), time.Now()
	if err := s.until("standstill", 10*time.Second, func() bool {
		if now := s.pool[0].sent.Load(); now != last {
			last, still = now, time.Now()
		}
		return time.Since(still) > 300*time.Millisecond
	}); err != nil {
		return err
	}
	if last-sent >= readers*size {
		return fmt.Errorf("the backend could send all of %d bytes to clients that do not read", readers*size)
	}
	after, err := s.weir.usage(s.ctx)
	if err != nil {
		return err
	}
	const others = 8 << 20 // what everybody else may hold
	if held := after.Buffers - before.Buffers; held > readers*256<<10+others {
		return fmt.Errorf("%d readers that do not read make Weir hold %d KiB", readers, held>>10)
	}
	return all(readers, func(i int) error { return want(clients[i].finish(ids[i], "whole", size), right, 0) })
}

// begin sends a GET and reads nothing.
func (c *client) begin(how string, n int64) (id uint64, err error) {
	id = c.stage.oracle.next()
	if err = c.connect(4 * patience); err != nil {
		return id, err
	}
	_ = c.conn.SetReadBuffer(64 << 10)
	return id, c.send(request{method: http.MethodGet, how: how, n: n}, id)
}

// finish reads the answer to what was begun.
func (c *client) finish(id uint64, how string, n int64) answer {
	a := answer{id: id}
	c.receive(request{method: http.MethodGet, how: how, n: n}, &a)
	c.stage.oracle.count(a.class, a.n)
	if a.class == wrong {
		c.stage.oracle.accuse("GET %s/%s/%d: %v", c.host, how, id, a.err)
	}
	c.stage.oracle.forget(id)
	return a
}

// clientGone: the backend sees it within a second.
func clientGone(s *scene) error {
	return each(3, func(int) error {
		c := s.client()
		id, err := c.begin("hang", 10)
		if err != nil {
			return err
		}
		defer s.oracle.forget(id)
		if err := s.until("arrival", 100*time.Millisecond, func() bool {
			return s.oracle.trace(id).seen > 0
		}); err != nil {
			c.close()
			return err
		}
		if !c.tls { // that is cut off by any end that was not announced
			_ = c.conn.SetLinger(0)
		}
		c.close()
		return s.until("end at the backend", time.Second, func() bool { return s.oracle.trace(id).ended })
	})
}

// halfClose: a client that has said all it has to say gets its whole answer.
func halfClose(s *scene) error {
	c := s.plain() // TLS ends otherwise
	id, err := c.begin("late", 300_000)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.conn.CloseWrite(); err != nil {
		return fmt.Errorf("cannot half-close: %w", err)
	}
	if err := want(c.finish(id, "late", 300_000), right, 0); err != nil {
		return err
	}
	return want(s.upload(s.addr["calmraw"], 1+s.rng.Int64N(1<<20)), right, 0)
}

// beyondCap: what is there stays, what comes on top is refused, and a place that is
// free can be taken.
func beyondCap(s *scene) error {
	var kept []*client
	defer func() {
		for _, c := range kept {
			c.close()
		}
	}()
	open := func() (*client, answer) {
		c := &client{stage: s.stage, addr: s.addr["capped"], host: "a"}
		return c, c.do(request{how: "whole", n: 100})
	}
	served := func() bool {
		c, a := open()
		if a.class != right {
			c.close()
			return false
		}
		kept = append(kept, c)
		return true
	}
	for range capped { // places of an earlier performance may still be taken
		if err := s.until("a free place", 2*time.Second, served); err != nil {
			return err
		}
	}
	if err := all(100, func(int) error {
		c, a := open()
		defer c.close()
		if a.class == right {
			return fmt.Errorf("a connection beyond the cap of %d was served", capped)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, c := range kept {
		if err := want(c.do(request{how: "whole", n: 100}), right, 0); err != nil {
			return fmt.Errorf("a connection within the cap: %w", err)
		}
	}
	kept[0].close()
	return s.until("the place that was given back", 2*time.Second, served)
}

// slowHead: one limit for all of the head, however it trickles.
func slowHead(s *scene) error {
	c, err := dial(s.addr["web"], patience)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // nothing is lost
	start := time.Now()
	if _, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\n", s.host()); err != nil {
		return err
	}
	for i := 0; ; i++ {
		_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := io.Copy(io.Discard, c); !timedOut(err) {
			return s.note("end", time.Since(start), 2200*time.Millisecond)
		}
		if time.Since(start) > patience {
			return errors.New("a head may trickle without end")
		}
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = fmt.Fprintf(c, "X-%d: 1\r\n", i) // an error shows in the next read
	}
}
