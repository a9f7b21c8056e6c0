package backend

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Outcome is what a caller saw of a member after Pick. The zero Outcome is not one.
type Outcome uint8

// The outcomes a caller can report.
const (
	// Connected: a connection was established. It ends a row of connect timeouts.
	Connected Outcome = iota + 1
	// Success: a session or an exchange ended well. It ends every row of failures.
	Success
	// Refused: the connection was refused, or no route leads there. It ejects at once.
	Refused
	// ConnectTimeout: no connection within the time allowed. Two in a row eject.
	ConnectTimeout
	// Reset: an established connection broke before its work was done.
	Reset
	// Timeout: connected, but no answer in time.
	Timeout
	// ServerError: an answer with a status of 500 or more that counts as a failure.
	ServerError
	// GatewayError: an answer with the status 502, 503 or 504, by which a server that
	// is a proxy itself, or one that is overloaded, says that it could not do its work.
	// It counts as ServerError does, and can have a limit of its own.
	GatewayError
	// LocalError: Weir's own fault or limit (ports, descriptors, memory, policy,
	// a cancelled caller). It never counts against the member.
	LocalError
	// Unreachable: a datagram came back because nobody takes it there. It ejects at
	// once, as Refused does, and only time ends that ejection where no active check
	// does: to connect by TCP would prove nothing.
	Unreachable
	// Outraced: no connection yet when one to another address of the same name, begun
	// later, was there. Three in a row eject.
	Outraced
)

// String gives the word that logs and metrics use.
func (o Outcome) String() string {
	switch o {
	case Connected:
		return "connected"
	case Success:
		return "success"
	case Refused:
		return "refused"
	case ConnectTimeout:
		return "connect_timeout"
	case Reset:
		return "reset"
	case Timeout:
		return "timeout"
	case ServerError:
		return "server_error"
	case GatewayError:
		return "gateway_error"
	case LocalError:
		return "local_error"
	case Unreachable:
		return "unreachable"
	case Outraced:
		return "outraced"
	}
	return "unknown"
}

// Classify says what an error of connecting to a member means; nil is Connected.
// A deadline counts as ConnectTimeout and a cancelled context as LocalError. An
// error it does not know counts as Reset: a failure, but no proof that the
// member is gone.
func Classify(err error) Outcome {
	if err == nil {
		return Connected
	}
	if _, ok := errors.AsType[*SocketError](err); ok {
		return LocalError
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return classifyErrno(errno)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, net.ErrClosed) {
		return LocalError
	}
	var timeout net.Error
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &timeout) && timeout.Timeout() {
		return ConnectTimeout
	}
	return Reset
}

func classifyErrno(errno syscall.Errno) Outcome {
	switch errno {
	case unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.EHOSTDOWN, unix.ENETUNREACH,
		// A unix socket whose file is gone, closed to us or not a socket.
		unix.ENOENT, unix.EACCES, unix.ENOTDIR, unix.ENOTSOCK:
		return Refused
	case unix.ETIMEDOUT,
		// A unix socket with a full backlog: alive, but it does not get to us.
		unix.EAGAIN:
		return ConnectTimeout
	case unix.EADDRNOTAVAIL, unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EPERM,
		unix.ECANCELED, unix.EBADF, unix.EINTR, unix.EAFNOSUPPORT, unix.ENETDOWN:
		return LocalError
	}
	return Reset
}
