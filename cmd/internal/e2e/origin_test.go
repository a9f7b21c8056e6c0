package e2e

import (
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// origin is a backend that behaves, and counts.
//
//	/name          its name
//	/bytes/N       N bytes of the pattern with Content-Length
//	/chunked/N     the same, chunked
//	/echo          the body that came
//	/sum           length and CRC-32 of the body that came
//	/delay/D/...   waits for the duration D, then the rest of the path
//	/status/CODE   an empty answer with this status
//	/head          the request as it came
//	/healthz       200, or 503 after sick is set
type origin struct {
	name     string
	addr     string
	requests atomic.Int64
	active   atomic.Int64
	aborted  atomic.Int64 // requests whose client went away before the answer
	conns    atomic.Int64 // accepted so far
	open     atomic.Int64
	sick     atomic.Bool
	server   *http.Server
}

// startOrigin runs an origin in this process until the test ends.
func startOrigin(t testing.TB, name string) *origin {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := newOrigin(name, l)
	t.Cleanup(func() { o.server.Close() })
	return o
}

// newOrigin serves on l.
func newOrigin(name string, l net.Listener) *origin {
	o := &origin{name: name, addr: l.Addr().String()}
	o.server = &http.Server{Handler: o, ConnState: o.connState}
	go o.server.Serve(l)
	return o
}

func (o *origin) connState(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		o.conns.Add(1)
		o.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		o.open.Add(-1)
	}
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.requests.Add(1)
	o.active.Add(1)
	defer o.active.Add(-1)
	w.Header().Set("X-Origin", o.name)
	o.serve(w, r, r.URL.Path)
}

func (o *origin) serve(w http.ResponseWriter, r *http.Request, path string) {
	verb, rest := cutPath(path)
	arg, rest := cutPath(rest)
	switch verb {
	case "bytes", "chunked":
		n, err := strconv.ParseInt(arg, 10, 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		o.sendPattern(w, n, verb == "chunked")
	case "echo":
		w.Header().Set("Content-Type", "application/octet-stream")
		io.Copy(w, r.Body)
	case "sum":
		h := crc32.NewIEEE()
		n, err := io.Copy(h, r.Body)
		if err != nil {
			o.aborted.Add(1)
			return
		}
		fmt.Fprintf(w, "%d %08x", n, h.Sum32())
	case "delay":
		d, _ := time.ParseDuration(arg)
		select {
		case <-time.After(d):
			o.serve(w, r, rest)
		case <-r.Context().Done():
			o.aborted.Add(1)
		}
	case "status":
		code, _ := strconv.Atoi(arg)
		w.WriteHeader(code)
	case "head":
		head, _ := httputil.DumpRequest(r, false)
		w.Write(head)
	case "healthz":
		if o.sick.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	default:
		io.WriteString(w, o.name)
	}
}

func (o *origin) sendPattern(w http.ResponseWriter, n int64, chunked bool) {
	w.Header().Set("Content-Type", "application/octet-stream")
	if chunked {
		w.(http.Flusher).Flush()
	} else {
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	}
	if _, err := io.Copy(w, patternReader(n)); err != nil {
		o.aborted.Add(1)
	}
}

// cutPath splits "/a/b/c" into "a" and "/b/c".
func cutPath(path string) (first, rest string) {
	if path == "" {
		return "", ""
	}
	for i := 1; i < len(path); i++ {
		if path[i] == '/' {
			return path[1:i], path[i:]
		}
	}
	return path[1:], ""
}
