package message

import (
	"fmt"
	"strings"
	"testing"
)

func dumpResponse(r *Response) string {
	var b strings.Builder
	fmt.Fprintf(&b, "1.%d %d %q %s %d", r.Minor, r.Status, r.Reason, r.Framing, r.ContentLength)
	if r.KeepAlive {
		b.WriteString(" keep-alive")
	}
	if r.WebSocket {
		b.WriteString(" websocket")
	}
	for _, f := range r.Fields {
		mark := ""
		if f.Hop {
			mark = "!"
		}
		fmt.Fprintf(&b, " %s%s=%q", mark, f.Name, f.Value)
	}
	return b.String()
}

func responseOutcome(method, in string, step int, lim *Limits) string {
	var r Response
	for end := min(step, len(in)); ; end = min(end+step, len(in)) {
		n, err := r.Parse([]byte(in[:end]), []byte(method), lim)
		if err != nil {
			return errorText(err)
		}
		if n > 0 {
			return fmt.Sprintf("%d %s", n, dumpResponse(&r))
		}
		if end == len(in) {
			return "more"
		}
	}
}

func TestResponse(t *testing.T) {
	method := "GET"
	f := func(in, want string) {
		t.Helper()
		got := responseOutcome(method, in, len(in)+1, nil)
		if got != want && got != fmt.Sprint(len(in), " ", want) {
			t.Errorf("%q\ngot  %s\nwant %s", in, got, want)
		}
		for step := 1; step < len(in); step++ {
			if split := responseOutcome(method, in, step, nil); split != got {
				t.Errorf("%q in steps of %d\ngot  %s\nwant %s", in, step, split, got)
			}
		}
	}
	f("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", `1.1 200 "OK" length 5 keep-alive Content-Length="5"`)
	f("HTTP/1.1 200 \r\n\r\n", `1.1 200 "" close -1`)
	f("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", `1.1 200 "" length 0 keep-alive Content-Length="0"`)
	f("HTTP/1.1 404 Not \xc3\xa9 Found\r\nTransfer-Encoding: chunked\r\n\r\n",
		`1.1 404 "Not é Found" chunked -1 keep-alive !Transfer-Encoding="chunked"`)
	f("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", `1.0 200 "OK" length 1 Content-Length="1"`)
	f("HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: Keep-Alive\r\n\r\n",
		`1.0 200 "OK" length 1 keep-alive Content-Length="1" !Connection="Keep-Alive"`)
	f("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close, X_y\r\nX_Y: 1\r\nx_z: 2\r\n\r\n",
		`1.1 200 "OK" length 1 Content-Length="1" !Connection="close, X_y" !X_Y="1" x_z="2"`)
	f("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
		`1.1 204 "No Content" none -1 !Content-Length="5"`)
	f("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
		`1.1 204 "No Content" none -1 keep-alive !Content-Length="0"`)
	f("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
		`1.1 204 "No Content" none -1 !Transfer-Encoding="chunked"`)
	f("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
		`1.1 304 "Not Modified" none 5 keep-alive Content-Length="5"`)
	f("HTTP/1.1 100 Continue\r\n\r\n", `1.1 100 "Continue" none -1 keep-alive`)
	f("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", `1.1 103 "Early Hints" none -1 keep-alive Link="</a>"`)
	f("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n",
		`1.1 101 "Switching Protocols" none -1 websocket !Connection="upgrade" !Upgrade="WebSocket"`)
	f("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
		`1.1 101 "Switching Protocols" none -1 !Connection="upgrade" !Upgrade="h2c"`)
	f("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
		`1.1 101 "Switching Protocols" none -1 !Upgrade="websocket"`)
	f("HTTP/1.1 200 OK\r\n", "more")

	// Row 14: what is no response, or could be two.
	for in, reason := range map[string]string{
		"SSH-2.0-OpenSSH\r\n\r\n": "bad_status_line", "HTTP/1.1\r\n\r\n": "bad_status_line",
		"HTTP/1.1 \r\n\r\n": "bad_status_line", "HTTP/1.1  200 OK\r\n\r\n": "bad_status_line",
		"HTTP/1.1 20 OK\r\n\r\n": "bad_status_line", "HTTP/1.1 2000 OK\r\n\r\n": "bad_status_line",
		"HTTP/1.1 099 OK\r\n\r\n": "bad_status_line", "HTTP/1.1 600 OK\r\n\r\n": "bad_status_line",
		"HTTP/1.1 2x0 OK\r\n\r\n": "bad_status_line", "HTTP/1.1 200OK\r\n\r\n": "bad_status_line",
		"HTTP/1.1 200 O\x00K\r\n\r\n": "bad_status_line", "ICY 200 OK\r\n\r\n": "bad_status_line",
		"HTTP/2.0 200 OK\r\n\r\n": "wrong_version", "http/1.1 200 OK\r\n\r\n": "bad_version",
		"\r\nHTTP/1.1 200 OK\r\n\r\n": "bad_start_line", "HTTP/1.1 200 OK\n\n": "bare_lf",
		"HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n": "bad_value", "HTTP/1.1 200 OK\r\nX : y\r\n\r\n": "space_in_name",
		"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n": "obs_fold", "HTTP/1.1 200 OK\r\nX\r\n\r\n": "no_colon",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n": "length_and_coding",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n":          "many_lengths",
		"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n":                            "bad_length",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n":                              "bad_length",
		"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n":                                 "bad_length",
		"HTTP/1.1 204 OK\r\nContent-Length: x\r\n\r\n":                               "bad_length",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n":                "bad_coding",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n":                     "coding_not_chunked",
		"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n":                      "coding_in_http10",
		"HTTP/1.1 200 OK\r\nConnection: content-length\r\n\r\n":                      "protected_option",
	} {
		f(in, "upstream 502 "+reason)
	}

	method = "HEAD"
	f("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", `1.1 200 "OK" none 5 keep-alive Content-Length="5"`)
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		`1.1 200 "OK" none -1 keep-alive !Transfer-Encoding="chunked"`)
	f("HTTP/1.1 200 OK\r\n\r\n", `1.1 200 "OK" none -1 keep-alive`)
}

func TestResponseLimits(t *testing.T) {
	const start = "HTTP/1.1 200 OK\r\n"
	f := func(in, want string) {
		t.Helper()
		for _, step := range []int{len(in), 1000} {
			if got := responseOutcome("GET", in, step, nil); got != want && !strings.HasSuffix(got, want) {
				t.Errorf("%d octets: got %.100s, want %s", len(in), got, want)
			}
		}
	}
	f(start+strings.Repeat("x", 1<<20), "upstream 502 head_too_large")
	f(strings.Repeat("x", 1<<20), "upstream 502 head_too_large")
	f(start+strings.Repeat("x: y\r\n", 101), "upstream 502 too_many_fields")
	f(start+strings.Repeat("x: y\r\n", 100)+"\r\n", `x="y"`)
}
