package origin

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
)

// sockets are the WebSocket connections, which net/http does not know any more.
type sockets struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{} // nil: closed
	wait  sync.WaitGroup
}

func newSockets() *sockets { return &sockets{conns: map[net.Conn]struct{}{}} }

func (s *sockets) add(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		return false
	}
	s.conns[c] = struct{}{}
	s.wait.Add(1)
	return true
}

func (s *sockets) remove(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.wait.Done()
}

// close closes the connections and waits for their goroutines.
func (s *sockets) close() {
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
	s.mu.Unlock()
	s.wait.Wait()
}

// maxFrame bounds what an echo keeps.
const maxFrame = 64 << 20

// serve upgrades a request and echoes the messages.
func (s *sockets) serve(w http.ResponseWriter, r *http.Request) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "cannot upgrade", http.StatusInternalServerError)
		return
	}
	defer func() { _ = conn.Close() }()
	if !s.add(conn) {
		return
	}
	defer s.remove(conn)
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	_, err = fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
	for err == nil {
		if err = rw.Flush(); err == nil {
			err = echoFrame(rw.Reader, rw.Writer)
		}
	}
}

// echoFrame reads one frame of a client and sends it back as a server's.
func echoFrame(r *bufio.Reader, w *bufio.Writer) error {
	var head [14]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return err
	}
	if head[0]&15 == 8 || head[1]&0x80 == 0 {
		return io.EOF // a goodbye, or no client
	}
	extra := 0
	switch head[1] & 0x7f {
	case 126:
		extra = 2
	case 127:
		extra = 8
	}
	if _, err := io.ReadFull(r, head[2:2+extra+4]); err != nil {
		return err
	}
	n := uint64(head[1] & 0x7f)
	switch extra {
	case 2:
		n = uint64(binary.BigEndian.Uint16(head[2:]))
	case 8:
		n = binary.BigEndian.Uint64(head[2:])
	}
	if n > maxFrame {
		return errors.New("frame too large")
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return err
	}
	for i := range payload {
		payload[i] ^= head[2+extra+i&3]
	}
	head[1] &^= 0x80
	if _, err := w.Write(head[:2+extra]); err != nil {
		return err
	}
	_, err := w.Write(payload)
	return err
}
