package engine

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/conf"
	"weir/l4"
	"weir/l4/loop"
	"weir/pool/metric"
)

// fakePulse is a loop that a test lets stand still.
type fakePulse struct {
	still bool
	idle  bool   // has nothing to do
	busy  bool   // begins to do something just when somebody wants to rest
	rouse func() // nil: nobody rests
}

func (p *fakePulse) Beats() bool   { return !p.still }
func (p *fakePulse) IsStill() bool { return p.idle }
func (p *fakePulse) Wake()         { p.rouse = nil }
func (p *fakePulse) Rest(rouse func()) bool {
	p.rouse = rouse
	return !p.busy
}

// watched is a watchdog over two loops, and a clock that only the test moves.
type watched struct {
	*watchdog
	loops   [2]fakePulse
	now     time.Time
	log     *logBuffer
	gaveUp  int // the loop + 1
	notices int
}

func newWatched() *watched {
	w := &watched{log: &logBuffer{}, now: time.Unix(1e9, 0)}
	w.watchdog = &watchdog{
		log: slog.New(slog.NewTextHandler(w.log, nil)), giveUp: func(loop int) { w.gaveUp = loop + 1 },
		pulses: []pulse{&w.loops[0], &w.loops[1]}, stalls: []*metric.Counter{{}, {}},
		alive: func() error { w.notices++; return errors.New("nobody listens") }, notifyEvery: time.Second,
		rest: newRest(), roused: make(chan struct{}, 1),
	}
	w.start(w.now)
	return w
}

// looks lets so many looks pass, each so long after the one before.
func (w *watched) looks(n int, every time.Duration) {
	for range n {
		w.now = w.now.Add(every)
		w.look(w.now)
	}
}

func TestRow57_Watchdog(t *testing.T) {
	const tick, late = watchdogTick, lateTick + 1
	f := func(name string, gaveUp int, warnings uint64, script func(w *watched)) {
		t.Helper()
		w := newWatched()
		script(w)
		if w.gaveUp != gaveUp || w.stalls[1].Load() != warnings {
			t.Errorf("%s: gave up for loop %d, stalled %d times, want %d, %d",
				name, w.gaveUp-1, w.stalls[1].Load(), gaveUp-1, warnings)
		}
	}
	f("all is well", 0, 0, func(w *watched) { w.looks(1000, tick) })
	f("one look", 0, 1, func(w *watched) { w.loops[1].still = true; w.looks(1, tick) })
	f("almost", 0, 1, func(w *watched) { w.loops[1].still = true; w.looks(fatalTicks-1, tick) })
	f("for good", 2, 1, func(w *watched) { w.loops[1].still = true; w.looks(fatalTicks, tick) })
	f("twice", 0, 2, func(w *watched) {
		for range 2 {
			w.loops[1].still = true
			w.looks(fatalTicks-1, tick)
			w.loops[1].still = false
			w.looks(1, tick)
		}
	})
	f("the machine was stopped", 0, 0, func(w *watched) { w.loops[1].still = true; w.looks(100, late) })
	f("stopped in between", 0, 2, func(w *watched) {
		w.loops[1].still = true
		w.looks(fatalTicks-1, tick)
		w.looks(1, time.Hour)
		w.looks(fatalTicks-1, tick)
	})
}

// The watchdog rests while all loops are still, and whoever rests with it hears of the end.
func TestRow57_WatchdogRests(t *testing.T) {
	w := newWatched()
	lies := func(want time.Duration) {
		t.Helper()
		if got := w.lieDown(); got != want {
			t.Errorf("the next look is in %v, want %v", got, want)
		}
		if got, rests := w.rest.interval(watchdogTick) == restLook, want != watchdogTick; got != rests {
			t.Errorf("others rest: %v, want %v", got, rests)
		}
	}
	lies(watchdogTick)
	w.loops[0].idle = true
	lies(watchdogTick)
	w.loops[1].idle = true
	lies(time.Second) // as often as the service manager wants to hear
	w.notifyEvery = 0
	lies(restLook)
	w.loops[1].rouse()
	select {
	case <-w.roused:
	default:
		t.Error("a loop did something, and the watchdog sleeps on")
	}
	select {
	case <-w.rest.ended:
	default:
		t.Error("a loop did something, and others sleep on")
	}
	w.now = w.now.Add(time.Hour)
	w.wake(w.now)
	if w.loops[0].rouse != nil || w.loops[1].rouse != nil {
		t.Error("the rest is over, and loops are to rouse")
	}
	w.loops[0].still = true // what it does hangs
	w.looks(1, watchdogTick)
	if w.stalls[0].Load() != 1 {
		t.Error("a loop that hangs at once was not found by the first look")
	}
	w.loops[0].still, w.loops[1].busy = false, true
	lies(watchdogTick)
}

// The log gets stacks once in ten seconds, however often loops stand still; the
// service manager hears nothing as long as one does.
func TestWatchdogTells(t *testing.T) {
	w := newWatched()
	for range 40 { // 8 s
		w.loops[0].still = !w.loops[0].still
		w.looks(2, watchdogTick)
	}
	if n := strings.Count(w.log.String(), "makes no progress"); n != 1 {
		t.Errorf("warned %d times in 8 s, want once", n)
	}
	if n := strings.Count(w.log.String(), "nobody listens"); n != 1 {
		t.Errorf("%d errors of the service manager in 8 s, want one", n)
	}
	if !strings.Contains(w.log.String(), "TestWatchdogTells") {
		t.Error("no stacks in the log")
	}
	w = newWatched()
	w.looks(50, watchdogTick)
	if w.notices < 5 || w.notices > 6 {
		t.Errorf("told the service manager %d times in 5 s, want once per second", w.notices)
	}
	w.loops[1].still = true
	before := w.notices
	w.looks(50, watchdogTick)
	if w.notices != before {
		t.Error("told the service manager that all is well while a loop stood still")
	}
}

