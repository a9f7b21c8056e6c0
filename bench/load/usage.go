package load

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// clockTick is the unit of times in /proc, the same on all of Linux's platforms.
const clockTick = 10 * time.Millisecond

// usage is the CPU time used until some moment.
type usage struct {
	at      time.Time
	own     time.Duration
	cost    time.Duration         // of this measurement, which is ours too
	known   bool                  // there is a target, and we may look at it
	target  time.Duration         // of the targets, their children, and those that have ended
	threads map[int]time.Duration // of the targets and their children
	cpus    int                   // that a target may use, the most of them
}

// measure reads the CPU time of this process and of the targets with all their
// descendants: PostgreSQL, for one, has a process for each connection.
func measure(targets []int) usage {
	// A machine with many processes takes long to look through.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := cpuOf(unix.RUSAGE_THREAD)
	u := usage{at: time.Now(), own: cpuOf(unix.RUSAGE_SELF), threads: map[int]time.Duration{}}
	if len(targets) == 0 {
		return u
	}
	u.look(targets)
	u.cost = cpuOf(unix.RUSAGE_THREAD) - start
	return u
}

// TimeOf is the CPU time of processes and their descendants so far; 0 where none
// of them can be seen.
func TimeOf(pids []int) time.Duration { return measure(pids).target }

func (u *usage) look(targets []int) {
	for pid := range family(targets) {
		p, ok := readStat(procPath(pid, "stat"))
		if !ok {
			continue // it has just ended; its parent has its time, or will have
		}
		u.known = true
		u.target += p.cpu + p.waited
		u.cpus = max(u.cpus, affinity(pid))
		u.readThreads(pid)
	}
}

func (u *usage) readThreads(pid int) {
	entries, err := os.ReadDir(procPath(pid, "task"))
	if err != nil {
		return
	}
	for _, e := range entries {
		tid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if t, ok := readStat(procPath(pid, "task", e.Name(), "stat")); ok {
			u.threads[tid] = t.cpu
		}
	}
}

// family is the given processes with their descendants.
func family(roots []int) map[int]bool {
	children := map[int][]int{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		entries = nil // then there are only the roots
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, ok := readStat(procPath(pid, "stat")); ok {
			children[p.parent] = append(children[p.parent], pid)
		}
	}
	all := map[int]bool{}
	for todo := slices.Clone(roots); len(todo) > 0; {
		pid := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !all[pid] && pid != os.Getpid() {
			all[pid] = true
			todo = append(todo, children[pid]...)
		}
	}
	return all
}

func procPath(pid int, rest ...string) string {
	return filepath.Join(append([]string{"/proc", strconv.Itoa(pid)}, rest...)...)
}

// cpuOf is the CPU time of this process or thread.
func cpuOf(who int) time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(who, &r); err != nil {
		return 0 // it has no way to fail for ourselves
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// stat is what is of use in a stat file of proc(5).
type stat struct {
	parent int
	cpu    time.Duration // utime and stime
	waited time.Duration // cutime and cstime: of children that have ended
}

func readStat(path string) (s stat, ok bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return s, false
	}
	// The name in parentheses may hold anything; what follows does not.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 15 {
		return s, false
	}
	number := func(i int) int64 {
		n, good := digits(fields[i])
		ok = ok && good
		return n
	}
	ok = true
	s.parent = int(number(1))
	s.cpu = time.Duration(number(11)+number(12)) * clockTick
	s.waited = time.Duration(number(13)+number(14)) * clockTick
	return s, ok
}

// spent is what a run used, between two measurements.
type spent struct {
	wall    time.Duration
	own     time.Duration
	known   bool          // the target is known, and what follows is of use
	target  time.Duration // of all its processes
	busiest time.Duration // of its busiest thread
	cpus    int           // that its processes may use
}

func (u usage) until(v usage) spent {
	s := spent{
		wall: v.at.Sub(u.at), own: max(v.own-u.own-u.cost, 0), known: u.known && v.known,
		target: max(v.target-u.target, 0), cpus: v.cpus,
	}
	for tid, cpu := range v.threads {
		s.busiest = max(s.busiest, cpu-u.threads[tid])
	}
	return s
}

// affinity is how many CPUs a process may use; 0 is this one.
func affinity(pid int) int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(pid, &set); err != nil {
		return 1
	}
	return set.Count()
}
