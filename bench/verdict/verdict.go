// Package verdict says what bounds a run against Weir: the client, the network, the
// proxy or the backend. [Judge] is a function of numbers; [Watch] collects them, from
// Weir's own metrics and from /proc.
package verdict

import (
	"fmt"
	"slices"
	"strconv"
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
	// Busy is how busy each CPU of the machine was, whoever kept it so; empty: not known.
	Busy []float64 `json:"busy_cpus"`

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
	fairShare   = 0.25 // of its CPUs: what other programs leave to somebody, however busy they are
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

// cpus are the numbers of the CPUs that a process may use; nil: not known.
func (p *Process) cpus() (numbers []int) {
	for word := range strings.SplitSeq(p.Set, ",") {
		n, err := strconv.Atoi(word)
		if err != nil {
			return nil
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// others is how much of a party's CPUs went to programs that are no party.
func (f *Facts) others(p *Process) float64 {
	mine := p.cpus()
	busy := 0.0
	for _, n := range mine {
		if n < len(f.Busy) {
			busy += f.Busy[n]
		}
	}
	for _, o := range f.parties() {
		theirs := o.cpus()
		both := 0
		for _, n := range theirs {
			if slices.Contains(mine, n) {
				both++
			}
		}
		if o.Known && both > 0 {
			busy -= o.CPUs * float64(both) / float64(len(theirs))
		}
	}
	return max(busy, 0)
}

// load is how full a party is: of the CPUs it may use, less what other programs took
// of them, or of one CPU for a thread that does all the work.
func (f *Facts) load(p *Process) float64 {
	if !p.Known || p.Room < partialRoom {
		return 0
	}
	room := p.Room
	if cpus := p.cpus(); len(cpus) > 0 {
		room = max(min(room, float64(len(cpus))-f.others(p)), fairShare*room)
	}
	return max(p.CPUs/room, p.Busiest)
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
	most := 0.0
	var others []string
	for _, p := range f.parties() {
		load := f.load(p.Process)
		if load < saturated {
			continue
		}
		if who == "" || load > most {
			if who != "" {
				others = append(others, string(who))
			}
			who, fullest, most = p.Bound, *p.Process, load
			continue
		}
		others = append(others, string(p.Bound))
	}
	if who == "" {
		return "", ""
	}
	why := fmt.Sprintf("it used %.2f of its %.3g CPUs", fullest.CPUs, fullest.Room)
	switch {
	case fullest.CPUs >= saturated*fullest.Room:
	case fullest.Busiest >= saturated:
		why = fmt.Sprintf("one of its threads used %.2f of a CPU", fullest.Busiest)
	default:
		why += fmt.Sprintf(", and other programs %.2f", f.others(&fullest))
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
		if !p.Known || p.Set == "" || p.Set == mixed || p.Room >= float64(len(f.Busy)) {
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
		if len(all) > 1 && sum >= saturated*(p.Room-f.others(p.Process)) && sum >= fairShare*p.Room {
			return name, fmt.Sprintf("%s together used %.2f of %.3g CPUs, and %.2f of them were its own",
				strings.Join(all, " and "), sum, p.Room, most)
		}
	}
	return "", ""
}

// byMachine is for parties that share CPUs: none has used all, together they have.
func byMachine(f *Facts) (Bound, string) {
	sum, cores := 0.0, float64(len(f.Busy))
	for _, b := range f.Busy {
		sum += b
	}
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
	if cores == 0 || name == "" || sum < saturated*cores || known < mostOf*sum {
		return "", ""
	}
	return name, fmt.Sprintf("the machine used %.2f of its %g CPUs, and %.2f of them went to the %s",
		min(sum, cores), cores, most, name)
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
	case s.FirstByte.Count == 0: // too few requests for a sample: what is in the proxy may be the backend's
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
