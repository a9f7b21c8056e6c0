package load

import (
	"strconv"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// onFrame handles one frame of the server. An error ends the connection.
func (h *h2Conn) onFrame(f http2.Frame) error {
	switch f := f.(type) {
	case *http2.DataFrame:
		return h.onData(f)
	case *http2.HeadersFrame:
		h.current, h.endsBody = h.streams[f.StreamID], f.StreamEnded()
		h.field = h2Fields{length: -1}
		return h.onBlock(f.HeaderBlockFragment(), f.HeadersEnded())
	case *http2.ContinuationFrame:
		return h.onBlock(f.HeaderBlockFragment(), f.HeadersEnded())
	case *http2.RSTStreamFrame:
		if s := h.streams[f.StreamID]; s != nil {
			s.off = h.member.crew.plan.Send // nothing more is sent, not even a reset
			return h.finish(s, failClosed, wrong(failClosed, "the server reset a stream: %s", f.ErrCode))
		}
	case *http2.SettingsFrame:
		return h.onSettings(f)
	case *http2.PingFrame:
		if !f.IsAck() {
			return h.framer.WritePing(true, f.Data)
		}
	case *http2.WindowUpdateFrame:
		return h.onWindowUpdate(f)
	case *http2.GoAwayFrame:
		return h.onGoAway(f)
	case *http2.PushPromiseFrame:
		return wrong(failProtocol, "the server pushes, which was forbidden")
	}
	return nil
}

func (h *h2Conn) onField(f hpack.HeaderField) {
	switch f.Name {
	case ":status":
		h.field.status, _ = strconv.Atoi(f.Value) // 0 is no status that anyone expects
	case "content-length":
		if n, ok := digits([]byte(f.Value)); ok {
			h.field.length = n
		}
	}
}

// onBlock takes a piece of a header block, which must be decoded even if the
// stream is gone: the table is shared.
func (h *h2Conn) onBlock(b []byte, last bool) error {
	if _, err := h.dec.Write(b); err != nil {
		return err
	}
	if !last {
		return nil
	}
	if err := h.dec.Close(); err != nil {
		return err
	}
	s := h.current
	h.current = nil
	if s == nil {
		return nil
	}
	if s.status < 200 && h.field.status != 0 { // not trailers
		s.status, s.want = h.field.status, h.field.length
	}
	if h.endsBody {
		return h.complete(s)
	}
	return nil
}

func (h *h2Conn) onData(f *http2.DataFrame) error {
	// The connection's window counts padding, and streams that are gone.
	n := int64(f.Length)
	if h.received += n; h.received >= h2Window/4 {
		if err := h.framer.WriteWindowUpdate(0, uint32(h.received)); err != nil {
			return err
		}
		h.received = 0
	}
	s := h.streams[f.StreamID]
	if s == nil {
		return nil
	}
	s.length += int64(len(f.Data()))
	h.sumOf(s, f.Data())
	if f.StreamEnded() {
		return h.complete(s)
	}
	if s.received += n; s.received >= h2Window/4 {
		if err := h.framer.WriteWindowUpdate(s.id, uint32(s.received)); err != nil {
			return err
		}
		s.received = 0
	}
	return nil
}

// complete judges a response that is whole.
func (h *h2Conn) complete(s *h2Stream) error {
	if s.want >= 0 && s.want != s.length && h.member.crew.plan.Method != "HEAD" {
		return h.finish(s, failLength, wrong(failLength, "a body of %d bytes, announced with %d", s.length, s.want))
	}
	return h.finish(s, h.member.crew.job.check.of(s.status, s.length, s.sum), nil)
}

func (h *h2Conn) onSettings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	err := f.ForeachSetting(func(s http2.Setting) error {
		if err := s.Valid(); err != nil {
			return err
		}
		switch s.ID {
		case http2.SettingInitialWindowSize:
			for _, st := range h.streams {
				st.window += int64(s.Val) - h.initial
			}
			h.initial = int64(s.Val)
		case http2.SettingMaxFrameSize:
			h.frameSize = int64(s.Val)
		case http2.SettingMaxConcurrentStreams:
			h.limit = int(min(int64(h.member.crew.plan.Streams), int64(s.Val)))
		case http2.SettingHeaderTableSize:
			h.enc.SetMaxDynamicTableSizeLimit(s.Val)
			h.enc.SetMaxDynamicTableSize(min(s.Val, 4096))
			h.fixed = nil
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := h.framer.WriteSettingsAck(); err != nil {
		return err
	}
	return h.sendBodies()
}

func (h *h2Conn) onWindowUpdate(f *http2.WindowUpdateFrame) error {
	if f.StreamID == 0 {
		h.window += int64(f.Increment)
		return h.sendBodies()
	}
	if s := h.streams[f.StreamID]; s != nil {
		s.window += int64(f.Increment)
		return h.sendBody(s)
	}
	return nil
}

func (h *h2Conn) sendBodies() error {
	if h.member.crew.plan.Send == 0 {
		return nil
	}
	for _, s := range h.streams {
		if err := h.sendBody(s); err != nil {
			return err
		}
	}
	return nil
}

// onGoAway lets the streams finish that the server still answers.
func (h *h2Conn) onGoAway(f *http2.GoAwayFrame) error {
	h.goAway = true
	if f.ErrCode != http2.ErrCodeNo {
		return wrong(failClosed, "the server ends the connection: %s %s", f.ErrCode, f.DebugData())
	}
	for id, s := range h.streams {
		if id > f.LastStreamID {
			s.off = h.member.crew.plan.Send
			if err := h.finish(s, failClosed, errGoAway); err != nil {
				return err
			}
		}
	}
	return nil
}
