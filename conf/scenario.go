package conf

import (
	"path/filepath"
	"slices"
	"time"
)

// Scenario is one measurement, as a file of the bench lab describes it: what the
// proxies do, what is sent through them, and where everything runs. A Scenario
// returned by LoadScenario is complete and is never changed after that.
type Scenario struct {
	Name        string
	Shows       string // what a reader learns from it, one sentence
	Front       string // what the proxies are: http, https, cache, gzip, files, tcp, udp, sni
	Peers       []string
	Connections int
	Rate        int   // requests due per second; 0: a closed loop
	Open        []int // percent of the slowest proxy's best, for runs in an open loop
	Curve       []int // percent of each proxy's own best, for one run each in an open loop
	Scale       int   // CPUs of the proxy in further rounds; 0: none
	Duration    time.Duration
	Warmup      time.Duration
	Workload    ScenarioWorkload
	Origin      ScenarioOrigin
	Cores       ScenarioCores
	Objective   ScenarioObjective
}

// ScenarioWorkload is [workload]: what is done on each connection.
type ScenarioWorkload struct {
	Kind      string // http1, websocket, tcp, udp, download, upload, tls, idle
	Send      Size   // of a request body or a message; 0: the kind's default
	Reconnect bool   // a new connection for each request
	Hold      []int  // idle: numbers of connections at which memory is read
}

// ScenarioOrigin is [origin]: the server behind the proxies.
type ScenarioOrigin struct {
	Kind    string        // of the built-in origin: http, h2c, https, echo, source, sink, udp-echo
	Body    Size          // of an HTTP response
	Content string        // of it: bytes, json
	MaxAge  time.Duration // for which caches may keep it; 0: nothing is said of it
	Address Addr          // of an origin that runs elsewhere; zero: the built-in one
}

// ScenarioCores is [cores]: which CPUs each part may use. Nil: chosen at the run.
type ScenarioCores struct {
	Generator []int
	Origin    []int
	Proxy     []int
}

// ScenarioObjective is [objective]: when a run counts as good.
type ScenarioObjective struct {
	P99    time.Duration // 0: no bound
	Failed int           // requests that may fail
}

// LoadScenario reads and checks the scenario at path. The error is Problems, also
// where the file cannot be read.
func LoadScenario(path string) (*Scenario, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, whole(path, "cannot find the working directory: %v", err)
	}
	text, err := readFile(abs)
	if err != nil {
		return nil, whole(path, "cannot read the scenario: %v", cause(err))
	}
	return ParseScenario(path, text)
}

// ParseScenario checks a scenario held in memory; name stands for the file in
// problems. The error is Problems: all mistakes of the text, or after a syntax
// error only that.
func ParseScenario(name string, src []byte) (*Scenario, error) {
	if len(src) > maxFile {
		return nil, whole(name, "the scenario is larger than the allowed %s", Size(maxFile))
	}
	dir, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		return nil, whole(name, "cannot find the working directory: %v", err)
	}
	t := scenarioTable()
	b := newBinder(name, dir, src, t.info)
	root, ok := decode(b.report)
	if !ok {
		return nil, b.problems()
	}
	s := &Scenario{}
	t.absent(b, s)
	t.bind(b, s, root)
	checkScenario(b, s)
	if ps := b.problems(); ps != nil {
		return nil, ps
	}
	return s, nil
}

// scenarioKinds says which workloads and which origins make sense behind a front.
var scenarioKinds = []struct {
	front             string
	workloads, origin []string
}{
	{"http", []string{"http1", "websocket", "idle"}, []string{"http", "h2c"}},
	{"cache", []string{"http1"}, []string{"http"}},
	{"gzip", []string{"http1"}, []string{"http"}},
	{"files", []string{"http1"}, []string{"http"}},
	{"https", []string{"http1", "websocket", "tls", "idle"}, []string{"http", "h2c"}},
	{"tcp", []string{"tcp", "download", "upload", "idle"}, []string{"echo", "source", "sink"}},
	{"udp", []string{"udp"}, []string{"udp-echo"}},
	{"sni", []string{"http1", "tls"}, []string{"https"}},
}

// originsOf says which origins can answer a workload behind any front.
var originsOf = map[string][]string{
	"http1":     {"http", "h2c", "https"},
	"websocket": {"h2c"},
	"tcp":       {"echo"},
	"udp":       {"udp-echo"},
	"download":  {"source"},
	"upload":    {"sink"},
	"tls":       {"http", "h2c", "https"},
}

// checkScenario finds what no single key shows.
func checkScenario(b *binder, s *Scenario) {
	for _, k := range scenarioKinds {
		if k.front != s.Front || s.Workload.Kind == "" {
			continue
		}
		b.fits(&s.Workload.Kind, "kind", s.Workload.Kind, k.workloads, "front "+s.Front)
		if s.Origin.Address.IsZero() {
			b.fits(&s.Origin.Kind, "kind", s.Origin.Kind, k.origin, "front "+s.Front)
		}
	}
	w := &s.Workload
	if origins, ok := originsOf[w.Kind]; ok && s.Origin.Address.IsZero() {
		b.fits(&s.Origin.Kind, "kind", s.Origin.Kind, origins, "workload "+w.Kind)
	}
	idle := w.Kind == "idle"
	if idle && len(w.Hold) == 0 && !b.has(&w.Hold) {
		b.add(b.at(&w.Kind), "", "kind: idle also needs hold, the numbers of connections at which memory is read")
	}
	if !idle && b.has(&w.Hold) {
		b.add(b.at(&w.Hold), "", "hold: it is for the workload idle")
	}
	if !slices.IsSorted(w.Hold) {
		b.add(b.at(&w.Hold), "", "hold: the numbers must grow")
	}
	if s.Rate > 0 && (idle || w.Kind == "download" || w.Kind == "upload") {
		b.add(b.at(&s.Rate), "", "rate: the workload %s has no requests that could be due", w.Kind)
	}
	closed := s.Rate == 0 && !idle && w.Kind != "download" && w.Kind != "upload"
	if len(s.Open) > 0 && !closed {
		b.add(b.at(&s.Open), "", "open: it is for requests in a closed loop, whose best is to be known first")
	}
	if len(s.Curve) > 0 && !closed {
		b.add(b.at(&s.Curve), "", "curve: it is for requests in a closed loop, whose best is to be known first")
	}
	if idle && s.Scale > 0 {
		b.add(b.at(&s.Scale), "", "scale: the workload idle uses no CPU")
	}
	if w.Send > 0 && !slices.Contains([]string{"http1", "websocket", "tcp", "udp"}, w.Kind) {
		b.add(b.at(&w.Send), "", "send: the workload %s sends no messages", w.Kind)
	}
}

// fits reports a word that is known and makes no sense together with another.
func (b *binder) fits(field any, key, word string, allowed []string, with string) {
	if word == "" || slices.Contains(allowed, word) {
		return
	}
	f := bad("%q does not go with %s: expected one of %q", word, with, allowed)
	if len(allowed) == 1 {
		f = f.meant(allowed[0])
	}
	b.fault(b.at(field), key, f)
}
