package h1

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/l7/message"
)

// run serves one end of a pipe in simulated time. play is the client; it returns
// when the connection has ended. The result is when that was and why.
func run(t *testing.T, o *Options, handle handler, play func(client net.Conn, c *Conn)) (took time.Duration,
	ended error,
) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		client, server := net.Pipe()
		begin := time.Now()
		c := NewConn(server, o)
		done := serve(c, func(c *Conn, r *message.Request) bool { return handle(c, r) })
		played := make(chan struct{})
		go func() {
			play(client, c)
			io.Copy(io.Discard, client)
			client.Close()
			close(played)
		}()
		ended = <-done
		took = time.Since(begin)
		<-played // simulated time stands still once this function returns
	})
	return took, ended
}

// between checks a time against the slack that deadlines are armed with.
func between(t *testing.T, what string, got, from, to time.Duration) {
	t.Helper()
	if got < from || got > to {
		t.Errorf("%s took %v, want %v to %v", what, got, from, to)
	}
}

func TestIdle(t *testing.T) {
	took, err := run(t, nil, echo, func(net.Conn, *Conn) {})
	if !errors.Is(err, ErrIdle) {
		t.Error(err)
	}
	between(t, "a silent connection", took, time.Minute, 70*time.Second)

	took, err = run(t, &Options{KeepAliveTimeout: 5 * time.Second}, echo, func(client net.Conn, _ *Conn) {
		for range 3 { // each request starts the wait anew
			io.WriteString(client, get)
			http.ReadResponse(bufio.NewReader(client), nil)
			time.Sleep(4 * time.Second)
		}
	})
	if !errors.Is(err, ErrIdle) {
		t.Error(err)
	}
	between(t, "a kept connection", took, 13*time.Second, 14*time.Second)
}

// TestBlankLine has a client send an empty line after a body and nothing more.
func TestBlankLine(t *testing.T) {
	took, err := run(t, nil, echo, func(client net.Conn, _ *Conn) {
		io.WriteString(client, post+"Content-Length: 5\r\n\r\nhello\r\n")
	})
	if !errors.Is(err, ErrIdle) {
		t.Error(err)
	}
	between(t, "an idle connection", took, time.Minute, 70*time.Second)
}

// TestSlowHead is row 19: ten seconds from the first octet, however the rest trickles.
func TestSlowHead(t *testing.T) {
	for _, every := range []time.Duration{time.Hour, 9 * time.Second, time.Second, 10 * time.Millisecond} {
		status := ""
		took, err := run(t, nil, echo, func(client net.Conn, _ *Conn) {
			time.Sleep(30 * time.Second)
			stop := make(chan struct{})
			go func() {
				b, _ := io.ReadAll(client)
				status, _, _ = strings.Cut(string(b), "\r\n")
				close(stop)
			}()
			io.WriteString(client, "GET / HTTP/1.1\r\nX: ")
			for {
				select {
				case <-stop:
					return
				case <-time.After(every):
					if _, err := io.WriteString(client, "x"); err != nil {
						return
					}
				}
			}
		})
		var e *message.Error
		if !errors.As(err, &e) || e.Status != 408 || e.Reason != "head_timeout" {
			t.Errorf("a head with an octet every %v ends with %v", every, err)
		}
		between(t, "a slow head", took, 40*time.Second, 44*time.Second)
		if status != "HTTP/1.1 408 x" {
			t.Errorf("the client reads %q", status)
		}
	}
}

// readAll reads the body and returns false, with the error in *err.
func readAll(err *error) handler {
	return func(c *Conn, _ *message.Request) bool {
		for {
			if _, *err = c.ReadBody(); *err != nil {
				return false
			}
		}
	}
}

// TestSlowBody is row 20.
func TestSlowBody(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n"
	f := func(what string, size int, every time.Duration, wantErr bool, from, to time.Duration) {
		t.Helper()
		var err error
		took, _ := run(t, nil, readAll(&err), func(client net.Conn, _ *Conn) {
			io.WriteString(client, head)
			p := make([]byte, size)
			for left := 1000000; left > 0; left -= len(p) {
				time.Sleep(every)
				p = p[:min(len(p), left)]
				if _, err := client.Write(p); err != nil {
					return
				}
			}
		})
		var e *message.Error
		if slow := errors.As(err, &e) && e.Status == 408; slow != wantErr || !wantErr && err != io.EOF {
			t.Errorf("%s: %v", what, err)
		}
		between(t, what, took, from, to)
	}
	f("no body at all", 1, time.Hour, true, 10*time.Second, 12*time.Second)
	f("an octet a second", 1, time.Second, true, 10*time.Second, 12*time.Second)
	f("half the rate", 512, time.Second, true, 18*time.Second, 24*time.Second)
	f("just above the rate", 1100, time.Second, false, 900*time.Second, 920*time.Second)
	f("a long upload with pauses", 100000, 20*time.Second, true, 10*time.Second, 12*time.Second)
	f("a long upload with short pauses", 100000, 9*time.Second, false, 89*time.Second, 91*time.Second)
}

