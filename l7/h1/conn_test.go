package h1

import (
	"io"
	"net"
	"testing"

	"weir/l7/message"
)

func TestOneRequest(t *testing.T) {
	client, server := net.Pipe()
	c := NewConn(server, nil)
	go io.WriteString(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
	var r message.Request
	if err := c.ReadRequest(&r); err != nil {
		t.Fatal(err)
	}
	b, err := c.ReadBody()
	if string(b) != "hello" || err != nil {
		t.Fatalf("%q %v", b, err)
	}
	if _, err = c.ReadBody(); err != io.EOF {
		t.Fatal(err)
	}
	c.Close()
}
