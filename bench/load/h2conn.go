package load

import (
	"bufio"
	"bytes"
	"fmt"
	"hash/crc32"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// h2Window is how much we let the server send; it is renewed in quarters.
	h2Window = 1 << 30
	// h2LastStream leaves room below the greatest stream number.
	h2LastStream = 1<<31 - 1<<10
	h2Buffer     = 64 << 10
)

// An h2Conn is one HTTP/2 connection. One goroutine reads and, since most answers
// are followed by the next request, mostly writes too: what it wrote goes out
// before it would block. All fields but br and raw are guarded by member.mu.
type h2Conn struct {
	member *h2Member
	raw    *tracked
	conn   net.Conn // raw, or TLS on it
	br     *bufio.Reader
	bw     *bufio.Writer
	framer *http2.Framer

	enc   *hpack.Encoder
	block bytes.Buffer
	fixed []byte // the header block of each further request, once it is all indices
	dec   *hpack.Decoder
	field h2Fields // what dec has found in the current block

	streams  map[uint32]*h2Stream
	spare    []*h2Stream
	nextID   uint32
	current  *h2Stream // whose header block is being read
	endsBody bool      // and ends its response

	limit     int   // streams at a time
	window    int64 // bytes that the server takes on the connection
	initial   int64 // and on a new stream
	frameSize int64
	received  int64 // bytes since our window was renewed
	freeSince time.Duration
	goAway    bool
	late      bool
	ended     bool
}

// h2Stream is one request.
type h2Stream struct {
	id       uint32
	due      time.Duration
	started  time.Duration
	window   int64
	off      int64 // bytes of the body that were sent
	status   int
	length   int64 // bytes of the response body
	want     int64 // its length as announced, -1: not
	sum      uint32
	received int64 // bytes since our window for it was renewed
}

type h2Fields struct {
	status int
	length int64
}

// newH2Conn greets the server and waits for its settings.
func newH2Conn(m *h2Member, t *tracked) (*h2Conn, error) {
	h := &h2Conn{
		member: m, raw: t, conn: t.conn, streams: map[uint32]*h2Stream{}, nextID: 1,
		limit: m.crew.plan.Streams, window: 65535, initial: 65535, frameSize: 16384,
	}
	if err := t.conn.SetDeadline(time.Now().Add(m.crew.plan.Timeout)); err != nil {
		return nil, err
	}
	if m.crew.plan.TLS {
		c, err := m.crew.job.handshake(t.conn, m.index, "h2")
		if err != nil {
			return nil, err
		}
		if c.ConnectionState().NegotiatedProtocol != "h2" {
			return nil, wrong(failProtocol, "the server does not offer h2")
		}
		h.conn = c
	}
	h.br, h.bw = bufio.NewReaderSize(h.conn, h2Buffer), bufio.NewWriterSize(h.conn, h2Buffer)
	h.framer = http2.NewFramer(h.bw, h.br)
	h.framer.SetReuseFrames()
	h.enc = hpack.NewEncoder(&h.block)
	h.dec = hpack.NewDecoder(4096, h.onField)
	h.dec.SetMaxStringLength(maxHead)
	if err := h.greet(); err != nil {
		return nil, fmt.Errorf("cannot open HTTP/2: %w", err)
	}
	return h, t.conn.SetDeadline(time.Time{}) // from here on the member watches the time
}

func (h *h2Conn) greet() error {
	// Errors of the writer stay with it: Flush tells.
	_, _ = h.bw.WriteString(http2.ClientPreface)
	_ = h.framer.WriteSettings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: h2Window})
	_ = h.framer.WriteWindowUpdate(0, h2Window-65535)
	if err := h.bw.Flush(); err != nil {
		return err
	}
	for {
		f, err := h.framer.ReadFrame()
		if err != nil {
			return err
		}
		if err := h.onFrame(f); err != nil {
			return err
		}
		if s, ok := f.(*http2.SettingsFrame); ok && !s.IsAck() {
			return h.bw.Flush()
		}
	}
}

// serve reads until the connection ends.
func (h *h2Conn) serve() error {
	for {
		if !h.frameBuffered() {
			h.member.mu.Lock()
			err := h.bw.Flush()
			h.account()
			h.member.mu.Unlock()
			if err != nil {
				return err
			}
		}
		f, err := h.framer.ReadFrame()
		if err != nil {
			return err
		}
		h.member.mu.Lock()
		err = h.onFrame(f)
		done := err == nil && len(h.streams) == 0 && (h.goAway || h.nextID > h2LastStream || h.idle())
		h.member.mu.Unlock()
		if err != nil || done {
			return err
		}
	}
}

// idle reports that the run is over for this connection, which has no streams.
func (h *h2Conn) idle() bool { return h.member.overLocked(h.member.crew.now()) && h.started() }

func (h *h2Conn) started() bool { return h.nextID > 1 }

// frameBuffered reports whether a whole frame was read from the connection already.
func (h *h2Conn) frameBuffered() bool {
	const head = 9
	if h.br.Buffered() < head {
		return false
	}
	b, err := h.br.Peek(head)
	return err == nil && h.br.Buffered() >= head+int(b[0])<<16|int(b[1])<<8|int(b[2])
}

