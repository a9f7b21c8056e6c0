package bench

import (
	"embed"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"weir/bench/peers"
	"weir/bench/report"
	"weir/conf"
)

//go:embed scenarios/*.toml
var scenarioFiles embed.FS

// Scenarios are the names of the built-in scenarios.
func Scenarios() []string {
	entries, err := scenarioFiles.ReadDir("scenarios")
	if err != nil {
		panic("BUG: the scenarios are not embedded: " + err.Error())
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".toml"))
	}
	return names
}

// Scenario returns a scenario: a built-in one by its name, another one by its file,
// NAME.toml. What is wrong with a file is a conf.Problems.
func Scenario(name string) (*conf.Scenario, error) {
	if strings.HasSuffix(name, ".toml") {
		return conf.LoadScenario(name)
	}
	text, err := scenarioFiles.ReadFile("scenarios/" + name + ".toml")
	if err != nil {
		return nil, fmt.Errorf("unknown scenario %q: expected NAME.toml or one of %s", name,
			strings.Join(Scenarios(), ", "))
	}
	return conf.ParseScenario(name+".toml", text)
}

// layout is which CPUs each part of a run may use; nil is all.
type layout struct {
	generator, origin, proxy []int
}

// layoutOf places the parts as the scenario says, else the proxy on the last CPU
// and the rest on the first.
func layoutOf(c *conf.ScenarioCores) (layout, error) {
	cpus, err := allowed()
	if err != nil {
		return layout{}, err
	}
	l := layout{c.Generator, c.Origin, c.Proxy}
	for _, part := range [][]int{l.generator, l.origin, l.proxy} {
		for _, cpu := range part {
			if !slices.Contains(cpus, cpu) {
				return l, fmt.Errorf("cannot use CPU %d: this process may use %v", cpu, cpus)
			}
		}
	}
	first, last := cpus[:1], cpus[len(cpus)-1:]
	fill := func(part *[]int, with []int) {
		if len(*part) == 0 {
			*part = with
		}
	}
	fill(&l.proxy, last)
	fill(&l.generator, first)
	fill(&l.origin, first)
	return l, nil
}

// allowed are the CPUs that this process may use.
func allowed() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, os.NewSyscallError("sched_getaffinity", err)
	}
	var cpus []int
	for i := 0; len(cpus) < set.Count(); i++ {
		if set.IsSet(i) {
			cpus = append(cpus, i)
		}
	}
	return cpus, nil
}

// shared reports that the proxy is not alone on its CPUs.
func (l layout) shared() bool {
	return slices.ContainsFunc(l.proxy, func(cpu int) bool {
		return slices.Contains(l.generator, cpu) || slices.Contains(l.origin, cpu)
	})
}

func (l layout) String() string {
	text := fmt.Sprintf("proxy on CPU %s, generator on %s, origin on %s",
		join(l.proxy), join(l.generator), join(l.origin))
	if l.shared() {
		text += " (the proxy is not alone on its CPU)"
	}
	return text
}

func join(cpus []int) string {
	words := make([]string, len(cpus))
	for i, c := range cpus {
		words[i] = strconv.Itoa(c)
	}
	return strings.Join(words, ",")
}

// unitOf is what is counted as work.
func unitOf(s *conf.Scenario) string {
	switch s.Workload.Kind {
	case "idle":
		return report.Connections
	case "download", "upload":
		return report.Gigabytes
	}
	return report.Requests
}

// jobText says in short what is done.
func jobText(s *conf.Scenario) string {
	w, o := &s.Workload, &s.Origin
	if w.Kind == "idle" {
		return fmt.Sprintf("Front %s, idle connections: %s", s.Front, strings.ReplaceAll(join(w.Hold), ",", ", "))
	}
	text := fmt.Sprintf("Front %s, workload %s", s.Front, w.Kind)
	if w.Send > 0 {
		text += fmt.Sprintf(", %s sent", w.Send)
	}
	if w.Kind == "http1" {
		text += fmt.Sprintf(", %s received", o.Body)
	}
	if w.Reconnect {
		text += ", a new connection each time"
	}
	if s.Connections == 1 {
		text += ", 1 connection"
	} else {
		text += fmt.Sprintf(", %d connections", s.Connections)
	}
	if s.Rate > 0 {
		return text + fmt.Sprintf(", open loop at %d/s", s.Rate)
	}
	return text + ", closed loop"
}

// originArgs start the scenario's built-in origin.
func originArgs(s *conf.Scenario, address string) []string {
	args := []string{
		"bench", "origin", "--kind", s.Origin.Kind, "--listen", address,
		"--body", strconv.FormatInt(int64(s.Origin.Body), 10), "--content", s.Origin.Content,
	}
	if s.Origin.MaxAge > 0 {
		args = append(args, "--max-age", s.Origin.MaxAge.String())
	}
	return args
}

// loadArgs make the scenario's load against a proxy. due is the rate of an open
// loop; 0 is a closed one.
func loadArgs(s *conf.Scenario, address string, due int) []string {
	w := &s.Workload
	args := []string{"bench", "run"}
	encrypted := s.Front == "https" || s.Front == "sni"
	url := func(plain, tls string) string {
		path := "/"
		if s.Front == "files" {
			path = peers.FilePath
		}
		if encrypted {
			plain = tls
		}
		return plain + "://" + address + path
	}
	switch w.Kind {
	case "http1":
		args = append(args, "--http", url("http", "https"))
		switch {
		case s.Front == "gzip": // how long it becomes is the proxy's doing
			args = append(args, "-H", "Accept-Encoding: gzip")
		case s.Origin.Address.IsZero() && s.Origin.Body > 0:
			args = append(args, "--length", strconv.FormatInt(int64(s.Origin.Body), 10))
		}
	case "websocket":
		args = append(args, "--ws", url("ws", "wss"))
	default:
		args = append(args, "--"+w.Kind, address)
	}
	switch {
	case w.Kind == "tls":
		args = append(args, "--sni", peers.Name)
	case encrypted:
		args = append(args, "--host", peers.Name)
	}
	if w.Send > 0 {
		args = append(args, "--size", strconv.FormatInt(int64(w.Send), 10))
	}
	if w.Reconnect {
		args = append(args, "--reconnect")
	}
	args = append(args, "-c", strconv.Itoa(s.Connections), "-d", s.Duration.String(), "--warmup", s.Warmup.String())
	if due > 0 {
		// A rate is for finding where latency rises; how late we may be is judged by its figures.
		args = append(args, "--rate", strconv.Itoa(due), "--late", (10 * time.Millisecond).String())
	}
	return args
}
