package l7

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// TestSlicesGoOnPastTheCache: when a slice in the middle may not be stored, the rest comes
// from a server as long as it is of the same version, and breaks off else.
func TestSlicesGoOnPastTheCache(t *testing.T) {
	f := newFilm(8 * sliceSize)
	var rest atomic.Pointer[func(w http.ResponseWriter, req *http.Request)]
	o := newHTTPOrigin(t, func(w http.ResponseWriter, req *http.Request) {
		switch value := req.Header.Get("Range"); {
		case value == "bytes=131072-196607":
			w.Header().Set("Cache-Control", "no-store")
			w.WriteHeader(206)
		case strings.HasPrefix(value, "bytes=131072-"):
			(*rest.Load())(w, req)
		default:
			f.ServeHTTP(w, req)
		}
	})
	for name, c := range map[string]struct {
		whole bool
		serve func(w http.ResponseWriter, req *http.Request)
	}{
		"same": {true, f.ServeHTTP},
		"another version": {false, func(w http.ResponseWriter, req *http.Request) {
			other := newFilm(8 * sliceSize)
			other.change()
			other.ServeHTTP(w, req)
		}},
		"another length": {false, newFilm(9 * sliceSize).ServeHTTP},
		"no ranges": {false, func(w http.ResponseWriter, req *http.Request) {
			req.Header.Del("Range")
			f.ServeHTTP(w, req)
		}},
		"failure": {false, func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no", http.StatusInternalServerError)
		}},
		"cut": {false, func(w http.ResponseWriter, req *http.Request) {
			f.ServeHTTP(&cutting{ResponseWriter: w, left: 100_000}, req)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			rest.Store(&c.serve)
			r := newRig(t, slicedRig, o.addr)
			conn := r.dial()
			res, body, err := conn.seek("/film", "bytes=10-")
			if err == nil != c.whole || res.StatusCode != 206 || !strings.HasPrefix(string(f.body[10:]), body) ||
				c.whole && len(body) != len(f.body)-10 {
				t.Errorf("got %d, %d octets, %v", res.StatusCode, len(body), err)
			}
			if c.whole { // the connection can be used again, and so can the server's
				if _, body, err := conn.seek("/film", "bytes=0-9"); err != nil || body != string(f.body[:10]) {
					t.Errorf("then got %q, %v", body, err)
				}
			}
			r.wantIdle(t)
		})
	}
}

// TestSlicesPastTheCacheClientLeaves: the client leaves while the rest comes from a server.
func TestSlicesPastTheCacheClientLeaves(t *testing.T) {
	f := newFilm(300 * sliceSize)
	gone := make(chan struct{})
	o := newHTTPOrigin(t, func(w http.ResponseWriter, req *http.Request) {
		switch value := req.Header.Get("Range"); {
		case value == "bytes=65536-131071":
			w.Header().Set("Cache-Control", "no-store")
			w.WriteHeader(206)
		case strings.HasPrefix(value, "bytes=65536-"):
			f.ServeHTTP(w, req)
			w.(http.Flusher).Flush()
			<-req.Context().Done()
			close(gone)
		default:
			f.ServeHTTP(w, req)
		}
	})
	r := newRig(t, slicedRig, o.addr)
	c := r.dial()
	c.send("GET /film HTTP/1.1\r\nHost: www.example.com\r\nRange: bytes=0-\r\n\r\n")
	if _, err := io.ReadFull(c.br, make([]byte, 3*sliceSize)); err != nil {
		t.Fatal(err)
	}
	c.SetLinger(0)
	c.Close()
	<-gone
	r.wantIdle(t)
}

// cutting breaks a response off.
type cutting struct {
	http.ResponseWriter
	left int
}

var errCut = errors.New("cut")

func (c *cutting) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(len(p), c.left)])
	if c.left -= n; err == nil && n < len(p) {
		err = errCut
	}
	return n, err
}