// account hands the bytes of the connection to the recorder.
func (h *h2Conn) account() {
	c := h.member.crew
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rec.received(now, h.raw.conn.takeIn())
	c.rec.wrote(now, h.raw.conn.takeOut())
}

// room is how many streams may begin.
func (h *h2Conn) room() int {
	if h.goAway || h.ended || h.nextID > h2LastStream {
		return 0
	}
	return h.limit - len(h.streams)
}

// fill begins the streams that may begin and are due, and sends what was written.
// It is for callers other than the reader, which flushes when it must.
func (h *h2Conn) fill() error {
	if err := h.begin(); err != nil {
		return err
	}
	return h.bw.Flush()
}

func (h *h2Conn) begin() error {
	m := h.member
	for h.room() > 0 {
		now := m.crew.now()
		if m.overLocked(now) {
			return nil
		}
		due, late := now, time.Duration(-1)
		if m.crew.plan.Rate > 0 {
			if due = m.sched.due; due > now {
				return nil
			}
			late = m.blame.late(due, h.freeSince, now)
		}
		if !m.crew.spend(due) {
			m.spent = true
			return nil
		}
		if m.crew.plan.Rate > 0 {
			m.sched.take()
		}
		m.crew.mu.Lock()
		m.crew.rec.sent(due, late)
		m.crew.mu.Unlock()
		if err := h.request(due, now); err != nil {
			return err
		}
	}
	return nil
}

// request opens a stream.
func (h *h2Conn) request(due, now time.Duration) error {
	s := h.newStream()
	*s = h2Stream{id: h.nextID, due: due, started: now, window: h.initial, want: -1}
	h.nextID += 2
	h.streams[s.id] = s
	err := h.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: s.id, BlockFragment: h.headers(), EndHeaders: true, EndStream: h.member.crew.plan.Send == 0,
	})
	if err != nil {
		return err
	}
	return h.sendBody(s)
}

func (h *h2Conn) newStream() *h2Stream {
	if n := len(h.spare); n > 0 {
		s := h.spare[n-1]
		h.spare = h.spare[:n-1]
		return s
	}
	return new(h2Stream)
}

// headers is the header block of a request. The second one consists of indices
// alone where the table of the server has room, and so do all that follow.
func (h *h2Conn) headers() []byte {
	if h.fixed != nil {
		return h.fixed
	}
	p := h.member.crew.plan
	scheme := "http"
	if p.TLS {
		scheme = "https"
	}
	h.block.Reset()
	n := 0
	field := func(name, value string) {
		n++
		_ = h.enc.WriteField(hpack.HeaderField{Name: name, Value: value}) // to a buffer
	}
	field(":method", p.Method)
	field(":scheme", scheme)
	field(":authority", p.Host)
	field(":path", p.Path)
	field("user-agent", "weir-bench")
	if p.Send > 0 {
		field("content-length", strconv.FormatInt(p.Send, 10))
	}
	for _, f := range p.Fields {
		name, value, _ := strings.Cut(f, ":")
		field(strings.ToLower(name), strings.TrimSpace(value))
	}
	if b := h.block.Bytes(); len(b) == n && allIndexed(b) {
		h.fixed = bytes.Clone(b)
	}
	return h.block.Bytes()
}

// allIndexed reports that each byte is an indexed field (RFC 7541 section 6.1).
func allIndexed(b []byte) bool {
	for _, c := range b {
		if c&0x80 == 0 || c == 0xff {
			return false
		}
	}
	return true
}

// sendBody sends as much of the request body as the windows allow.
func (h *h2Conn) sendBody(s *h2Stream) error {
	size := h.member.crew.plan.Send
	for s.off < size {
		n := min(size-s.off, h.window, s.window, h.frameSize)
		if n <= 0 {
			return nil // WINDOW_UPDATE comes back to it
		}
		b := h.member.crew.job.pattern.at(s.off)
		b = b[:min(n, int64(len(b)))]
		s.off += int64(len(b))
		h.window -= int64(len(b))
		s.window -= int64(len(b))
		if err := h.framer.WriteData(s.id, s.off == size, b); err != nil {
			return err
		}
	}
	return nil
}

// finish ends a stream and begins the next.
func (h *h2Conn) finish(s *h2Stream, f failure, err error) error {
	m := h.member
	m.record(s, f, err)
	if s.off < m.crew.plan.Send {
		if err := h.framer.WriteRSTStream(s.id, http2.ErrCodeNo); err != nil {
			return err
		}
	}
	if h.room() == 0 {
		h.freeSince = m.crew.now()
	}
	delete(h.streams, s.id)
	h.spare = append(h.spare, s)
	if m.crew.plan.Rate > 0 {
		m.wake()
	}
	return h.begin()
}

// overdue reports that a request takes longer than the timeout.
func (h *h2Conn) overdue() bool {
	now := h.member.crew.now()
	for _, s := range h.streams {
		if now-s.started > h.member.crew.plan.Timeout {
			return true
		}
	}
	return false
}

func (h *h2Conn) close() {
	if h != nil {
		h.raw.close()
	}
}

// sumOf adds b to the checksum of a body.
func (h *h2Conn) sumOf(s *h2Stream, b []byte) {
	if h.member.crew.plan.Verify {
		s.sum = crc32.Update(s.sum, castagnoli, b)
	}
}
