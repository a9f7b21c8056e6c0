package bench

import (
	"os"
	"strconv"
	"strings"
	"time"

	"weir/bench/load"
)

// effort is what the CPUs and a server have done until some moment; the difference
// of two is what a run took.
type effort struct {
	at     time.Time
	server time.Duration            // CPU time of the server
	busy   map[string]time.Duration // of each CPU, whoever used it; none where it cannot be read
}

func readEffort(server *service) effort {
	text, _ := os.ReadFile("/proc/stat") // without it nothing is busy, and the table says 0
	return effort{
		at: time.Now(), busy: busyTimes(string(text)), server: load.TimeOf([]int{server.cmd.Process.Pid}),
	}
}

// busyTimes reads from /proc/stat how long each CPU was in use, by its number.
func busyTimes(stat string) map[string]time.Duration {
	const idle, iowait, guest, tick = 4, 5, 9, 10 * time.Millisecond // guest time is in user time too
	busy := map[string]time.Duration{}
	for line := range strings.Lines(stat) {
		f := strings.Fields(line)
		if len(f) == 0 || !strings.HasPrefix(f[0], "cpu") || f[0] == "cpu" {
			continue
		}
		for i := 1; i < min(len(f), guest); i++ {
			if n, err := strconv.ParseInt(f[i], 10, 64); err == nil && i != idle && i != iowait {
				busy[f[0][len("cpu"):]] += time.Duration(n) * tick
			}
		}
	}
	return busy
}

// spend fills in what CPU time a run took that is told by its output.
func (s Sample) spend(out output, units float64) Sample {
	us := func(d time.Duration) float64 { return d.Seconds() * 1e6 / units }
	s.CPU, s.Server = us(out.cpu), us(out.after.server-out.before.server)
	wall := out.after.at.Sub(out.before.at)
	if wall <= 0 {
		return s
	}
	share := func(cpu string, own time.Duration) (busy, others float64) {
		busy = min((out.after.busy[cpu]-out.before.busy[cpu]).Seconds()/wall.Seconds(), 1)
		return busy, max(busy-own.Seconds()/wall.Seconds(), 0)
	}
	s.Busy, s.Others = share(generatorCPU, out.cpu)
	s.ServerBusy, s.ServerOthers = share(serverCPU, out.after.server-out.before.server)
	return s
}
