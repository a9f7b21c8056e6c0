package verdict

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// clockTick is the unit of times in /proc, the same on all of Linux's platforms.
const clockTick = 10 * time.Millisecond

// cpuTimes is what processes have used so far, by process and thread.
type cpuTimes map[int]processTimes

type processTimes struct {
	all     time.Duration
	threads map[string]time.Duration
}

// readTimes leaves out what is gone.
func readTimes(pids []int) cpuTimes {
	times := cpuTimes{}
	for _, pid := range pids {
		dir := filepath.Join("/proc", strconv.Itoa(pid))
		all, ok := readStat(filepath.Join(dir, "stat"))
		if !ok {
			continue
		}
		p := processTimes{all, map[string]time.Duration{}}
		tasks, _ := os.ReadDir(filepath.Join(dir, "task")) // without them the busiest is not known
		for _, t := range tasks {
			if d, ok := readStat(filepath.Join(dir, "task", t.Name(), "stat")); ok {
				p.threads[t.Name()] = d
			}
		}
		times[pid] = p
	}
	return times
}

// readStat takes utime and stime out of a stat file of proc(5).
func readStat(path string) (time.Duration, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	// The name in parentheses may hold anything; what follows does not.
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(f) < 13 {
		return 0, false
	}
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * clockTick, err1 == nil && err2 == nil
}

// since is what processes used between two readings.
func (after cpuTimes) since(before cpuTimes, wall time.Duration) Process {
	var p Process
	if wall <= 0 {
		return p
	}
	for pid, a := range after {
		b, ok := before[pid]
		if !ok {
			continue // started meanwhile: its time before is unknown
		}
		p.Known = true
		p.CPUs += (a.all - b.all).Seconds() / wall.Seconds()
		room, set := affinity(pid)
		if p.Room = max(p.Room, float64(room)); p.Set == "" {
			p.Set = set
		} else if p.Set != set {
			p.Set = mixed
		}
		for tid, d := range a.threads {
			p.Busiest = max(p.Busiest, (d-b.threads[tid]).Seconds()/wall.Seconds())
		}
	}
	return p
}

// mixed is the Set of processes that may not all use the same CPUs.
const mixed = "mixed"

// affinity is how many CPUs a process may use, and which.
func affinity(pid int) (room int, set string) {
	var cpus unix.CPUSet
	if err := unix.SchedGetaffinity(pid, &cpus); err != nil {
		return 1, mixed
	}
	var numbers []string
	for i := 0; len(numbers) < cpus.Count(); i++ {
		if cpus.IsSet(i) {
			numbers = append(numbers, strconv.Itoa(i))
		}
	}
	return len(numbers), strings.Join(numbers, ",")
}

// OwnSet is the Set of this process.
func OwnSet() string {
	_, set := affinity(0)
	return set
}

// machine is what /proc/stat says of each CPU, and /proc/net/snmp of the TCP segments
// sent, and sent again.
type machine struct {
	busy            []time.Duration // by the CPU's number
	sent, sentAgain float64
}

func readMachine() machine {
	stat, _ := os.ReadFile("/proc/stat") // nothing is known without
	snmp, _ := os.ReadFile("/proc/net/snmp")
	m := machine{busy: busyTimes(stat)}
	m.sent, m.sentAgain = segments(snmp)
	return m
}

// busyTimes takes the time of each CPU out of /proc/stat: all but idle and iowait.
// It has all CPUs, also where this process may use only a few.
func busyTimes(stat []byte) (busy []time.Duration) {
	for line := range strings.Lines(string(stat)) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		cpu, ok := strings.CutPrefix(fields[0], "cpu")
		if _, err := strconv.Atoi(cpu); !ok || err != nil {
			continue // the sum of all, or something else
		}
		var sum time.Duration
		for i, f := range fields {
			const idle, iowait, guest = 4, 5, 9 // guest time is counted as user time already
			if n, err := strconv.ParseInt(f, 10, 64); err == nil && i != idle && i != iowait && i < guest {
				sum += time.Duration(n) * clockTick
			}
		}
		busy = append(busy, sum)
	}
	return busy
}

// since is how busy each CPU was between two readings.
func (after machine) since(before machine, wall time.Duration) (busy []float64) {
	for i := range min(len(after.busy), len(before.busy)) {
		if wall > 0 {
			busy = append(busy, (after.busy[i]-before.busy[i]).Seconds()/wall.Seconds())
		}
	}
	return busy
}

// segments takes OutSegs and RetransSegs out of the two Tcp lines, names and values.
func segments(snmp []byte) (sent, again float64) {
	var names []string
	for line := range strings.Lines(string(snmp)) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != "Tcp:" {
			continue
		}
		if names == nil {
			names = f
			continue
		}
		for i := range min(len(f), len(names)) {
			v, err := strconv.ParseFloat(f[i], 64)
			switch {
			case err != nil:
			case names[i] == "OutSegs":
				sent = v
			case names[i] == "RetransSegs":
				again = v
			}
		}
	}
	return sent, again
}
