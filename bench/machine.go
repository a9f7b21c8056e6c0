package bench

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"weir/bench/report"
)

// machine describes this one, without its name.
func machine() report.Machine {
	m := report.Machine{CPU: "unknown", CPUs: runtime.NumCPU(), Kernel: "unknown"}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = "Linux " + strings.TrimSpace(string(text))
	}
	m.Memory = kibibytesOf("/proc/meminfo", "MemTotal:")
	return m
}

// loadAverage is that of the last minute, or 0 where it cannot be read.
func loadAverage() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	word, _, _ := strings.Cut(string(text), " ")
	v, _ := strconv.ParseFloat(word, 64) // the kernel writes a number
	return v
}

// pssOf is the proportional set size of processes: what they share is counted once.
func pssOf(pids []int) int64 { return sum(pids, "smaps_rollup", "Pss:") }

// peakOf is the largest resident set size that each process ever had, in sum.
func peakOf(pids []int) int64 { return sum(pids, "status", "VmHWM:") }

func sum(pids []int, file, field string) int64 {
	total := int64(0)
	for _, pid := range pids {
		total += kibibytesOf(filepath.Join("/proc", strconv.Itoa(pid), file), field)
	}
	return total
}

// kibibytesOf reads a line "field: N kB" and returns bytes, 0 where there is none.
func kibibytesOf(path, field string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte(field)); ok {
			if words := strings.Fields(string(rest)); len(words) > 0 {
				n, _ := strconv.ParseInt(words[0], 10, 64) // the kernel writes a number
				return n << 10
			}
		}
	}
	return 0
}
