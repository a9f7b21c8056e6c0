package bench

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

const wrkText = `Running 2s test @ http://127.0.0.1:35655/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   249.37us  142.56us   7.05ms   97.42%
  Latency Distribution
     50%  212.00us
     75%  240.00us
     90%  300.00us
     99%    1.50ms
  258019 requests in 2.00s, 56.35MB read
Requests/sec: 128296.61
Transfer/sec:     28.02MB
`

const h2loadText = `starting benchmark...
finished in 2.00s, 26000.50 req/s, 4.00MB/s
requests: 52001 total, 52065 started, 52001 done, 52001 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 52001 2xx, 0 3xx, 0 4xx, 0 5xx
`

const iperfText = `{"start": {}, "end": {"sum_sent": {"bytes": 9e9, "bits_per_second": 9e9},
	"sum_received": {"bytes": 4000000000, "bits_per_second": 16000000000}}}`

func TestReadRivals(t *testing.T) {
	f := func(r rival, text, want string) {
		t.Helper()
		s, err := r.read(output{command: r.program, stdout: []byte(text), cpu: 2 * time.Second})
		got := fmt.Sprintf("%.2f/s %.3f us p50 %.0f p99 %.0f", s.Rate, s.CPU, s.P50, s.P99)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", r.program, got, want)
		}
	}
	f(wrk, wrkText, "128296.61/s 7.751 us p50 212 p99 1500")
	f(wrk, wrkText+"  Non-2xx or 3xx responses: 7\n", "wrk says: Non-2xx or 3xx responses: 7")
	f(wrk, strings.Replace(wrkText, "Requests/sec", "  Socket errors: connect 0, read 3\nRequests/sec", 1), "Socket errors")
	f(wrk, "unable to connect", "cannot find a rate")
	f(h2load, h2loadText, "26000.50/s 38.461 us")
	f(h2load, strings.Replace(h2loadText, "0 failed", "3 failed", 1), "h2load says")
	f(h2load, "", "h2load says")
	f(iperf, iperfText, "2000.00/s 500.000 us")
	f(iperf, `{"error": "unable to connect"}`, "iperf3 says: unable to connect")
	f(iperf, "nonsense", "cannot read")
}

func TestMedian(t *testing.T) {
	f := func(want float64, values ...float64) {
		t.Helper()
		if got := median(values); got != want {
			t.Errorf("median of %v: %v, want %v", values, got, want)
		}
	}
	f(3, 3)
	f(2, 3, 1)
	f(2, 9, 1, 2)
}

func TestCalibrateRefuses(t *testing.T) {
	for _, o := range []Options{{Rounds: -1}, {Rounds: maxRounds + 1}, {Time: time.Millisecond}, {Time: maxTime + 1}} {
		if _, err := Calibrate(t.Context(), o); err == nil || !strings.Contains(err.Error(), "expected 1 to 100") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestWriteTable(t *testing.T) {
	c := &Calibration{
		Rounds: 2, Time: 2, Missing: []string{"h2load"},
		Comparisons: []Comparison{{
			Job: "http1", Unit: requests, Rival: "wrk", Reason: "a reason.",
			Ours:   []Sample{{Rate: 98, CPU: 5, P99: 70}, {Rate: 104, CPU: 5, P99: 70}},
			Theirs: []Sample{{Rate: 100, CPU: 10, P99: 80}, {Rate: 100, CPU: 10, P99: 80}},
		}},
		Proxy: &ProxyShare{
			Proxy: nginx, Generator: []float64{8}, Target: []float64{20},
			Rival: "wrk", Theirs: []float64{9}, TargetOf: []float64{18},
		},
	}
	var b strings.Builder
	if err := c.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| job   | against |", "| 1.010 | 0.980-1.040 | 2.00         | 70 µs    | 80 µs ", "| 5.00 µs/request |",
		"- http1 against wrk: a reason.", "| weir      | 8.00 µs | 20.00 µs     | 0.40  |", "| wrk       | 9.00 µs | 18.00 µs     | 0.50  |",
		"not installed: h2load",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if err := c.WriteTable(failing{}); err == nil {
		t.Error("an error of the writer was lost")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("full") }
