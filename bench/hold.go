package bench

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"weir/bench/peers"
	"weir/bench/report"
)

const (
	// settle is how long connections are idle before memory is read.
	settle      = 2 * time.Second
	holdTimeout = 10 * time.Second
)

// hold opens connections through a proxy in steps and reads its memory at each.
func (m *match) hold(ctx context.Context, proc *peers.Process, address string, round int) ([]report.Memory, error) {
	memory := []report.Memory{{Round: round, PSS: pssOf(proc.PIDs())}}
	var held []net.Conn
	defer func() {
		for _, c := range held {
			_ = c.Close()
		}
	}()
	for _, n := range m.s.Workload.Hold {
		for len(held) < n {
			c, err := m.dial(ctx, address)
			if err != nil {
				return nil, fmt.Errorf("cannot open connection %d of %d: %w", len(held)+1, n, err)
			}
			held = append(held, c)
		}
		pause(ctx, settle)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		memory = append(memory, report.Memory{Round: round, Connections: n, PSS: pssOf(proc.PIDs())})
	}
	return memory, nil
}

// dial makes a connection that has been used once: a request, or a byte there and back.
func (m *match) dial(ctx context.Context, address string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: holdTimeout}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if m.s.Front == "https" {
		c = tls.Client(c, &tls.Config{
			ServerName: peers.Name, InsecureSkipVerify: true, //nolint:gosec // the certificate was made for this run
		})
	}
	if err := m.use(c); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

func (m *match) use(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(holdTimeout)); err != nil {
		return err
	}
	if m.s.Front == "tcp" {
		if _, err := c.Write([]byte{'x'}); err != nil {
			return err
		}
		var b [1]byte
		_, err := io.ReadFull(c, b[:])
		return err
	}
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+peers.Name+"\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
