package upstream

import (
	"errors"
	"io"
	"os"

	"weir/l7/message"
)

// Stage says how far the exchange with the backend had come.
type Stage uint8

const (
	// StageDial is connecting. Nothing was sent.
	StageDial Stage = iota
	// StageWrite is sending the request.
	StageWrite
	// StageHead is waiting for, or reading, a response head.
	StageHead
	// StageBody is reading the response body.
	StageBody
)

// String gives the word for logs and metrics.
func (s Stage) String() string {
	return [...]string{"connect to", "send the request to", "read the response head of", "read the response body of"}[s]
}

// Error is the one type of error of this package. Together with the method of
// the request it is all that the exchange needs to choose between the next
// member, a retry and a status code.
type Error struct {
	// Side is Upstream for the backend and the network to it, Client after Abort or
	// a request body of the wrong length, Internal when Weir or its machine is at
	// its limits (ports, descriptors).
	Side    message.Side
	Stage   Stage
	Backend string // the member's address
	Timeout bool   // a time limit of ours ran out (504)
	// Reused: the connection had served an exchange before, so that the backend
	// may have closed it while the request was on its way.
	Reused bool
	// Sent: the kernel took at least one byte of the request. When false, the
	// backend cannot have acted on it, whatever the method is.
	Sent bool
	// Answered: at least one byte of a response arrived, be it of a 1xx. The
	// request must not be sent again.
	Answered bool
	Err      error // the cause; never io.EOF
}

// Error implements error.
func (e *Error) Error() string {
	return "cannot " + e.Stage.String() + " " + e.Backend + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Unsent reports that no byte of the request left us: another member, or a fresh
// connection to this one, may be tried at once with any method, and that is not
// a retry.
func (e *Error) Unsent() bool { return !e.Sent && e.Side != message.Client }

// Stale reports that a kept-alive connection turned out to be closed: the
// request was sent, no byte came back, and no time limit was reached. It most
// likely never reached the backend's application, but only a replayable request
// may be sent again (RFC 9110 9.2.2), on a fresh connection.
func (e *Error) Stale() bool {
	return e.Reused && !e.Answered && !e.Timeout && e.Side == message.Upstream
}

// Retryable reports that no byte of a response was seen and the backend, not the
// client or a time limit, is to blame: a replayable request may be sent again.
func (e *Error) Retryable() bool {
	return !e.Answered && !e.Timeout && e.Side != message.Client
}

// Causes that are not the operating system's.
var (
	// ErrAborted is the cause after Abort.
	ErrAborted = errors.New("the exchange was aborted")
	// ErrClosed is the cause of Get after Close.
	ErrClosed = errors.New("the transport is closed")
	// ErrShortBody is the cause of EndBody before the announced length.
	ErrShortBody = errors.New("the request body is shorter than its Content-Length")
	// ErrLongBody is the cause of WriteBody beyond the announced length.
	ErrLongBody = errors.New("the request body is longer than its Content-Length")
	// ErrManyInterim is the cause of ReadHead after too many 1xx responses.
	ErrManyInterim = errors.New("too many interim (1xx) responses")
)

// fail makes the error of a stage from what the connection knows.
func (c *Conn) fail(stage Stage, err error) error {
	e := &Error{
		Side: message.Upstream, Stage: stage, Backend: c.name,
		Reused: c.reused, Sent: c.isSent(), Answered: c.answered.Load(), Err: err,
	}
	c.broken.Store(true)
	switch {
	case c.aborted.Load():
		e.Side, e.Err = message.Client, ErrAborted
	case errors.Is(err, ErrShortBody), errors.Is(err, ErrLongBody):
		e.Side = message.Client
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.Timeout = true
	case errors.Is(err, io.EOF):
		// A truncated message must never be taken for a complete one.
		e.Err = io.ErrUnexpectedEOF
	}
	return e
}