// TestPausesOfWeir checks that a client is not blamed while nobody reads.
func TestPausesOfWeir(t *testing.T) {
	var err error
	run(t, nil, func(c *Conn, _ *message.Request) bool {
		for err == nil {
			time.Sleep(time.Hour)
			_, err = c.ReadBody()
		}
		return false
	}, func(client net.Conn, _ *Conn) {
		io.WriteString(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
		for range 5 {
			client.Write([]byte("x"))
		}
	})
	if err != io.EOF {
		t.Error(err)
	}
}

// TestSlowReader is row 21 as far as it is ours: a client that does not take the
// response, or takes it too slowly, loses the connection, and one that keeps the rate does not.
func TestSlowReader(t *testing.T) {
	const size = 200000
	f := func(what string, take int, every time.Duration, wantErr bool, from, to time.Duration) {
		t.Helper()
		var err error
		took, _ := run(t, nil, func(c *Conn, _ *message.Request) bool {
			c.WriteHead([]byte("HTTP/1.1 200 OK\r\n\r\n"), message.Length, size)
			piece := make([]byte, 16<<10)
			for left := size; left > 0 && err == nil; left -= len(piece) {
				piece = piece[:min(len(piece), left)]
				err = c.WriteBody(piece)
			}
			if err == nil {
				err = c.EndBody(nil)
			}
			return false
		}, func(client net.Conn, _ *Conn) {
			io.WriteString(client, get)
			for p := make([]byte, take); ; {
				time.Sleep(every)
				if _, err := io.ReadFull(client, p); err != nil {
					return
				}
			}
		})
		var e *message.Error
		if slow := errors.As(err, &e) && e.Reason == "slow_reader"; slow != wantErr || !wantErr && err != nil {
			t.Errorf("%s: %v", what, err)
		}
		between(t, what, took, from, to)
	}
	f("a client that does not read", 1, time.Hour, true, 26*time.Second, 30*time.Second)
	f("an octet a second", 1, time.Second, true, 26*time.Second, 30*time.Second)
	f("just above the rate", 1100, time.Second, false, 180*time.Second, 184*time.Second)
}

// TestInterrupt ends waits for a request that has not begun, and nothing else.
func TestInterrupt(t *testing.T) {
	took, err := run(t, nil, echo, func(_ net.Conn, c *Conn) {
		time.Sleep(time.Second)
		c.Interrupt()
	})
	if !errors.Is(err, ErrInterrupted) {
		t.Error(err)
	}
	between(t, "an idle connection", took, time.Second, time.Second)

	var got []string
	took, err = run(t, nil, echo, func(client net.Conn, c *Conn) {
		r := bufio.NewReader(client)
		for _, piece := range []string{"POST /p HTTP/1.1\r\nHo", "st: h\r\nContent-Length: 5\r\n\r\n", "he", "llo"} {
			io.WriteString(client, piece)
			time.Sleep(time.Second)
			c.Interrupt()
			time.Sleep(time.Second)
		}
		resp, _ := http.ReadResponse(r, nil)
		b, _ := io.ReadAll(resp.Body)
		got = append(got, fmt.Sprint(string(b), " close ", resp.Close))
	})
	if !errors.Is(err, ErrInterrupted) || len(got) != 1 || got[0] != "/p|hello close true" {
		t.Errorf("%q, %v", got, err)
	}
	between(t, "a busy connection", took, 6*time.Second, 8*time.Second)
}

// TestLingerEnds has a client that keeps its end open after a refused request.
func TestLingerEnds(t *testing.T) {
	took, _ := run(t, nil, echo, func(client net.Conn, _ *Conn) {
		io.WriteString(client, "GET / HTTP/1.1\r\n\r\n")
	})
	between(t, "a lingering close", took, lingerTime, lingerTime+time.Second)
}

func TestPaceOfAnyRate(t *testing.T) {
	f := func(rate int64, want time.Duration, p pace) {
		t.Helper()
		o := (&Options{BodyMinRate: rate, BodyGrace: time.Second}).orDefault()
		if got := p.allow(&o, 0); got != want {
			t.Errorf("rate %d, %+v: allowed %v, want %v", rate, p, got, want)
		}
	}
	late := pace{waited: time.Hour}
	f(AnyRate, forever, late)
	f(AnyRate, forever, pace{})
	f(0, time.Second, pace{})
	f(0, time.Second-time.Hour, late)
	f(1<<20, time.Second, pace{})
}

func TestPaceDoesNotOverflow(t *testing.T) {
	o := (&Options{BodyMinRate: 1}).orDefault()
	p := pace{moved: 1 << 62}
	if got := p.allow(&o, 1<<16); got <= 0 {
		t.Errorf("allowed %v", got)
	}
	if got := seconds(1536, 1024); got != 1500*time.Millisecond {
		t.Errorf("got %v", got)
	}
}
