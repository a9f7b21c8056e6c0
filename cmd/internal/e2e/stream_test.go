package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

// stepper sends one event each time it is told to, so that an event which arrives was
// held by nobody until the next.
type stepper struct {
	step   chan string // the next event; closed: the end
	closed chan struct{}
	once   sync.Once
}

// startStepper serves a stream of server-sent events at every path.
func startStepper(t testing.TB) (s *stepper, addr string) {
	t.Helper()
	s = &stepper{step: make(chan string), closed: make(chan struct{})}
	addr = startHandler(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		for {
			select {
			case text, ok := <-s.step:
				if !ok {
					return
				}
				fmt.Fprintf(w, "data: %s\n\n", text)
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				s.once.Do(func() { close(s.closed) })
				return
			}
		}
	})
	return s, addr
}

// send has the stepper send an event.
func (s *stepper) send(t testing.TB, text string) {
	t.Helper()
	select {
	case s.step <- text:
	case <-time.After(patience):
		t.Fatalf("nobody asks for the event %q", text)
	}
}

// wantEvents has n events sent, each only after the one before has arrived.
func (s *stepper) wantEvents(t testing.TB, r *bufio.Reader, n int) {
	t.Helper()
	for i := range n {
		s.send(t, strconv.Itoa(i))
		want := fmt.Sprintf("data: %d\n", i)
		if line, err := r.ReadString('\n'); err != nil || line != want {
			t.Fatalf("event %d: %q, %v", i, line, err)
		}
		if line, err := r.ReadString('\n'); err != nil || line != "\n" {
			t.Fatalf("the end of event %d: %q, %v", i, line, err)
		}
	}
}

// TestStreamEvents: server-sent events arrive one by one, at a client of Go. That the
// client has left is known at once with on_client_fin = "cancel"; without, its FIN could
// be a half-close, and the next events find out.
func TestStreamEvents(t *testing.T) {
	t.Parallel()
	for _, fin := range []string{"cancel", "ignore"} {
		t.Run(fin, func(t *testing.T) {
			s, backend := startStepper(t)
			addr := freeAddr(t)
			startWeir(t, pool("app", backend)+web(addr, "app", fmt.Sprintf("on_client_fin = %q", fin)))
			resp, err := newClient(t).Get("http://" + addr + "/") // its head comes before the first event
			if err != nil {
				t.Fatal(err)
			}
			s.wantEvents(t, bufio.NewReader(resp.Body), 100)
			resp.Body.Close()
			deadline := time.After(patience)
			events := s.step
			if fin == "cancel" {
				events = nil
			}
			for {
				select {
				case events <- "for nobody":
				case <-s.closed:
					return
				case <-deadline:
					t.Fatal("the backend still streams to nobody")
				}
			}
		})
	}
}

// TestStreamEventsCurl: the same with curl -N, by HTTP/1.1 and 1.0, and an end.
func TestStreamEventsCurl(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"--http1.1", "--http1.0"} {
		t.Run(version, func(t *testing.T) {
			s, backend := startStepper(t)
			addr := freeAddr(t)
			startWeir(t, pool("app", backend)+web(addr, "app"))
			cmd := exec.CommandContext(t.Context(), "curl", "-q", "-sS", "-N", "--noproxy", "*", version, "http://"+addr+"/")
			cmd.SysProcAttr = dieWithUs()
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(out)
			s.wantEvents(t, r, 20)
			close(s.step)
			if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
				t.Errorf("behind the last event: %q, %v", rest, err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("curl: %v", err)
			}
		})
	}
}

// TestStreamUpload: what a client sends bit by bit reaches the backend as it comes, and
// the answer comes meanwhile, as far as HTTP/1.1 goes for both.
func TestStreamUpload(t *testing.T) {
	t.Parallel()
	backend := startHandler(t, func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		w.(http.Flusher).Flush()
		for in := bufio.NewReader(r.Body); ; {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			fmt.Fprintf(w, "got %s", line)
			w.(http.Flusher).Flush()
		}
	})
	addr := freeAddr(t)
	startWeir(t, pool("app", backend)+web(addr, "app"))
	p := dial(t, addr)
	p.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	resp, err := p.response(http.MethodPost)
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(resp.Body)
	for i := range 50 {
		line := fmt.Sprintf("line %d\n", i)
		p.send("%x\r\n%s\r\n", len(line), line)
		if got, err := r.ReadString('\n'); err != nil || got != "got "+line {
			t.Fatalf("line %d: %q, %v", i, got, err)
		}
	}
	p.send("0\r\n\r\n")
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("behind the last line: %q, %v", rest, err)
	}
}

// startWebSocket serves WebSockets that echo messages until the client leaves; the
// server ends a session itself after the message "bye".
func startWebSocket(t testing.TB) string {
	t.Helper()
	return startHandler(t, websocket.Handler(func(c *websocket.Conn) {
		for text := ""; text != "bye"; {
			if websocket.Message.Receive(c, &text) != nil {
				return
			}
			if websocket.Message.Send(c, text) != nil {
				return
			}
		}
	}).ServeHTTP)
}

// TestStreamWebSocket: a library's client and a library's server, through plain HTTP and
// through TLS: messages of all sizes in order, several sessions, an end from either side.
func TestStreamWebSocket(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, t.TempDir())
	cert, key := ca.issue(t, "www", "www.example.com")
	plain, secure := freeAddr(t), freeAddr(t)
	w := startWeir(t, pool("app", startWebSocket(t))+strings.ReplaceAll(web(plain, "app"), `"web"`, `"plain"`)+
		tlsWeb("web", secure, cert, key, "app"))
	dialTo := func(url string) *websocket.Conn {
		conf, err := websocket.NewConfig(url, "http://www.example.com/")
		if err != nil {
			t.Fatal(err)
		}
		var nc net.Conn
		if conf.Location.Scheme == "ws" {
			nc = dial(t, plain)
		} else {
			nc = tls.Client(dial(t, secure), &tls.Config{RootCAs: ca.pool, ServerName: conf.Location.Hostname()})
		}
		c, err := websocket.NewClient(conf, nc)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var sessions sync.WaitGroup
	for i := range 16 {
		c := dialTo([]string{"ws", "wss"}[i%2] + "://www.example.com/")
		sessions.Go(func() { testMessages(t, c, i%4 < 2) })
	}
	sessions.Wait()
	waitFor(t, patience, "all sessions are gone", func() bool {
		return w.metric(t, "weir_l7_active_connections") == 0
	})
}

// testMessages has messages echoed and ends the session, itself or by the server.
func testMessages(t testing.TB, c *websocket.Conn, bye bool) {
	t.Helper()
	defer c.Close()
	for n := 0; n <= 1<<20; n = n*7 + 1 {
		want := string(patternBytes(n))
		got := []byte{}
		if err := websocket.Message.Send(c, []byte(want)); err != nil {
			t.Errorf("%d bytes: %v", n, err)
			return
		}
		if err := websocket.Message.Receive(c, &got); err != nil || string(got) != want {
			t.Errorf("%d bytes: %d came back, %v", n, len(got), err)
			return
		}
	}
	if !bye {
		return
	}
	text := ""
	if err := websocket.Message.Send(c, "bye"); err != nil {
		t.Error(err)
	}
	if err := websocket.Message.Receive(c, &text); err != nil || text != "bye" {
		t.Errorf("the last message: %q, %v", text, err)
	}
	if err := websocket.Message.Receive(c, &text); err != io.EOF {
		t.Errorf("behind the last message: %q, %v", text, err)
	}
}
