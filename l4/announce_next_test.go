package l4

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"weir/conf"
)

// deaf is a kernel whose connections take no PROXY header, times times.
type deaf struct {
	kernel
	times int
}

func (d *deaf) Write(fd int, p []byte) (int, unix.Errno) {
	if d.times > 0 && bytes.HasPrefix(p, []byte("PROXY ")) {
		d.times--
		return 0, unix.ECONNRESET
	}
	return d.kernel.Write(fd, p)
}

// TestAnnounceNextServer: a server that resets before it took the PROXY header has got
// nothing of the client's, and makes room for the next one.
func TestAnnounceNextServer(t *testing.T) {
	p := poolOf("p", origin(t, echo), origin(t, echo))
	p.ProxyProtocol = "v1"
	w := newWorld(t, worldOptions{loops: 1}, p)
	sh := w.srv.shards[0]
	sh.call(func() { sh.loop = &deaf{sh.loop, 1} })
	c := dial(t, w.simple(conf.L4{}))
	want(t, c, "PROXY ")
	c.Close()
	w.until("the session has ended", func() bool { return w.srv.Sessions() == 0 })
	if n := w.closedCount(reasonBackendReset) + w.closedCount(reasonConnectFailed); n != 0 {
		t.Errorf("%d sessions failed", n)
	}
}