func TestWatchdogInterval(t *testing.T) {
	f := func(usec, pid string, want time.Duration) {
		t.Helper()
		env := map[string]string{"WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}
		if got := watchdogInterval(func(k string) string { return env[k] }, 77); got != want {
			t.Errorf("WATCHDOG_USEC %q, WATCHDOG_PID %q: got %v, want %v", usec, pid, got, want)
		}
	}
	f("", "", 0)
	f("3000000", "", 1500*time.Millisecond)
	f("3000000", "77", 1500*time.Millisecond)
	f("3000000", "78", 0)
	f("1000", "", watchdogTick)
	f("0", "", 0)
	f("-1", "", 0)
	f("soon", "", 0)
	f("99999999999999999999", "", 0)
}

func TestStacksOfManyGoroutines(t *testing.T) {
	l, err := loop.New(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	stop := make(chan struct{})
	defer close(stop)
	for range 2 * manyGoroutines {
		go func() { <-stop }()
	}
	if s := stacks(); !strings.Contains(s, "loop.(*epoll).run") || len(s) > maxStacks ||
		strings.Contains(s, "TestStacksOfManyGoroutines") {
		t.Errorf("want the stacks of loops alone:\n%s", s)
	}
}

// stuckEnv makes the test binary a process whose only loop hangs for the time given
// when a client connects.
const stuckEnv = "WEIR_ENGINE_STUCK"

// TestStuckProcess is that process; it is no test of its own.
func TestStuckProcess(t *testing.T) {
	text := os.Getenv(stuckEnv)
	if text == "" {
		return
	}
	hang, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{metrics: metric.New(), notify: newNotifier()}
	e.log, e.level, e.out = newLogger(conf.Log{}, os.Stderr)
	e.l4, err = l4.New(l4.Options{Loops: 1, Log: e.log, Metrics: e.metrics, HandOver: func(_ string, h loop.Handover) {
		time.Sleep(hang) // what must never happen on a loop
		h.Ticket.Release()
		loop.CloseSocket(h.FD)
	}})
	if err != nil {
		t.Fatal(err)
	}
	update, err := e.l4.Prepare([]l4.Listener{{
		Name: "web", L7: "web", Addrs: []conf.Addr{{Network: "tcp", Host: "127.0.0.1"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	update.Commit()
	go e.watchLoops(t.Context())
	_, _ = os.Stdout.WriteString(e.l4.Addrs("web")[0] + "\n")
	select {}
}

// stuck starts such a process, connects to it and returns it with what it logs.
func stuck(t *testing.T, hang string) (*exec.Cmd, *logBuffer, net.Conn) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{}
	cmd := exec.Command(exe, "-test.run=^TestStuckProcess$")
	cmd.Env = append(os.Environ(), stuckEnv+"="+hang)
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	buf := make([]byte, 100)
	n, err := out.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", strings.TrimSpace(string(buf[:n])))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return cmd, log, c
}

// TestRow57_LoopStuckForGood: a loop that hangs is told of after 100 ms with the stack
// that shows where, and ends the process after two seconds.
func TestRow57_LoopStuckForGood(t *testing.T) {
	began := time.Now()
	cmd, log, _ := stuck(t, "1h")
	waitFor(t, "the warning", func() bool {
		return strings.Contains(log.String(), "makes no progress") && strings.Contains(log.String(), "TestStuckProcess")
	})
	_ = cmd.Wait() // the code tells
	if code := cmd.ProcessState.ExitCode(); code != exitStuck || !strings.Contains(log.String(), "event loop is stuck") {
		t.Errorf("exit code %d, want %d; log:\n%s", code, exitStuck, log)
	}
	if took := time.Since(began); took < fatalTicks*watchdogTick {
		t.Errorf("gave up after %v, want %v", took, fatalTicks*watchdogTick)
	}
}

// TestRow57_LoopBlockedForAWhile: a loop that hangs for less is told of, and goes on.
func TestRow57_LoopBlockedForAWhile(t *testing.T) {
	cmd, log, c := stuck(t, "1s")
	waitFor(t, "the warning", func() bool { return strings.Contains(log.String(), "makes no progress") })
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is open")
	}
	time.Sleep(fatalTicks * watchdogTick) // to give up would be a mistake
	if err := cmd.Process.Signal(syscall.Signal(0)); err != nil || strings.Contains(log.String(), "is stuck") {
		t.Errorf("the process ended: %v; log:\n%s", err, log)
	}
}

// TestRow57_StoppedProcess: time in which the process did not run is not held against
// a loop: one that hangs for 4 s, of which the process was stopped for 2.5, may go on.
func TestRow57_StoppedProcess(t *testing.T) {
	cmd, log, c := stuck(t, "4s")
	waitFor(t, "the warning", func() bool { return strings.Contains(log.String(), "makes no progress") })
	time.Sleep(700 * time.Millisecond)
	if err := cmd.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2500 * time.Millisecond)
	if err := cmd.Process.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is open")
	}
	if strings.Contains(log.String(), "is stuck") {
		t.Errorf("a stopped process gave up:\n%s", log)
	}
}
