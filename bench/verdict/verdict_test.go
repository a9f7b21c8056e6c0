package verdict

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ms = time.Millisecond

func busy(cpus, room, busiest float64) Process { return Process{true, cpus, room, busiest, ""} }

// cpus is a machine of n CPUs, of which so many were busy in all.
func cpus(n int, busy float64) []float64 { return slices.Repeat([]float64{busy / float64(n)}, n) }

func TestJudge(t *testing.T) {
	f := func(facts Facts, want Bound, line string) {
		t.Helper()
		v := Judge(facts)
		if v.Bound != want || !strings.Contains(v.Line, line) || strings.Contains(v.Line, "\n") {
			t.Errorf("%s, want %s: %s", v.Line, want, line)
		}
		if _, err := json.Marshal(v); err != nil {
			t.Error(err)
		}
	}
	stages := func(connect, firstByte, deliver time.Duration) Stages {
		return Stages{Stage{10, connect}, Stage{100, firstByte}, Stage{100, deliver}}
	}

	// Somebody has no CPU left.
	f(Facts{Busy: cpus(8, 0), Client: busy(0.97, 1, 0.95), Proxy: busy(0.5, 4, 0.3)}, Client, "it used 0.97 of its 1 CPUs")
	f(Facts{Busy: cpus(8, 0), Client: busy(0.4, 1, 0.4), Proxy: busy(3.8, 4, 0.9)}, Proxy, "3.80 of its 4 CPUs")
	f(Facts{Busy: cpus(8, 0), Client: busy(0.4, 1, 0.4), Backend: busy(1.02, 4, 0.99)}, Backend, "one of its threads used 0.99")
	f(Facts{Busy: cpus(8, 0), Client: busy(0.92, 1, 0), Proxy: busy(0.99, 1, 0)}, Proxy, "so did the client, nearly")
	f(Facts{Busy: cpus(8, 0), Proxy: busy(0.99, 1, 0), Backend: busy(0.95, 1, 0)}, Proxy, "so did the backend, nearly")
	f(Facts{Busy: cpus(8, 0), Client: Process{CPUs: 5, Room: 1}}, Nobody, "nothing is at its limit")

	// The client was late for want of something else.
	f(Facts{Busy: cpus(8, 0), Lateness: 5 * ms, LatenessLimit: ms, Latency: 9 * ms}, Client, "it sent 5ms late")
	f(Facts{Busy: cpus(8, 0), Lateness: 5 * ms}, Nobody, "")

	// They are pinned to the same CPUs.
	on := func(set string, cpus float64) Process { return Process{true, cpus, 1, 0, set} }
	f(Facts{Busy: cpus(4, 0), Client: on("0", 0.6), Proxy: on("1", 0.7), Backend: on("0", 0.39)},
		Client, "the client and the backend together used 0.99 of 1 CPUs, and 0.60 of them were its own")
	f(Facts{Busy: cpus(4, 0), Client: on("0", 0.3), Proxy: on("1", 0.7), Backend: on("0", 0.65)}, Backend, "0.65 of them")
	f(Facts{Busy: cpus(4, 0), Client: on("0", 0.6), Proxy: on("1", 0.97), Backend: on("0", 0.39)}, Proxy, "0.97 of its 1 CPUs")
	f(Facts{Busy: cpus(4, 0), Client: on("0", 0.6), Proxy: on("1", 0.7), Backend: on("2", 0.39)}, Nobody, "")
	f(Facts{Busy: cpus(4, 0), Client: on(mixed, 0.6), Proxy: on(mixed, 0.6)}, Nobody, "")

	// Other programs take CPU away from them, which leaves a fair share.
	noisy := []float64{1, 1}
	f(Facts{Busy: noisy, Proxy: on("1", 0.5), Client: on("0", 0.2)},
		Proxy, "it used 0.50 of its 1 CPUs, and other programs 0.50")
	f(Facts{Busy: noisy, Proxy: on("1", 0.1), Client: on("0", 0.3)}, Client, "0.30 of its 1 CPUs")
	f(Facts{Busy: noisy, Proxy: on("1", 0.1), Client: on("0", 0.1)}, Nobody, "")
	f(Facts{Busy: noisy, Proxy: on("1", 0.1), Client: on("0", 0.2), Backend: on("0", 0.3)},
		Backend, "the client and the backend together used 0.50")

	// They share the machine.
	f(Facts{Busy: cpus(2, 0), Client: busy(0.6, 2, 0), Proxy: busy(0.9, 2, 0), Backend: busy(0.4, 2, 0)},
		Proxy, "used 1.90 of its 2 CPUs, and 0.90 of them went to the proxy")
	f(Facts{Busy: cpus(2, 2), Client: busy(1.1, 2, 0), Proxy: busy(0.5, 2, 0)}, Client, "2.00 of its 2 CPUs")
	f(Facts{Busy: cpus(2, 2), Client: busy(0.1, 2, 0), Proxy: busy(0.2, 2, 0)}, Nobody, "") // others did it

	// The network.
	f(Facts{Busy: cpus(8, 0), Bytes: 118e6, Link: 125e6}, Network, "118 of 125 MB/s")
	f(Facts{Busy: cpus(8, 0), Bytes: 60e6, Link: 125e6}, Nobody, "")
	f(Facts{Busy: cpus(8, 0), Retransmits: 0.03}, Network, "3.0% of the TCP segments")

	// Nothing is full: where does the time go?
	idle := busy(0.1, 4, 0.1)
	at := func(latency, in time.Duration, s Stages) Facts {
		return Facts{Busy: cpus(8, 0), Client: idle, Proxy: idle, Latency: latency, InProxy: in, Stages: s}
	}
	f(at(21*ms, 20*ms+ms/2, stages(0, 20*ms, ms/10)), Backend, "waits 20ms of 21ms for it")
	f(at(21*ms, 20*ms, stages(100*ms, 9*ms, ms/10)), Backend, "waits 19ms of 21ms")
	f(at(21*ms, 20*ms, stages(100*ms, ms/2, ms/10)), Backend, "waits 10.5ms of 21ms") // a tenth connects
	f(at(50*ms, 49*ms, stages(0, ms, 45*ms)), Network, "takes 45ms of 50ms on its way to the client")
	f(at(50*ms, 2*ms, stages(0, ms, ms/2)), Network, "spends 48ms of 50ms outside")
	f(at(20*ms, 19*ms, stages(0, ms, ms/2)), Proxy, "spends 17.5ms of 20ms in it")
	f(at(20*ms, 19*ms, Stages{}), Nobody, "") // no sample
	f(at(ms/20, ms/25, stages(0, ms/30, 0)), Nobody, "more connections, or a higher rate")
	f(at(3*ms, 2*ms, stages(0, ms, ms/2)), Nobody, "")
	f(Facts{}, Nobody, "")
}

