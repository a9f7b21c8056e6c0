package load

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"
)

// socketServer upgrades and then sends answer(message) for each message of n bytes.
func socketServer(n int, answer func(message []byte) []byte) func(net.Conn) {
	return func(c net.Conn) {
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + wsGUID))
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
		frame := make([]byte, 6+n)
		for {
			if err := readFull(r, frame); err != nil {
				return
			}
			message := make([]byte, n)
			for i := range message {
				message[i] = frame[6+i] ^ frame[2+i%4]
			}
			if _, err := c.Write(answer(message)); err != nil {
				return
			}
			if err := discardPong(r); err != nil {
				return
			}
		}
	}
}

// discardPong takes a masked pong without a payload, if one comes before the next message.
func discardPong(r *bufio.Reader) error {
	b, err := r.Peek(2)
	if err == nil && b[0] == 0x80|opPong {
		_, err = r.Discard(6)
	}
	return err
}

func TestWebSocketFrames(t *testing.T) {
	f := func(answer func(m []byte) []byte, want failure) {
		t.Helper()
		p := short(Workload{Kind: WebSocket, Address: serve(t, socketServer(20, answer)), Send: 20})
		p.Conns, p.Requests, p.Duration = 1, 10, 300*time.Millisecond
		r := mustRun(t, p)
		got := failNone
		for i, n := range []int64{
			failData: r.Failed.Data, failLength: r.Failed.Length, failProtocol: r.Failed.Protocol,
			failClosed: r.Failed.Closed,
		} {
			if n > 0 {
				got = failure(i)
			}
		}
		if got != want {
			t.Errorf("failure %d, want %d: %s", got, want, r.Error)
		}
	}
	frame := func(first byte, m []byte) []byte { return append([]byte{first, byte(len(m))}, m...) }
	join := func(parts ...[]byte) (b []byte) {
		for _, p := range parts {
			b = append(b, p...)
		}
		return b
	}
	f(func(m []byte) []byte { return frame(0x82, m) }, failNone)
	f(func(m []byte) []byte { return join(frame(0x02, m[:5]), frame(0x00, m[5:9]), frame(0x80, m[9:])) }, failNone)
	f(func(m []byte) []byte { return join(frame(0x89, nil), frame(0x82, m)) }, failNone)
	f(func(m []byte) []byte { m[7] ^= 1; return frame(0x82, m) }, failData)
	f(func(m []byte) []byte { return frame(0x82, m[:19]) }, failLength)
	f(func(m []byte) []byte { return frame(0x82, append(m, 0)) }, failLength)
	f(func(m []byte) []byte { return frame(0x80, m) }, failProtocol)
	f(func(m []byte) []byte { return frame(0xc2, m) }, failProtocol)
	f(func(m []byte) []byte { return frame(0x88, nil) }, failClosed)
}
