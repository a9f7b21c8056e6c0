// Package verdict says what bounds a run against Weir: the client, the network, the
// proxy or the backend. [Judge] is a function of numbers; [Watch] collects them, from
// Weir's own metrics and from /proc.
package verdict

import (
	"fmt"
	"strings"
	"time"
)

// Bound is who bounds a run.
type Bound string

// The bounds.
const (
	Client  Bound = "client"  // the load generator
	Network Bound = "network" // what lies between them
	Proxy   Bound = "proxy"   // Weir
	Backend Bound = "backend"
	Nobody  Bound = "nobody" // nothing is at its limit
)

// Process is the CPU time of one party, its processes together, as numbers of CPUs.
type Process struct {
	Known   bool    `json:"known"`
	CPUs    float64 `json:"cpus"`                // that were busy
	Room    float64 `json:"cpus_allowed"`        // that it may use
	Busiest float64 `json:"busiest_thread_cpus"` // of its busiest thread; 0: not known
	Set     string  `json:"cpu_set,omitempty"`   // the CPUs that it may use, as 0,1; "": not known
}

// Stage is one stage of Weir's work, from a sample of its sessions and requests.
type Stage struct {
	Count float64       `json:"count"`
	Mean  time.Duration `json:"mean_ns"`
}

// Stages are those of the layer that carried the run.
type Stages struct {
	Connect   Stage `json:"connect"`    // to the backend, where a connection was made
	FirstByte Stage `json:"first_byte"` // from the request sent to the first byte of the response
	Deliver   Stage `json:"deliver"`    // from there to the last byte sent to the client
}

// Facts are the numbers of a run.
type Facts struct {
	Cores   int     `json:"cores"`        // of the machine; 0: not known
	Machine float64 `json:"machine_cpus"` // that were busy, whoever kept them so; 0: not known

	Client  Process `json:"client"`
	Proxy   Process `json:"proxy"`
	Backend Process `json:"backend"`

	Lateness      time.Duration `json:"lateness_ns"`       // of the client, p99; 0 in a closed loop
	LatenessLimit time.Duration `json:"lateness_limit_ns"` // 0: none

	Latency time.Duration `json:"latency_ns"`  // mean, as the client saw it; 0: there is none
	InProxy time.Duration `json:"in_proxy_ns"` // mean, as Weir saw it; 0: not known
	Stages  Stages        `json:"stages"`

	Bytes       float64 `json:"bytes_per_second"` // in the busier direction
	Link        float64 `json:"link_bytes_per_second"`
	Retransmits float64 `json:"retransmitted_share"` // of TCP segments, on this machine
}

// Verdict is what Judge says.
type Verdict struct {
	Bound Bound  `json:"bound"`
	Line  string `json:"line"` // for people
	Facts Facts  `json:"facts"`
}

const (
	saturated   = 0.9  // share of its CPUs from which on somebody has none left
	linkFull    = 0.9  // share of a link
	lossy       = 0.01 // share of segments sent again
	mostOf      = 0.5  // share of the latency that makes somebody its cause
	noteworthy  = 100 * time.Microsecond
	partialRoom = 0.01 // CPUs; less says nothing
)

// Judge says who bounds a run. A party without CPU left comes first, then a machine
// without, then the network's limits. Where nothing is at a limit, the one in which
// a request spends most of its time bounds those who wait for it.
func Judge(f Facts) Verdict {
	for _, rule := range []func(*Facts) (Bound, string){
		bySaturation, byLateness, bySharing, byMachine, byNetwork, byTime,
	} {
		if b, why := rule(&f); b != "" {
			return Verdict{b, fmt.Sprintf("bound by the %s: %s", b, why), f}
		}
	}
	const nobody = "bound by nobody: nothing is at its limit; more connections, or a higher rate, would tell"
	return Verdict{Nobody, nobody, f}
}

// load is how full a process is: of the CPUs it may use, or of one for a thread that
// does all the work.
func (p *Process) load() float64 {
	if !p.Known || p.Room < partialRoom {
		return 0
	}
	return max(p.CPUs/p.Room, p.Busiest)
}

// parties in the order in which a tie is decided: who is nearer to the client hides
// what is behind.
func (f *Facts) parties() []struct {
	Bound
	*Process
} {
	return []struct {
		Bound
		*Process
	}{{Client, &f.Client}, {Proxy, &f.Proxy}, {Backend, &f.Backend}}
}

