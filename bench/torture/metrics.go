package torture

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// metrics are the samples of one scrape by their series, labels included.
type metrics map[string]float64

// sum adds up the samples of a metric, all label sets together.
func (m metrics) sum(name string) float64 {
	sum := 0.0
	for series, v := range m {
		if series == name || strings.HasPrefix(series, name+"{") {
			sum += v
		}
	}
	return sum
}

func parseMetrics(r io.Reader) (metrics, error) {
	m := metrics{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || line[0] == '#' {
			continue
		}
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("cannot read the sample %q: %w", line, err)
		}
		m[line[:at]] = v
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("cannot read the metrics: %w", err)
	}
	return m, nil
}

// adminClient keeps no connection, so that it does not show in what Weir uses.
var adminClient = &http.Client{
	Timeout:   30 * time.Second,
	Transport: &http.Transport{DisableKeepAlives: true},
}

// call asks the admin side.
func (w *child) call(ctx context.Context, method, path string) (status int, text string, err error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+w.admin+path, nil)
	if err != nil {
		return 0, "", fmt.Errorf("cannot ask %s: %w", w.admin, err)
	}
	if w.token != "" {
		r.Header.Set("Authorization", "Bearer "+w.token)
	}
	resp, err := adminClient.Do(r)
	if err != nil {
		return 0, "", fmt.Errorf("cannot ask %s: %w", w.admin, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	b, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return 0, "", fmt.Errorf("cannot read the answer of %s: %w", w.admin, err)
	}
	return resp.StatusCode, string(b), nil
}

func (w *child) metrics(ctx context.Context) (metrics, error) {
	status, text, err := w.call(ctx, http.MethodGet, "/metrics")
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("cannot read the metrics: status %d", status)
	}
	return parseMetrics(strings.NewReader(text))
}

// Usage is what a process must give back.
type Usage struct {
	Goroutines  int64 `json:"goroutines"`
	Descriptors int64 `json:"descriptors"` // without pipes
	Pipes       int64 `json:"pipes"`       // ends of pipes; idle ones are kept for the next bulk transfer
	Heap        int64 `json:"heap_bytes"`  // allocated
	Resident    int64 `json:"resident_bytes"`
	Buffers     int64 `json:"buffer_bytes"` // live ones of the pool
}

func (w *child) usage(ctx context.Context) (Usage, error) {
	m, err := w.metrics(ctx)
	if err != nil {
		return Usage{}, err
	}
	pipes := w.pipes()
	return Usage{
		Goroutines:  int64(m["go_goroutines"]),
		Descriptors: int64(m["process_open_fds"]) - pipes,
		Pipes:       pipes,
		Heap:        int64(m["go_memstats_heap_alloc_bytes"]),
		Resident:    int64(m["process_resident_memory_bytes"]),
		Buffers:     int64(m.sum("weir_pool_buffer_live_bytes")),
	}, nil
}
