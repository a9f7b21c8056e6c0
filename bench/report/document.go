// Package report holds what a comparison of proxies has measured, and turns it into
// a page of docs and a page of HTML. It measures nothing itself: a [Document] is
// all it knows, so that a report can be written again, elsewhere, from the JSON.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// Document is the outcome of a comparison. Names of JSON fields end with their unit.
type Document struct {
	Made      time.Time  `json:"made"`
	Commit    string     `json:"commit"` // of Weir
	Machine   Machine    `json:"machine"`
	Peers     []Version  `json:"peers"`
	Rounds    int        `json:"rounds"`
	Scenarios []Scenario `json:"scenarios"`
}

// Machine is where it was measured. It does not name the host.
type Machine struct {
	CPU    string `json:"cpu"`
	CPUs   int    `json:"cpus"`
	Memory int64  `json:"memory_bytes"`
	Kernel string `json:"kernel"`
}

// Version is a proxy and its version.
type Version struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Units of work.
const (
	Requests    = "request"
	Connections = "connection"
	Gigabytes   = "GB"
)

// Scenario is one measurement of several proxies in turn.
type Scenario struct {
	Name     string   `json:"name"`
	Shows    string   `json:"shows"`
	Job      string   `json:"job"`     // what is done, in short
	Unit     string   `json:"unit"`    // of work
	Command  string   `json:"command"` // that measures it again
	Load     string   `json:"load,omitempty"`
	Duration float64  `json:"duration_s"` // of each run
	Cores    string   `json:"cores"`
	Busy     float64  `json:"load_average"` // of the machine, before it began
	Proxies  []Proxy  `json:"proxies"`
	Levels   []Level  `json:"levels,omitempty"`   // of Proxy.Open
	Wide     *Wide    `json:"wide,omitempty"`     // of Proxy.Wide
	LeftOut  []string `json:"left_out,omitempty"` // who or what is not there, and why
}

// Level is a rate at which all proxies ran in an open loop.
type Level struct {
	Percent int     `json:"percent"` // of the best round of the slowest proxy
	Due     float64 `json:"due_per_second"`
}

// Wide is how rounds with more CPUs for the proxies were made.
type Wide struct {
	CPUs   int    `json:"cpus"`
	Before int    `json:"cpus_before"`
	Cores  string `json:"cores"`
}

// Proxy is what one proxy did in a scenario.
type Proxy struct {
	Name   string   `json:"name"`
	Rounds []Round  `json:"rounds"`
	Open   []Round  `json:"open,omitempty"`   // at the scenario's levels, one for each round and level
	Wide   []Round  `json:"wide,omitempty"`   // on more CPUs
	Sweep  []Round  `json:"sweep,omitempty"`  // at shares of its own best, or given rates
	Memory []Memory `json:"memory,omitempty"` // of idle connections; one list for all rounds
}

// Round is one run. In a scenario of idle connections it holds only memory.
type Round struct {
	Due      float64  `json:"due_per_second,omitempty"` // 0: a closed loop
	CPU      float64  `json:"cpu_us_per_unit"`          // of the proxy and its children
	Rate     float64  `json:"units_per_second"`
	P50      float64  `json:"p50_us"`
	P99      float64  `json:"p99_us"`
	P999     float64  `json:"p99_9_us"`
	Answered int64    `json:"answered"`
	Failed   int64    `json:"failed"`
	Busy     float64  `json:"proxy_cpus"`     // how many CPUs the proxy kept busy
	IdlePSS  int64    `json:"idle_pss_bytes"` // after its start
	PeakRSS  int64    `json:"peak_rss_bytes"` // sum over its processes; what they share counts for each
	Invalid  []string `json:"invalid,omitempty"`
	Missed   []string `json:"missed,omitempty"`  // of the objective
	Curve    []Point  `json:"curve,omitempty"`   // of latency
	Verdict  *Verdict `json:"verdict,omitempty"` // of runs against Weir
}

// Verdict says what bounded a run against Weir.
type Verdict struct {
	Bound string `json:"bound"` // client, network, proxy, backend or nobody
	Line  string `json:"line"`  // with the reason, for people
}

// Point says which share of requests took at most so long.
type Point struct {
	Quantile float64 `json:"quantile"`
	Value    float64 `json:"us"`
}

// Memory is what a proxy held at a number of idle connections in one round.
type Memory struct {
	Round       int   `json:"round"`
	Connections int   `json:"connections"`
	PSS         int64 `json:"pss_bytes"`
}

// Idle reports that the scenario is about memory alone.
func (s *Scenario) Idle() bool { return s.Unit == Connections }

// Read reads a Document from a file.
func Read(path string) (*Document, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the results: %w", err)
	}
	defer func() { _ = f.Close() }()
	d := &Document{}
	dec := json.NewDecoder(f)
	dec.DisallowUnknownFields()
	if err := dec.Decode(d); err != nil {
		return nil, fmt.Errorf("cannot read the results in %q: %w", path, err)
	}
	return d, nil
}

// Write writes the Document as JSON.
func (d *Document) Write(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	if err := enc.Encode(d); err != nil {
		return fmt.Errorf("cannot write the results: %w", err)
	}
	return nil
}

// Merge puts the scenarios of other in place of those of the same name, and the
// rest at the end. Both must come from the same commit and machine.
func (d *Document) Merge(other *Document) error {
	if d.Commit != other.Commit || d.Machine != other.Machine {
		return fmt.Errorf("cannot merge results: they are of commits %q and %q, or of two machines",
			d.Commit, other.Commit)
	}
	d.Made = other.Made
	for _, v := range other.Peers {
		if i := indexOf(d.Peers, func(p *Version) bool { return p.Name == v.Name }); i < 0 {
			d.Peers = append(d.Peers, v)
		}
	}
	for _, s := range other.Scenarios {
		if i := indexOf(d.Scenarios, func(p *Scenario) bool { return p.Name == s.Name }); i >= 0 {
			d.Scenarios[i] = s
		} else {
			d.Scenarios = append(d.Scenarios, s)
		}
	}
	return nil
}

func indexOf[T any](list []T, is func(*T) bool) int {
	for i := range list {
		if is(&list[i]) {
			return i
		}
	}
	return -1
}
