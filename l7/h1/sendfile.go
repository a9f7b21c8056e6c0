package h1

import (
	"io"
	"os"

	"weir/l7/message"
	"weir/pool"
)

// fileSender is what l4/loop's connections offer beside net.Conn.
type fileSender interface {
	SendFile(head []byte, src *os.File, off, n int64) (int64, error)
}

// minSendFile is the least that is worth a system call of its own: less goes into
// the buffer behind the head.
const minSendFile = writeBuffer

// filePiece bounds one call of sendfile, so that its deadline stays near.
const filePiece = 1 << 20

// WriteFile is WriteBody for n octets of a file from off on, with framing Length. On
// a plain connection they are not copied. A file that has become shorter is
// io.ErrUnexpectedEOF: Abort. Where a loop drives the connection the file must be one in
// memory.
func (c *Conn) WriteFile(f *os.File, off, n int64) error {
	o := &c.out
	switch {
	case o.stage != body || o.framing != message.Length:
		panic("BUG: h1: a file as the body of a response without a length")
	case n > o.left:
		return ErrLong
	}
	sender, ok := c.nc.(fileSender)
	if !ok || n < minSendFile {
		return c.copyFile(f, off, n)
	}
	for n > 0 {
		var head []byte // what waits in the buffer
		if o.n > 0 {
			head, o.n = o.buf.B[:o.n], 0
		}
		piece := min(n, filePiece)
		now, err := c.beforeWrite(len(head) + int(piece))
		if err != nil {
			return err
		}
		sent, err := sender.SendFile(head, f, off, piece)
		if err == io.ErrUnexpectedEOF {
			o.bytes += uint64(sent)
			return err
		}
		if err = c.afterWrite(now, sent, err); err != nil {
			return err
		}
		off, n, o.left = off+piece, n-piece, o.left-piece
	}
	return nil
}

// copyFile reads the file and writes it, through TLS for one.
func (c *Conn) copyFile(f *os.File, off, n int64) error {
	buf := pool.Get(int(min(n, bulkBuffer)))
	defer buf.Release()
	for n > 0 {
		k, err := f.ReadAt(buf.B[:min(n, int64(len(buf.B)))], off)
		if k == 0 {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if err := c.WriteBody(buf.B[:k]); err != nil {
			return err
		}
		off, n = off+int64(k), n-int64(k)
	}
	return nil
}
