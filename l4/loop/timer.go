package loop

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Arm starts t, or starts it anew: e.Expire is called once after d, rounded up to
// the next 10 ms. A panic there calls e.Abort.
func (l *Loop) Arm(t *Timer, d time.Duration, e Expirer) {
	l.Disarm(t)
	t.expirer = e
	l.wheel.add(t, int64((l.now+max(d, 0)+tick-1)/tick))
	// The timers of a wheel mostly expire later than what the descriptor is set for: no system call.
	if !l.firing && (l.alarm == 0 || t.at < l.alarm) {
		l.setAlarm()
	}
}

// Disarm stops t; on a stopped timer it does nothing.
func (l *Loop) Disarm(t *Timer) {
	if t.armed {
		l.wheel.remove(t)
	}
}

// setAlarm sets the timer descriptor for the wheel's next tick. Without timers it
// stays silent.
func (l *Loop) setAlarm() {
	at, ok := l.wheel.next()
	if !ok {
		l.alarm = 0
		return
	}
	l.alarm = at
	wait := max(time.Duration(at)*tick-time.Since(l.epoch), 1) // zero would turn it off
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(wait))}
	if err := unix.TimerfdSettime(l.timerFD, 0, &spec, nil); err != nil {
		panic(fmt.Sprintf("BUG: cannot set timer to %s: %v", wait, err))
	}
}

// timerHandler drives the wheel. The descriptor is watched edge-triggered, so its
// count of expirations need not be read.
type timerHandler struct{ l *Loop }

func (h timerHandler) Ready(int, Events) {
	l := h.l
	l.firing = true
	l.wheel.advance(int64(l.now/tick), l.expire)
	l.firing = false
	l.setAlarm()
}

// Abort sets the alarm anew, so that no panic stops the wheel.
func (h timerHandler) Abort() {
	h.l.firing = false
	h.l.setAlarm()
}

func (l *Loop) expire(t *Timer) {
	defer l.Recovered(t.expirer)
	t.expirer.Expire(t)
}
