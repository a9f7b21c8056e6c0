package e2e

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestH2loadEveryBody: h2load with HTTP/1.1, without one answer missing or failed, for
// bodies of all framings and with several requests under way on a connection.
func TestH2loadEveryBody(t *testing.T) {
	t.Parallel()
	o, addr := startOrigin(t, "a"), freeAddr(t)
	startWeir(t, pool("app", o.addr)+web(addr, "app"))
	const n = 2000
	for path, size := range map[string]int{"bytes/0": 0, "bytes/128": 128, "bytes/65536": 65536, "chunked/20000": 20000} {
		for _, pipelined := range []int{1, 8} {
			what := fmt.Sprintf("%s, %d at a time on a connection", path, pipelined)
			out := command(t, nil, "h2load", "--h1", "-n", strconv.Itoa(n), "-c", "32", "-m", strconv.Itoa(pipelined),
				"http://"+addr+"/"+path)
			want := fmt.Sprintf("%[1]d succeeded, 0 failed, 0 errored, 0 timeout", n)
			if !strings.Contains(out, want) || !strings.Contains(out, fmt.Sprintf("status codes: %d 2xx", n)) {
				t.Errorf("h2load, %s:\n%s", what, out)
			}
			m := regexp.MustCompile(`, .* \((\d+)\) data`).FindStringSubmatch(out)
			if m == nil {
				t.Fatalf("h2load, %s:\n%s", what, out)
			}
			// h2load counts the framing of chunks as data.
			if got, _ := strconv.Atoi(m[1]); got < n*size || got > n*(size+1000) {
				t.Errorf("h2load, %s: %d bytes of data, want %d\n%s", what, got, n*size, out)
			}
		}
	}
}

// TestWrkReloads: wrk while configurations change, without one error.
func TestWrkReloads(t *testing.T) {
	t.Parallel()
	origin, addr := startNginx(t), freeAddr(t)
	w := startWeir(t, pool("app", origin)+web(addr, "app"))
	done := make(chan string)
	go func() {
		out, err := tryCommand(t, nil, "wrk", "-t", "1", "-c", "16", "-d", "3s", "http://"+addr+"/chunked")
		done <- fmt.Sprintf("%s%v", out, err)
	}()
	for reloads := 0; ; reloads++ {
		select {
		case out := <-done:
			m := regexp.MustCompile(`(\d+) requests in`).FindStringSubmatch(out)
			if m == nil || m[1] == "0" || strings.Contains(out, "Non-2xx") || strings.Contains(out, "Socket errors") {
				t.Errorf("wrk: %s", out)
			}
			if reloads == 0 {
				t.Error("not one reload meanwhile")
			}
			return
		default:
			if code, text := w.reload(t); code != 200 {
				t.Fatalf("reload: status %d, %s", code, text)
			}
		}
	}
}
