package load

import (
	"bytes"
	"os"
	"path/filepath"
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
	targets map[int]processUsage // by process; without those that are gone
}

type processUsage struct {
	cpu     time.Duration
	threads map[int]time.Duration
}

// measure reads the CPU time of this process and of the targets.
func measure(targets []int) usage {
	u := usage{at: time.Now(), own: ownCPU(), targets: map[int]processUsage{}}
	for _, pid := range targets {
		if p, ok := readProcess(pid); ok {
			u.targets[pid] = p
		}
	}
	return u
}

func ownCPU() time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0 // it has no way to fail for ourselves
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func readProcess(pid int) (processUsage, bool) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	cpu, ok := readStat(filepath.Join(dir, "stat"))
	if !ok {
		return processUsage{}, false
	}
	p := processUsage{cpu: cpu, threads: map[int]time.Duration{}}
	entries, err := os.ReadDir(filepath.Join(dir, "task"))
	if err != nil {
		return p, true
	}
	for _, e := range entries {
		tid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if cpu, ok := readStat(filepath.Join(dir, "task", e.Name(), "stat")); ok {
			p.threads[tid] = cpu
		}
	}
	return p, true
}

// readStat takes utime and stime out of a stat file of proc(5).
func readStat(path string) (time.Duration, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	// The name in parentheses may hold anything; what follows does not.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 13 {
		return 0, false
	}
	user, ok1 := digits(fields[11])
	system, ok2 := digits(fields[12])
	return time.Duration(user+system) * clockTick, ok1 && ok2
}

// spent is what a run used, between two measurements.
type spent struct {
	wall    time.Duration
	own     time.Duration
	known   bool          // the target is known, and target and busiest are of use
	target  time.Duration // of all its processes
	busiest time.Duration // of its busiest thread
	cpus    int           // that its processes may use
}

func (u usage) until(v usage) spent {
	s := spent{wall: v.at.Sub(u.at), own: v.own - u.own}
	for pid, after := range v.targets {
		before, ok := u.targets[pid]
		if !ok {
			continue // started meanwhile: its time before is unknown
		}
		s.known = true
		s.target += after.cpu - before.cpu
		s.cpus = max(s.cpus, affinity(pid))
		for tid, cpu := range after.threads {
			s.busiest = max(s.busiest, cpu-before.threads[tid])
		}
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
