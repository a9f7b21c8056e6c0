package bench

import (
	"slices"
	"strings"
	"testing"
	"time"

	"weir/bench/load"
	"weir/bench/peers"
	"weir/bench/report"
	"weir/conf"
)

func TestBuiltInScenarios(t *testing.T) {
	names := Scenarios()
	if len(names) < 13 {
		t.Errorf("only %d scenarios", len(names))
	}
	for _, name := range names {
		s, err := Scenario(name)
		if err != nil {
			t.Errorf("%s:\n%v", name, err)
			continue
		}
		if text := jobText(s); !strings.HasPrefix(text, "Front "+s.Front) {
			t.Errorf("%s: %q", name, text)
		}
	}
	f := func(name, want string) {
		t.Helper()
		if _, err := Scenario(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	f("l7-smal", `unknown scenario "l7-smal": expected NAME.toml or one of l4-bulk, `)
	f("none.toml", "none.toml: cannot read the scenario")
}

func parse(t *testing.T, text string) *conf.Scenario {
	t.Helper()
	s, err := conf.ParseScenario("x.toml", []byte("name = \"x\"\nshows = \"x\"\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestLoadArgs states what is run for a scenario; the command line itself is
// compared in cmd/weir, by running it.
func TestLoadArgs(t *testing.T) {
	f := func(scenario string, due int, want string) {
		t.Helper()
		if got := strings.Join(loadArgs(parse(t, scenario), "A:1", due), " "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	const end = " -c 1 -d 5s --warmup 1s"
	f("front=\"http\"\nworkload={kind=\"http1\"}\norigin={kind=\"http\"}", 0,
		"bench run --http http://A:1/ --length 128"+end)
	f("front=\"https\"\nworkload={kind=\"http1\",send=\"1KiB\"}\norigin={kind=\"http\",body=5}", 0,
		"bench run --http https://A:1/ --length 5 --host bench.test --size 1024"+end)
	f("front=\"sni\"\nworkload={kind=\"tls\"}\norigin={kind=\"https\"}", 0, "bench run --tls A:1 --sni bench.test"+end)
	f("front=\"http\"\nworkload={kind=\"websocket\",send=125}\norigin={kind=\"h2c\"}", 0,
		"bench run --ws ws://A:1/ --size 125"+end)
	f("front=\"tcp\"\nworkload={kind=\"tcp\",reconnect=true}\norigin={kind=\"echo\"}", 70,
		"bench run --tcp A:1 --reconnect"+end+" --rate 70 --late 10ms")
	f("front=\"udp\"\nworkload={kind=\"udp\"}\norigin={kind=\"udp-echo\"}", 0, "bench run --udp A:1"+end)
	f("front=\"tcp\"\nworkload={kind=\"download\"}\norigin={kind=\"source\"}", 0, "bench run --download A:1"+end)
	f("front=\"http\"\nworkload={kind=\"http1\"}\norigin={kind=\"http\",address=\"10.0.0.1:1\"}", 0,
		"bench run --http http://A:1/"+end)
}

func TestLayout(t *testing.T) {
	l, err := layoutOf(&conf.ScenarioCores{})
	if err != nil {
		t.Fatal(err)
	}
	if len(l.proxy) != 1 || len(l.origin) != 1 || !slices.Equal(l.generator, l.origin) {
		t.Errorf("got %s", l)
	}
	if _, err := layoutOf(&conf.ScenarioCores{Proxy: []int{1023}}); err == nil {
		t.Error("CPU 1023 was accepted")
	}
	if text := (layout{[]int{0}, []int{0}, []int{0, 1}}).String(); !strings.Contains(text, "is not alone") {
		t.Errorf("got %q", text)
	}
}

// TestCompareNginxPlayers: who takes part, and who is left out with a reason.
func TestCompareNginxPlayers(t *testing.T) {
	f := func(front string, wanted []string, want string, leftOut int) {
		t.Helper()
		var there []*peers.Peer
		for _, name := range []string{"nginx"} {
			p, err := peers.Find(t.Context(), name, "")
			if err != nil {
				t.Fatal(err)
			}
			there = append(there, p)
		}
		m := &match{
			contest: &Contest{Peers: there}, s: &conf.Scenario{Front: front, Peers: wanted}, out: &report.Scenario{},
		}
		var names []string
		for _, p := range m.players() {
			names = append(names, p.Name)
		}
		if got := strings.Join(names, " "); got != want || len(m.out.LeftOut) != leftOut || len(m.out.Proxies) != len(names) {
			t.Errorf("%s %q: got %q without %q", front, wanted, got, m.out.LeftOut)
		}
	}
	f("tcp", nil, "nginx", 0)
	f("tcp", []string{"weir", "nginx", "haproxy"}, "nginx", 2)
	f("tcp", []string{"haproxy"}, "", 2)
}

func TestFill(t *testing.T) {
	s := &conf.Scenario{Workload: conf.ScenarioWorkload{Kind: "http1"}}
	s.Objective.P99 = 2 * time.Millisecond
	res := &load.Result{
		Rate: 100, Answered: 500, Target: &load.CPU{PerRequest: 7, Share: 0.5}, Error: "read 127.0.0.1:4: broken",
		Latency: load.Distribution{P50: 10, P99: 2001, P999: 3000}, Failed: load.Failures{Closed: 2},
	}
	for i := range 1000 {
		res.Latency.Curve = append(res.Latency.Curve, load.Point{Quantile: float64(i) / 1000, Value: 1})
	}
	var r report.Round
	fill(&r, s, res)
	if r.CPU != 7 || r.Rate != 100 || r.P99 != 2001 || r.Failed != 2 || r.Busy != 0.5 || len(r.Curve) > maxCurve+1 {
		t.Errorf("got %+v", r)
	}
	want := []string{
		"missed the objective: p99 above 2ms", "missed the objective: more than 0 requests failed",
		"first error: read ADDRESS broken",
	}
	if !slices.Equal(r.Missed, want) {
		t.Errorf("got %q, want %q", r.Missed, want)
	}

	s = &conf.Scenario{Workload: conf.ScenarioWorkload{Kind: "download"}}
	r = report.Round{}
	fill(&r, s, &load.Result{RateIn: 2e9, Target: &load.CPU{PerByte: 0.5}, Latency: load.Distribution{P50: 1}})
	if r.Rate != 2 || r.CPU != 5e5 || r.P50 != 0 || len(r.Missed) != 0 {
		t.Errorf("got %+v", r)
	}
	r = report.Round{}
	if fill(&r, s, &load.Result{}); len(r.Invalid) != 1 {
		t.Errorf("a run whose CPU is not known is valid: %+v", r)
	}
}

func TestMachine(t *testing.T) {
	m := machine()
	if m.CPUs < 1 || m.Memory < 1<<20 || !strings.HasPrefix(m.Kernel, "Linux ") {
		t.Errorf("got %+v", m)
	}
	if self := pssOf([]int{1 << 30}); self != 0 {
		t.Errorf("a process that is not there has %d bytes", self)
	}
}
