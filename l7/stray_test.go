package l7

import (
	"io"
	"net/http"
	"testing"
	"time"
)

// TestReturnedConnectionStays: a connection that a goroutine leaves to its lane has its
// whole keep_alive_timeout, however long the process has been there.
func TestReturnedConnectionStays(t *testing.T) {
	t.Parallel()
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	r := newRigWith(t, true, plain, o.addr)
	w := &r.server.sweeper
	eventually(t, "a late hour", func() bool {
		w.clock.Store(1 << 20)
		time.Sleep(time.Millisecond)
		return w.now() >= 1<<20
	})
	c := r.dial()
	for range maxStrays {
		c.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
		c.response("POST")
		r.wantParked(t, 1)
	}
	for range calmEnough << maxStrays {
		c.get("/")
	}
	time.Sleep(4 * tick)
	served, _ := r.lanes()
	c.get("/")
	eventually(t, "the lane to serve again", func() bool { now, _ := r.lanes(); return now > served })
}
