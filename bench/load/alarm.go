package load

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// An alarm wakes one goroutine to the microsecond, where timers of the runtime may
// be a millisecond late.
type alarm struct {
	fd   int
	file *os.File
	stop func() bool
	buf  [8]byte
}

// newAlarm makes an alarm that is silent from the end of ctx on. It must be closed.
func newAlarm(ctx context.Context) (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot open timer: %w", err)
	}
	a := &alarm{fd: fd, file: os.NewFile(uintptr(fd), "timer")}
	a.stop = context.AfterFunc(ctx, func() { _ = a.file.SetReadDeadline(time.Unix(1, 0)) })
	return a, nil
}

// wait returns true after d, and false when the context has ended.
func (a *alarm) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	if err := unix.TimerfdSettime(a.fd, 0, &spec, nil); err != nil {
		panic(fmt.Sprintf("BUG: cannot set timer to %s: %v", d, err))
	}
	_, err := a.file.Read(a.buf[:])
	return err == nil
}

func (a *alarm) close() {
	a.stop()
	_ = a.file.Close()
}
