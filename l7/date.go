package l7

import (
	"sync/atomic"
	"time"

	"weir/l7/message"
)

// dateLine makes the Date field of responses that Weir generates, and of those that come
// without one (RFC 9110 section 6.6.1). It is made once in a second and shared by all
// connections. The zero dateLine is ready.
type dateLine struct {
	last atomic.Pointer[datedSecond]
}

// datedSecond is the line of one second. It is immutable.
type datedSecond struct {
	second int64
	line   []byte
}

// append appends the line for now.
func (d *dateLine) append(dst []byte, now time.Time) []byte {
	s := d.last.Load()
	if second := now.Unix(); s == nil || s.second != second {
		line := now.UTC().AppendFormat([]byte("Date: "), message.TimeFormat)
		s = &datedSecond{second, append(line, '\r', '\n')}
		d.last.Store(s)
	}
	return append(dst, s.line...)
}

// appendDate appends the Date of an answer of Weir's own, or the time at which a
// response was received that had none.
func (x *exchange) appendDate(dst []byte) []byte { return x.s.date.append(dst, x.now()) }
