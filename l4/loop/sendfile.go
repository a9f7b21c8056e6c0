package loop

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// SendFile sends n octets of src from off on without copying them through this
// process (sendfile(2)), and returns how many went out. It waits as Write does and
// keeps to its deadline. A file that ends before that is io.ErrUnexpectedEOF. It must
// not run at the same time as Write or Writev, and leaves src's own offset alone.
func (c *Conn) SendFile(src *os.File, off, n int64) (sent int64, err error) {
	from, err := src.SyscallConn()
	if err != nil {
		return 0, err
	}
	var errSend error
	errRead := from.Control(func(in uintptr) {
		err = c.raw.Write(func(out uintptr) bool {
			done, e := sendfileOnce(int(out), int(in), off, n, &sent)
			errSend = e
			return done
		})
	})
	switch {
	case errRead != nil:
		return sent, errRead
	case err == nil:
		err = errSend
	}
	if err != nil && err != io.ErrUnexpectedEOF {
		err = c.opError("sendfile", err)
	}
	return sent, err
}

// sendfileOnce sends until all has gone or the socket is full; false asks the poller
// to wait until it is writable.
func sendfileOnce(out, in int, off, n int64, sent *int64) (done bool, err error) {
	for *sent < n {
		at := off + *sent
		k, err := unix.Sendfile(out, in, &at, int(min(n-*sent, 1<<30)))
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return false, nil
		case err != nil:
			return true, err
		case k == 0:
			return true, io.ErrUnexpectedEOF
		default:
			*sent += int64(k)
		}
	}
	return true, nil
}
