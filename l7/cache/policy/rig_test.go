package policy

import (
	"strings"
	"testing"
	"time"

	"weir/l7/message"
)

// now is when responses of these tests come in, unless they say otherwise.
var now = time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)

// date is now as an HTTP date, later or earlier by some seconds.
func date(seconds int) string {
	return now.Add(time.Duration(seconds) * time.Second).Format(message.TimeFormat)
}

// request parses a request for http://example.com/a: lines are its fields, parted by
// "\n"; the first may be a request line.
func request(t testing.TB, lines string) *message.Request {
	t.Helper()
	start, rest, _ := strings.Cut(lines, "\n")
	if !strings.HasSuffix(start, " HTTP/1.1") {
		start, rest = "GET /a HTTP/1.1", lines
	}
	text := start + "\r\n"
	if !strings.Contains(strings.ToLower(lines), "host:") {
		text += "Host: example.com\r\n"
	}
	text += crlf(rest) + "\r\n"
	r := new(message.Request)
	if n, err := r.Parse([]byte(text), nil); err != nil || n != len(text) {
		t.Fatalf("%q: %d of %d, %v", text, n, len(text), err)
	}
	return r
}

// response parses a response: lines are its fields, the first may be "status: 404".
func response(t testing.TB, lines string) *message.Response {
	t.Helper()
	status := "200"
	if rest, ok := strings.CutPrefix(lines, "status: "); ok {
		status, lines, _ = strings.Cut(rest, "\n")
	}
	text := "HTTP/1.1 " + status + " OK\r\n" + crlf(lines) + "\r\n"
	r := new(message.Response)
	if n, err := r.Parse([]byte(text), []byte("GET"), nil); err != nil || n != len(text) {
		t.Fatalf("%q: %d of %d, %v", text, n, len(text), err)
	}
	return r
}

func crlf(lines string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(lines, "\n") {
		if line != "" {
			b.WriteString(line + "\r\n")
		}
	}
	return b.String()
}

// stored is a response in a cache.
type stored struct {
	meta Meta
	why  Reason
	head Head
}

// store judges a response to a plain GET that came in now and stores it all the same.
func store(t testing.TB, cfg *Config, lines string) stored {
	t.Helper()
	res := response(t, lines)
	m, why := Judge(cfg, request(t, ""), res, now, now)
	return stored{m, why, AppendHead(nil, cfg, res, now)}
}

func after(seconds float64) time.Time { return now.Add(time.Duration(seconds * float64(time.Second))) }
