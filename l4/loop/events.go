package loop

import "golang.org/x/sys/unix"

// Events is what the kernel reported of a descriptor. It is a hint: numbers are
// reused, so an event can be meant for a descriptor that was closed in the same
// batch. Only reading, writing and [Loop.Dialed] decide.
type Events uint32

// Readable reports that reading may give bytes, the end or an error.
func (e Events) Readable() bool { return e&(unix.EPOLLIN|unix.EPOLLPRI|Ended) != 0 }

// Writable reports that writing may take bytes or give an error.
func (e Events) Writable() bool { return e&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 }

// Failed reports that an error is pending on the socket (SO_ERROR).
func (e Events) Failed() bool { return e&unix.EPOLLERR != 0 }

// ReadToEnd reports that a short read does not mean that the socket is empty: an
// end, an error or urgent data stands behind the bytes and gives no edge of its own.
func (e Events) ReadToEnd() bool { return e&(unix.EPOLLPRI|Ended) != 0 }

// Ended are the events of a peer that ended its direction, or of a broken connection.
const Ended Events = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
