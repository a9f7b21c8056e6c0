package engine

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// notifier tells the service manager what the process does (sd_notify(3)). The
// zero notifier, which is what a process without NOTIFY_SOCKET has, says nothing.
type notifier struct {
	socket string
}

// newNotifier reads NOTIFY_SOCKET.
func newNotifier() notifier { return notifier{os.Getenv("NOTIFY_SOCKET")} }

func (n notifier) ready(status string) error {
	return n.send("READY=1", "STATUS="+status)
}

// reloading must be followed by ready, whether the reload was accepted or not.
// The time is what Type=notify-reload compares with its own.
func (n notifier) reloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("cannot read the monotonic clock: %w", err)
	}
	return n.send("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000))
}

func (n notifier) stopping(status string) error {
	return n.send("STOPPING=1", "STATUS="+status)
}

// alive is for the watchdog of the service manager. Its caller has better things to do
// than to wait for one that does not read.
func (n notifier) alive() error { return n.sendWithin(alivePatience, "WATCHDOG=1") }

// How long the service manager may take to read what is in its way.
const (
	notifyPatience = 5 * time.Second
	alivePatience  = 20 * time.Millisecond
)

func (n notifier) send(lines ...string) error { return n.sendWithin(notifyPatience, lines...) }

func (n notifier) sendWithin(patience time.Duration, lines ...string) error {
	if n.socket == "" {
		return nil
	}
	// A leading '@' is the abstract namespace, which package net spells the same.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("cannot notify the service manager at %q: %w", n.socket, err)
	}
	defer conn.Close()                                  //nolint:errcheck // a datagram socket holds nothing back
	_ = conn.SetWriteDeadline(time.Now().Add(patience)) // an error shows at the write
	if _, err := conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("cannot notify the service manager at %q: %w", n.socket, err)
	}
	return nil
}
