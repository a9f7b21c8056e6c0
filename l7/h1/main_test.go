package h1

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"testing"

	"weir/l7/message"
	"weir/pool"

	"go.uber.org/goleak"
)

// checked runs the tests with poisoned buffers and fails when one was not given back.
type checked struct{ *testing.M }

func (c checked) Run() int {
	pool.Track(true)
	code := c.M.Run()
	if n := pool.Live(); n != 0 {
		fmt.Fprintf(os.Stderr, "%d buffers were not given back\n", n)
		return 1
	}
	return code
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(checked{m}) }

// handler answers one request; it returns false where it ended the connection itself.
type handler func(c *Conn, r *message.Request) bool

// serve is the driver that the exchange is in real life. The channel gets the error
// that ended the last ReadRequest, nil if Finish or the handler ended the connection.
func serve(c *Conn, handle handler) <-chan error {
	ended := make(chan error, 1)
	go func() {
		err := serveAll(c, handle)
		c.Close()
		ended <- err
	}()
	return ended
}

func serveAll(c *Conn, handle handler) error {
	var r message.Request
	for {
		err := c.ReadRequest(&r)
		if e := (*message.Error)(nil); errors.As(err, &e) {
			answer(c, e.Status, "refused")
			c.CloseGracefully()
		}
		if err != nil {
			return err
		}
		if !handle(c, &r) {
			return nil
		}
		if !c.Finish() {
			c.CloseGracefully()
			return nil
		}
	}
}

// answer sends a whole response with a Content-Length.
func answer(c *Conn, status int, text string) error {
	head := message.AppendStatusLine(c.AvailableBuffer(), status, []byte("x"))
	if !c.KeepAlive() {
		head = append(head, "Connection: close\r\n"...)
	}
	head = append(head, "Content-Length: "...)
	head = append(strconv.AppendInt(head, int64(len(text)), 10), "\r\n\r\n"...)
	if err := c.WriteHead(head, message.Length, int64(len(text))); err != nil {
		return err
	}
	if err := c.WriteBody([]byte(text)); err != nil {
		return err
	}
	return c.EndBody(nil)
}

// echo answers with the path and the body of the request.
func echo(c *Conn, r *message.Request) bool {
	text := string(r.Path) + "|"
	if err := c.WriteContinue(); err != nil {
		return false
	}
	for {
		p, err := c.ReadBody()
		text += string(p)
		if err == io.EOF {
			break
		}
		if err != nil {
			text, c.closing = err.Error(), true
			break
		}
	}
	for _, f := range c.Trailers() {
		text += "|" + string(f.Name) + "=" + string(f.Value)
	}
	return answer(c, 200, text) == nil
}

// tcpPair returns the two ends of a TCP connection.
func tcpPair(t *testing.T) (client, server *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	peer, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return nc.(*net.TCPConn), peer.(*net.TCPConn)
}