// page is a page of metrics after n hundred requests, each of which waited 20 ms.
func page(n int) string {
	return fmt.Sprintf(`# TYPE weir_backend_up gauge
weir_backend_up{pool="app",backend="127.0.0.1:3000"} 1
weir_backend_up{pool="app",backend="unix:/run/app.sock"} 1
weir_l7_request_seconds_sum{listener="web",route="*"} %g
weir_l7_request_seconds_count{listener="web",route="*"} %d
weir_stage_seconds_sum{layer="l4",stage="first_byte"} 0
weir_stage_seconds_count{layer="l4",stage="first_byte"} 0
weir_stage_seconds_sum{layer="l7",stage="first_byte"} %g
weir_stage_seconds_count{layer="l7",stage="first_byte"} %d
`, float64(n)*2.1, n*100, float64(n)*0.04, n*2)
}

func TestWatch(t *testing.T) {
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, page(int(asked.Add(1))))
	}))
	defer s.Close()
	wait := Watch(t.Context(), Source{Admin: s.URL + "/", Find: func(a netip.AddrPort) []int {
		if a.String() == strings.TrimPrefix(s.URL, "http://") {
			return []int{os.Getpid()}
		}
		if a.Port() == 3000 {
			return []int{1, os.Getpid()}
		}
		t.Errorf("asked for %s", a)
		return nil
	}}, 0, 200*ms)
	for end := time.Now().Add(300 * ms); time.Now().Before(end); { // so that there is CPU time to see
	}
	got, err := wait()
	if err != nil {
		t.Fatal(err)
	}
	if got.InProxy != 21*ms || got.Stages.FirstByte != (Stage{2, 20 * ms}) || got.Stages.Connect.Count != 0 {
		t.Errorf("in the proxy %s, stages %+v", got.InProxy, got.Stages)
	}
	if !got.Proxy.Known || got.Proxy.CPUs <= 0 || got.Proxy.Room < 1 || len(got.Busy) < 1 {
		t.Errorf("%+v", got)
	}
	if !got.Backend.Known {
		t.Error("the backend's process is not known")
	}
}

func TestWatchFails(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	defer gone.Close()
	if _, err := Watch(t.Context(), Source{Admin: gone.URL}, time.Hour, time.Hour)(); err == nil ||
		!strings.Contains(err.Error(), "status 404") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, page(1)) }))
	defer good.Close()
	if _, err := Watch(ctx, Source{Admin: good.URL}, 0, time.Hour)(); err == nil {
		t.Error("an interrupted watch has no error")
	}
}

func TestTables(t *testing.T) {
	got := busyTimes([]byte("cpu  99 1 1 1\ncpu0 10 1 20 1000 5 1 2 3 4 5\ncpu1 1 1 1 1\nintr 5\n"))
	if !slices.Equal(got, []time.Duration{37 * clockTick, 3 * clockTick}) {
		t.Errorf("busy for %s, want 37 and 3 ticks", got)
	}
	sent, again := segments([]byte("Ip: a b\nIp: 1 2\nTcp: InSegs OutSegs RetransSegs\nTcp: 5 100 7\nUdp: x\nUdp: 1\n"))
	if sent != 100 || again != 7 {
		t.Errorf("%v segments, %v again", sent, again)
	}
	if sent, again = segments(nil); sent != 0 || again != 0 {
		t.Errorf("%v segments, %v again", sent, again)
	}
}
