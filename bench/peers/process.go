package peers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Command is a program to be started for a measurement.
type Command struct {
	Path string
	Args []string
	Env  []string // beside our own
	Dir  string   // where it runs and where its output goes; must exist
	CPUs []int    // that it and its children may use; empty: as we
}

// Process is a program that runs. Stop must be called.
type Process struct {
	cmd    *exec.Cmd
	name   string
	output string
	done   chan struct{}
	err    error // after done
}

const (
	readyWait = 15 * time.Second
	stopWait  = 5 * time.Second
	// maxOutput bounds what of a program's output an error quotes.
	maxOutput = 2000
)

// Start starts a program in a process group of its own.
func Start(c Command) (*Process, error) {
	p := &Process{
		cmd: exec.Command(c.Path, c.Args...), name: filepath.Base(c.Path),
		output: filepath.Join(c.Dir, "output"), done: make(chan struct{}),
	}
	out, err := os.Create(p.output)
	if err != nil {
		return nil, fmt.Errorf("cannot start %q: %w", c.Path, err)
	}
	defer func() { _ = out.Close() }() // the program has its own
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = c.Dir, out, out
	p.cmd.Env = append(os.Environ(), c.Env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := Pinned(c.CPUs, p.cmd.Start); err != nil {
		return nil, fmt.Errorf("cannot start %q: %w", c.Path, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Pinned calls f on a thread that may use only these CPUs, all where there are none:
// a process started by f inherits that.
func Pinned(cpus []int, f func() error) error {
	if len(cpus) == 0 {
		return f()
	}
	runtime.LockOSThread()
	var before, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		runtime.UnlockOSThread()
		return os.NewSyscallError("sched_getaffinity", err)
	}
	for _, c := range cpus {
		set.Set(c)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("cannot use the CPUs %v: %w", cpus, os.NewSyscallError("sched_setaffinity", err))
	}
	err := f()
	if restore := unix.SchedSetaffinity(0, &before); restore != nil {
		// The thread stays locked, so that it ends with this goroutine and does no other work.
		return errors.Join(err, os.NewSyscallError("sched_setaffinity", restore))
	}
	runtime.UnlockOSThread()
	return err
}

// Ready waits until the program accepts connections at address.
func (p *Process) Ready(ctx context.Context, address string) error {
	return p.await(ctx, address, "accept connections", func(ctx context.Context) error {
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// echoWait is how long an answer to one datagram is waited for.
const echoWait = 200 * time.Millisecond

// ReadyUDP waits until a datagram that is sent to address is answered.
func (p *Process) ReadyUDP(ctx context.Context, address string) error {
	return p.await(ctx, address, "answer datagrams", func(ctx context.Context) error {
		c, err := (&net.Dialer{}).DialContext(ctx, "udp", address)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		if err := c.SetDeadline(time.Now().Add(echoWait)); err != nil {
			return err
		}
		if _, err := c.Write([]byte{'?'}); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 1))
		return err
	})
}

// await tries probe until it succeeds; does says what the program does then.
func (p *Process) await(ctx context.Context, address, does string, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for probe(ctx) != nil {
		select {
		case <-p.done:
			return fmt.Errorf("%s ended (%w): %s", p.name, cmpErr(p.err), p.Output())
		case <-ctx.Done():
			return fmt.Errorf("%s does not %s at %s: %w: %s", p.name, does, address, ctx.Err(), p.Output())
		case <-tick.C:
		}
	}
	return nil
}

func cmpErr(err error) error {
	if err == nil {
		return errors.New("exit code 0")
	}
	return err
}

// Output is the end of what the program has printed.
func (p *Process) Output() string {
	text, err := os.ReadFile(p.output)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text[max(0, len(text)-maxOutput):]))
}

// Stop ends the program and its children, and returns when they are gone. It may
// be called any number of times.
func (p *Process) Stop() {
	children := p.PIDs()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may be gone
	select {
	case <-p.done:
	case <-time.After(stopWait):
	}
	// Whatever is left of its group, as workers that wait for their clients.
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
	for deadline := time.Now().Add(stopWait); time.Now().Before(deadline); {
		if !slices.ContainsFunc(children, alive) {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
}

// alive reports that a process runs; a zombie whose parent is gone does not.
func alive(pid int) bool {
	s, ok := readStat(pid)
	return ok && s.state != 'Z'
}

// PIDs are the process and its descendants.
func (p *Process) PIDs() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return []int{p.cmd.Process.Pid}
	}
	parents := map[int]int{}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if s, ok := readStat(pid); ok {
				parents[pid] = s.parent
			}
		}
	}
	pids := []int{p.cmd.Process.Pid}
	for i := 0; i < len(pids); i++ {
		for pid, parent := range parents {
			if parent == pids[i] {
				pids = append(pids, pid)
			}
		}
	}
	slices.Sort(pids)
	return pids
}

type stat struct {
	state  byte
	parent int
}

func readStat(pid int) (stat, bool) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{}, false
	}
	// The name in parentheses may hold anything; what follows does not.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 2 {
		return stat{}, false
	}
	parent, err := strconv.Atoi(fields[1])
	return stat{fields[0][0], parent}, err == nil
}

// The ports that FreeAddress chooses from. Linux takes those of outgoing connections from
// 32768 on, unless told otherwise, and would give one of them away again.
const (
	firstPort = 10_240
	lastPort  = 32_767
)

// FreeAddress is an address of this machine that nobody listens on at the moment.
func FreeAddress() (string, error) {
	var err error
	for range 1000 {
		var ln net.Listener
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if ln, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return ln.Addr().String(), ln.Close()
		}
	}
	return "", fmt.Errorf("cannot find a free port: %w", err)
}
