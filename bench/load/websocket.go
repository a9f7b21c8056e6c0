package load

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
)

// webSocket is an echo over RFC 6455. Messages go out in one binary frame; the
// server may answer in several, with pings in between.
type webSocket struct {
	conn  net.Conn
	r     *bufio.Reader
	job   *job
	frame []byte // the request, masked
	reply []byte // room for a payload
}

// Opcodes of RFC 6455 section 11.8.
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

const (
	wsKey  = "d2VpciBiZW5jaCBrZXkhIQ==" // 16 bytes; it proves nothing, so it need not change
	wsGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
)

// wsMask is the key of each frame: it protects old proxies from scripts in
// browsers, and nothing here.
var wsMask = [4]byte{0x5a, 0xc3, 0x19, 0x7e}

func newWebSocket(conn net.Conn, j *job) (session, error) {
	p := j.plan
	b := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n", p.Path, p.Host, wsKey)
	for _, f := range p.Fields {
		b = append(append(b, f...), "\r\n"...)
	}
	if _, err := conn.Write(append(b, "\r\n"...)); err != nil {
		return nil, err
	}
	w := &webSocket{conn: conn, r: bufio.NewReaderSize(conn, 32<<10), job: j}
	if err := w.accept(); err != nil {
		return nil, fmt.Errorf("cannot upgrade to websocket: %w", err)
	}
	w.frame = appendFrame(nil, opBinary, j.pattern.body(p.Send))
	return w, nil
}

// accept reads the answer to the upgrade and leaves what follows in the reader.
func (w *webSocket) accept() error {
	sum := sha1.Sum([]byte(wsKey + wsGUID))
	want, accepted := base64.StdEncoding.EncodeToString(sum[:]), false
	for n := 0; ; n++ {
		line, err := w.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		text := strings.TrimRight(string(line), "\r\n")
		name, value, _ := strings.Cut(text, ":")
		switch {
		case n == 0 && !strings.HasPrefix(text, "HTTP/1.1 101 "):
			return wrong(failStatus, "the server answers %q", text)
		case strings.EqualFold(name, "sec-websocket-accept"):
			accepted = strings.TrimSpace(value) == want
		case text == "" && !accepted:
			return wrong(failProtocol, "no right Sec-WebSocket-Accept")
		case text == "":
			return nil
		case n > 100:
			return wrong(failProtocol, "more than 100 fields")
		}
	}
}

func (w *webSocket) do() (failure, bool, error) {
	_, err := w.conn.Write(w.frame)
	if err == nil {
		err = w.echo()
	}
	return failureOf(err), err == nil, err
}

// echo reads one message, which must be the one that was sent.
func (w *webSocket) echo() error {
	for got := int64(0); ; {
		op, fin, payload, err := w.read()
		if err != nil {
			return err
		}
		switch op {
		case opBinary, opText, opContinuation:
			if (op == opContinuation) != (got > 0) {
				return wrong(failProtocol, "a message begins within a message, or goes on without one")
			}
			if got+int64(len(payload)) > w.job.plan.Send {
				return wrong(failLength, "the echo is longer than the message of %d bytes", w.job.plan.Send)
			}
			if !w.job.pattern.matches(payload, got) {
				return wrong(failData, "the echo is not the message")
			}
			if got += int64(len(payload)); !fin {
				continue
			}
			if got != w.job.plan.Send {
				return wrong(failLength, "the echo has %d bytes of %d", got, w.job.plan.Send)
			}
			return nil
		case opPing:
			if _, err := w.conn.Write(appendFrame(nil, opPong, payload)); err != nil {
				return err
			}
		case opPong:
		default:
			return wrong(failClosed, "the server sent a frame with opcode %d", op)
		}
	}
}

// read takes one frame. payload is valid until the next one.
func (w *webSocket) read() (op byte, fin bool, payload []byte, err error) {
	var head [8]byte
	if err = readFull(w.r, head[:2]); err != nil {
		return 0, false, nil, err
	}
	op, fin = head[0]&15, head[0]&0x80 != 0
	if head[0]&0x70 != 0 || head[1]&0x80 != 0 {
		return 0, false, nil, wrong(failProtocol, "a frame with reserved bits or a mask")
	}
	n := int64(head[1])
	switch n {
	case 126:
		err = readFull(w.r, head[:2])
		n = int64(binary.BigEndian.Uint16(head[:2]))
	case 127:
		err = readFull(w.r, head[:8])
		n = int64(binary.BigEndian.Uint64(head[:8]) & (1<<63 - 1))
	}
	if err != nil {
		return 0, false, nil, err
	}
	if n > w.job.plan.Send && n > 125 {
		return 0, false, nil, wrong(failLength, "a frame of %d bytes, where the message had %d", n, w.job.plan.Send)
	}
	if int64(cap(w.reply)) < n {
		w.reply = make([]byte, n)
	}
	payload = w.reply[:n]
	return op, fin, payload, readFull(w.r, payload)
}

func (w *webSocket) close() {}

// appendFrame appends a whole masked frame, as clients send them.
func appendFrame(b []byte, op byte, payload []byte) []byte {
	b = append(b, 0x80|op)
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, wsMask[:]...)
	for i, c := range payload {
		b = append(b, c^wsMask[i&3])
	}
	return b
}
