package l7

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/l7/compress"
)

// TestCompressVaryOnce: Vary names each field once, whatever the server, the route and
// Weir have to say, also in a 304.
func TestCompressVaryOnce(t *testing.T) {
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if vary := r.Header.Get("X-Vary"); vary != "" {
			w.Header()["Vary"] = strings.Split(vary, "|")
		}
		w.Header().Set("Content-Type", "text/css")
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(304)
			return
		}
		io.WriteString(w, long)
	})
	f := func(keys, vary, want string) {
		t.Helper()
		r := newRig(t, plain+keys, o.addr)
		c := r.dial()
		for _, fields := range []string{"Accept-Encoding: gzip\r\n", "", "If-None-Match: \"x\"\r\n"} {
			c.send("GET / HTTP/1.1\r\nHost: a\r\nX-Vary: %s\r\n%s\r\n", vary, fields)
			res, _, err := c.response("GET")
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(res.Header.Values("Vary"), "|"); got != want {
				t.Errorf("%s %q %q: got Vary %q, want %q", keys, vary, fields, got, want)
			}
		}
	}
	f("compress = true\n", "", "Accept-Encoding")
	f("compress = true\n", "Accept-Encoding", "Accept-Encoding")
	f("compress = true\n", "Origin|accept-encoding, Cookie", "Origin|accept-encoding, Cookie")
	f("compress = true\n", "*", "*")
	f("compress = true\nresponse_headers = { set = { Vary = \"Origin\" } }\n", "Accept-Encoding", "Accept-Encoding|Origin")
	f("compress = true\nresponse_headers = { add = { Vary = \"accept-encoding\" } }\n", "", "accept-encoding")
	f("compress = true\nresponse_headers = { remove = [\"Vary\"] }\n", "Accept-Encoding", "Accept-Encoding")
	const dictionary = "compress = { dictionary = \"/*\" }\n"
	f(dictionary, "", "Accept-Encoding|Available-Dictionary")
	f(dictionary, "Accept-Encoding, Available-Dictionary", "Accept-Encoding, Available-Dictionary")
}

// TestCompressTrickle: a server that sends a little all the time, with gaps shorter than
// pause, is not held up; and an event of an event stream not for the length of one.
func TestCompressTrickle(t *testing.T) {
	const first, many = "data: first\n", 30_000
	stop := make(chan struct{})
	defer close(stop)
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.Header.Get("X-Type"))
		io.WriteString(w, first)
		for range many { // 30 s at least
			w.(http.Flusher).Flush()
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			io.WriteString(w, "data: x\n")
		}
	})
	r := newRig(t, compressed, o.addr)
	for _, typ := range []string{"text/plain", "text/event-stream; charset=utf-8"} {
		c := r.dial()
		c.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nX-Type: %s\r\n\r\n", typ)
		res, err := http.ReadResponse(c.br, &http.Request{Method: "GET"})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		z, err := gzip.NewReader(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReaderSize(z, 16).ReadString('\n')
		if took := time.Since(began); line != first || err != nil || took > 15*time.Second {
			t.Errorf("%s: got %q %v after %v", typ, line, err, took)
		}
		c.Close()
	}
}

// TestCompressManyCodings: long lists, garbage and repeated fields in Accept-Encoding
// neither fail nor choose what the client refused.
func TestCompressManyCodings(t *testing.T) {
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/css")
		io.WriteString(w, long)
	})
	r := newRig(t, compressed, o.addr)
	c := r.dial()
	f := func(want string, values ...string) {
		t.Helper()
		fields := ""
		for _, v := range values {
			fields += fmt.Sprintf("Accept-Encoding: %s\r\n", v)
		}
		c.send("GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields)
		res, body, err := c.response("GET")
		if err != nil {
			t.Fatal(err)
		}
		got := res.Header.Get("Content-Encoding")
		if b, err := decode(got, strings.NewReader(body)); got != want || err != nil || string(b) != long {
			t.Errorf("%.60q: got %q, want %q: %d octets, %v", values, got, want, len(b), err)
		}
	}
	f("gzip", strings.Repeat("x;q=0.3, ", 700)+"gzip")
	f("", strings.Repeat(",", 6000))
	f("br", "zstd;q=0", "br")
	f("", "gzip;q=1.5, br;q=-1, zstd;q=x")
	f("gzip", "gzip;Q=0.001")
	f("", "gzip;q=0, gzip") // the first one counts
	f("", "gzip;level=9")   // there are no such parameters
	f("", "gzip br")
	f("gzip", ";;,=,gzip,\"")
}

// TestHoldFor: what waits in an encoder waits for a while only, whatever comes.
func TestHoldFor(t *testing.T) {
	e := compress.NewEncoders(1 << 30)
	x := new(exchange)
	x.coder.encoder = e.Get(compress.Gzip, 4, -1, nil)
	defer x.coder.encoder.Release()
	if x.holdFor() != 0 {
		t.Error("nothing is in it, and it waits")
	}
	if err := x.coder.encoder.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	x.res.Add([]byte("Content-Type"), []byte("text/event-stream ; charset=utf-8"))
	if x.holdFor() != 0 {
		t.Error("an event waits")
	}
	x.res.Reset()
	if got := x.holdFor(); got != pause {
		t.Errorf("at first it waits for %v", got)
	}
	x.coder.heldSince = time.Now().Add(2*time.Millisecond - maxHeld)
	if got := x.holdFor(); got > 2*time.Millisecond {
		t.Errorf("after %v it waits for %v", maxHeld-2*time.Millisecond, got)
	}
	x.coder.heldSince = time.Now().Add(-time.Second)
	if x.holdFor() != 0 {
		t.Error("it waits for longer than maxHeld")
	}
}