func bySaturation(f *Facts) (Bound, string) {
	var who Bound
	var fullest Process
	var others []string
	for _, p := range f.parties() {
		if p.load() < saturated {
			continue
		}
		if who == "" || p.load() > fullest.load() {
			if who != "" {
				others = append(others, string(who))
			}
			who, fullest = p.Bound, *p.Process
			continue
		}
		others = append(others, string(p.Bound))
	}
	if who == "" {
		return "", ""
	}
	why := fmt.Sprintf("it used %.2f of its %.3g CPUs", fullest.CPUs, fullest.Room)
	if fullest.CPUs < saturated*fullest.Room {
		why = fmt.Sprintf("one of its threads used %.2f of a CPU", fullest.Busiest)
	}
	if len(others) > 0 {
		why += "; so did the " + strings.Join(others, " and the ") + ", nearly"
	}
	return who, why
}

func byLateness(f *Facts) (Bound, string) {
	if f.LatenessLimit == 0 || f.Lateness <= f.LatenessLimit {
		return "", ""
	}
	return Client, fmt.Sprintf("it sent %s late at the 99th percentile, its limit is %s",
		round(f.Lateness), f.LatenessLimit)
}

// bySharing is for parties that are pinned to the same CPUs: none has used all of
// them, together they have.
func bySharing(f *Facts) (Bound, string) {
	for _, p := range f.parties() {
		if !p.Known || p.Set == "" || p.Set == mixed || p.Room >= float64(f.Cores) {
			continue
		}
		sum, most, name := 0.0, 0.0, Bound("")
		var all []string
		for _, o := range f.parties() {
			if !o.Known || o.Set != p.Set {
				continue
			}
			all = append(all, "the "+string(o.Bound))
			if sum += o.CPUs; o.CPUs > most {
				most, name = o.CPUs, o.Bound
			}
		}
		if len(all) > 1 && sum >= saturated*p.Room {
			return name, fmt.Sprintf("%s together used %.2f of %.3g CPUs, and %.2f of them were its own",
				strings.Join(all, " and "), sum, p.Room, most)
		}
	}
	return "", ""
}

// byMachine is for parties that share CPUs: none has used all, together they have.
func byMachine(f *Facts) (Bound, string) {
	sum := f.Machine
	most, name := 0.0, Bound("")
	known := 0.0
	for _, p := range f.parties() {
		if !p.Known {
			continue
		}
		known += p.CPUs
		if p.CPUs > most {
			most, name = p.CPUs, p.Bound
		}
	}
	sum = max(sum, known)
	if f.Cores == 0 || name == "" || sum < saturated*float64(f.Cores) || known < mostOf*sum {
		return "", ""
	}
	return name, fmt.Sprintf("the machine used %.2f of its %d CPUs, and %.2f of them went to the %s",
		min(sum, float64(f.Cores)), f.Cores, most, name)
}

func byNetwork(f *Facts) (Bound, string) {
	switch {
	case f.Link > 0 && f.Bytes >= linkFull*f.Link:
		return Network, fmt.Sprintf("%.0f of %.0f MB/s of the link are in use", f.Bytes/1e6, f.Link/1e6)
	case f.Retransmits >= lossy:
		return Network, fmt.Sprintf("%.1f%% of the TCP segments were sent again", f.Retransmits*100)
	}
	return "", ""
}

// byTime looks for where a request spends most of its time.
func byTime(f *Facts) (Bound, string) {
	if f.Latency < noteworthy {
		return "", ""
	}
	s := &f.Stages
	waiting := s.FirstByte.Mean
	if s.FirstByte.Count > 0 {
		// Not every request needs a connection.
		waiting += time.Duration(float64(s.Connect.Mean) * min(1, s.Connect.Count/s.FirstByte.Count))
	}
	share := func(d time.Duration) bool { return float64(d) >= mostOf*float64(f.Latency) }
	of := func(d time.Duration) string { return fmt.Sprintf("%s of %s", round(d), round(f.Latency)) }
	switch {
	case share(waiting):
		return Backend, fmt.Sprintf("a request waits %s for it", of(waiting))
	case share(s.Deliver.Mean):
		return Network, fmt.Sprintf("a response takes %s on its way to the client", of(s.Deliver.Mean))
	case f.InProxy > 0 && share(f.Latency-f.InProxy):
		return Network, fmt.Sprintf("a request spends %s outside of the proxy and the backend", of(f.Latency-f.InProxy))
	case f.InProxy > 0 && share(f.InProxy-waiting-s.Deliver.Mean):
		return Proxy, fmt.Sprintf("a request spends %s in it", of(f.InProxy-waiting-s.Deliver.Mean))
	}
	return "", ""
}

// round cuts d to three digits or so, for people.
func round(d time.Duration) time.Duration {
	for unit := time.Second; unit > time.Nanosecond; unit /= 10 {
		if d >= unit {
			return d.Round(unit / 100)
		}
	}
	return d
}
