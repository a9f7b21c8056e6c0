package h1

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"weir/l7/message"
)

// TestStopBody has an answer come before the body, which another goroutine reads.
func TestStopBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		first := true
		done := serve(NewConn(server, nil), func(c *Conn, r *message.Request) bool {
			if !first {
				return echo(c, r)
			}
			first = false
			stopped := make(chan error)
			go func() {
				for {
					if _, err := c.ReadBody(); err != nil {
						stopped <- err
						return
					}
				}
			}()
			time.Sleep(time.Second)
			c.StopBody()
			if err := <-stopped; !errors.Is(err, ErrStopped) {
				t.Error(err)
			}
			return answer(c, 413, "no") == nil
		})
		r := bufio.NewReader(client)
		io.WriteString(client, post+"Content-Length: 10\r\n\r\n12345")
		if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 413 || resp.Close {
			t.Fatal(resp, err)
		}
		io.CopyN(io.Discard, r, 2)
		io.WriteString(client, "67890"+get) // the rest is drained, the connection lives on
		if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		client.Close()
		<-done
	})
}

// TestDrainEnds has a client that does not send the rest of a body nobody wants.
func TestDrainEnds(t *testing.T) {
	took, err := run(t, nil, func(c *Conn, _ *message.Request) bool { return answer(c, 413, "no") == nil },
		func(client net.Conn, _ *Conn) { io.WriteString(client, post+"Content-Length: 10\r\n\r\n12345") })
	if err != nil {
		t.Error(err)
	}
	between(t, "draining and lingering", took, drainTime, drainTime+lingerTime+2*time.Second)
}

// TestAbortWhileReading aborts a response while another goroutine reads the body.
func TestAbortWhileReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		done := serve(NewConn(server, nil), func(c *Conn, _ *message.Request) bool {
			failed := make(chan error)
			go func() {
				_, err := c.ReadBody()
				failed <- err
			}()
			time.Sleep(time.Second)
			c.Abort()
			if err := <-failed; err == nil {
				t.Error("reading goes on after Abort")
			}
			return false
		})
		io.WriteString(client, post+"Content-Length: 10\r\n\r\n")
		if _, err := client.Read(make([]byte, 1)); err != io.EOF {
			t.Error(err)
		}
		<-done
	})
}
