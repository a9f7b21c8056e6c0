package message

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// dump writes everything that Parse found out about a request.
func dump(r *Request) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s 1.%d auth=%s host=%s path=%s match=%s", r.Method, r.Target, r.Minor, r.Authority, r.Host,
		r.Path, r.Match)
	if r.HasQuery {
		fmt.Fprintf(&b, " query=%s", r.Query)
	}
	fmt.Fprintf(&b, " %s %d", r.Framing, r.ContentLength)
	for _, f := range []struct {
		on   bool
		name string
	}{
		{r.KeepAlive, "keep-alive"},
		{r.Expect100, "expect"},
		{r.WebSocket, "websocket"},
		{r.Connect, "connect"},
	} {
		if f.on {
			b.WriteString(" " + f.name)
		}
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

// outcome parses in, given in steps of step octets (0: all at once), each time in a
// fresh buffer, and returns what came of it as text.
func outcome(in string, step int, lim *Limits) string {
	var r Request
	return outcomeOf(&r, in, step, lim)
}

func outcomeOf(r *Request, in string, step int, lim *Limits) string {
	r.Reset()
	if step == 0 {
		step = len(in)
	}
	for end := min(step, len(in)); ; end = min(end+step, len(in)) {
		n, err := r.Parse([]byte(in[:end]), lim)
		if err != nil {
			return errorText(err)
		}
		if n > 0 {
			return fmt.Sprintf("%d %s", n, dump(r))
		}
		if end == len(in) {
			return "more"
		}
	}
}

func errorText(err error) string {
	var e *Error
	if !errors.As(err, &e) {
		return "not an *Error: " + err.Error()
	}
	return fmt.Sprintf("%s %d %s", e.Side, e.Status, e.Reason)
}

// sameForEverySplit checks that neither small steps nor any single cut changes the outcome.
func sameForEverySplit(t *testing.T, in string, lim *Limits) {
	t.Helper()
	want := outcome(in, 0, lim)
	for _, step := range []int{1, 2, 3, 7, 1000} {
		if step < 10 && len(in) > 4<<10 {
			continue // each step copies everything
		}
		if got := outcome(in, step, lim); got != want {
			t.Errorf("%q in steps of %d\ngot  %s\nwant %s", in, step, got, want)
		}
	}
	for cut := 1; cut < len(in) && len(in) < 400; cut++ {
		if got := outcome(in, cut, lim); got != want {
			t.Errorf("%q cut at %d\ngot  %s\nwant %s", in, cut, got, want)
		}
	}
}

const (
	get  = "GET / HTTP/1.1\r\nHost: a\r\n"
	post = "POST / HTTP/1.1\r\nHost: a\r\n"

	plain = "GET / 1.1 auth=a host=a path=/ match=/ none 0 keep-alive " // how dump begins for get
)

// TestRequestMatrix is the list of requests that two implementations could read in
// two ways, and of their harmless neighbours. Each line names the section of RFC
// 9112 (or the RFC itself) that it is about.
func TestRequestMatrix(t *testing.T) {
	f := func(section, in, want string) {
		t.Helper()
		got := outcome(in, 0, nil)
		if accepted := strings.Contains(got, "auth="); got != want && (want != "ok" || !accepted) {
			t.Errorf("%s: %q\ngot  %s\nwant %s", section, in, got, want)
		}
		sameForEverySplit(t, in, nil)
	}

	// Lines.
	f("2.2", "GET / HTTP/1.1\nHost: a\n\n", "client 400 bare_lf")
	f("2.2", "GET / HTTP/1.1\r\nHost: a\n\r\n", "client 400 bare_lf")
	f("2.2", "GET / HTTP/1.1\r\nHost: a\r\n\n", "client 400 bare_lf")
	f("2.2", "GET / HTTP/1.1\r\nHost: a\r\nX: y\n\r\n", "client 400 bare_lf")
	f("2.2", "GET / HTTP/1.1\rHost: a\r\n\r\n", "client 400 bad_version")
	f("2.2", "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", "client 400 bad_value")
	f("2.2", "GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", "more")
	f("2.2", "GET / HTTP/1.1\r\nHost: a\r\nX\r: y\r\n\r\n", "client 400 bad_name")
	f("2.2", "\r\n"+get+"\r\n", "ok")
	f("2.2", "\r\n\r\n"+get+"\r\n", "client 400 bad_start_line")
	f("2.2", "\n"+get+"\r\n", "client 400 bare_lf")
	f("2.2", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 bad_start_line")
	f("2.2", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "client 400 obs_fold")
	f("2.2", "\x16\x03\x01\x02\x00", "client 400 bad_start_line")
	f("2.2", "{", "client 400 bad_start_line")
	f("2.2", "GET", "more")
	f("2.2", get, "more")

	// Request line.
	f("3", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 bad_start_line")
	f("3", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 bad_version")
	f("3", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 bad_method")
	f("3", "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", "client 400 bad_start_line")
	f("3", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "client 400 bad_version")
	f("3", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 bad_version")
	f("3", "GET /\r\nHost: a\r\n\r\n", "client 400 bad_start_line")
	f("3", "GET\r\n\r\n", "client 400 bad_method")
	f("3.1", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 bad_method")
	f("3.1", "GÉT / HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 bad_method")
	f("3.1", strings.Repeat("G", 33)+" / HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 bad_method")
	f("3.1", "get / HTTP/1.1\r\nHost: a\r\n\r\n", "ok")
	f("3.1", "M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n", "ok")
	f("9110 9.3.6", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "client 405 method_refused")
	f("9110 9.3.8", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "client 405 method_refused")

	// Version.
	f("2.3", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", "client 505 wrong_version")
	f("2.3", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", "client 505 wrong_version")
	f("2.3", "GET / HTTP/9.9\r\nHost: a\r\n\r\n", "client 505 wrong_version")
	f("2.3", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "client 505 wrong_version")
	f("2.3", "GET / http/1.1\r\nHost: a\r\n\r\n", "client 400 bad_version")
	f("2.3", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", "client 400 bad_version")
	f("2.3", "GET / HTTP/01.1\r\nHost: a\r\n\r\n", "client 400 bad_version")
	f("2.3", "GET / HTTP/1,1\r\nHost: a\r\n\r\n", "client 400 bad_version")
	f("2.3", "GET / HTTPS/1.1\r\nHost: a\r\n\r\n", "client 400 bad_version")

	// Target forms.
	f("3.2", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 bad_target")
	f("3.2", "GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 bad_target")
	f("3.2", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 fragment")
	f("3.2", "GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 fragment")
	f("3.2", "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 bad_target")
	f("3.2", "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 bad_target")
	f("3.2", "GET /é HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 bad_target")
	f("3.2", "GET /?\x01 HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 bad_target")
	f("3.2.2", "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "ok")
	f("3.2.2", "GET HTTP://A/ HTTP/1.1\r\nHost: a\r\n\r\n", "ok")
	f("3.2.2", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 host_mismatch")
	f("3.2.2", "GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 host_mismatch")
	f("3.2.2", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 host_mismatch")
	f("3.2.2", "GET http://u@a/ HTTP/1.1\r\nHost: u@a\r\n\r\n", "client 400 bad_host")
	f("3.2.2", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 host_mismatch")
	f("3.2.2", "GET http:///x HTTP/1.1\r\nHost:\r\n\r\n", "client 400 bad_host")
	f("3.2.2", "GET http:/a HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 bad_target")
	f("3.2.2", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 bad_target")
	f("3.2.2", "GET http://a/ HTTP/1.1\r\n\r\n", "client 400 no_host")
	f("3.2.3", "GET a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "client 400 bad_target")
	f("3.2.4", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "ok")
	f("3.2.4", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 bad_target")
	f("3.2.4", "OPTIONS *a HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 bad_target")

	// Host.
	f("3.2", "GET / HTTP/1.1\r\n\r\n", "client 400 no_host")
	f("3.2", "GET / HTTP/1.0\r\n\r\n", "ok")
	f("3.2", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "client 400 many_hosts")
	f("3.2", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", "client 400 many_hosts")
	f("3.2", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "client 400 many_hosts")
	for _, host := range []string{
		"", "a@b", "a/b", "a,b", "a b", "a\\b", "a?b", "a#b", "a:", "a:80", "a:65536", "a:8o", "a:-1", "a:+1",
		"a:000080",
		"[::1]", "[::1", "::1", "[::1]x", "[::1%25lo]", "[1.2.3.4]", "[::g]", "[]", "[", "a..b", ".a", ".", "a.",
		"a..", "é", "a%2eb",
		"a_b", "a;b", "'a'", "*.a", strings.Repeat("a", 254), strings.Repeat("a", 255),
	} {
		want := "client 400 bad_host"
		switch host {
		case "a:", "a:80", "[::1]", "a.", "a_b", strings.Repeat("a", 254):
			want = "ok"
		}
		f("3.2", "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n", want)
	}

	// Fields.
	f("5.1", get+"X : y\r\n\r\n", "client 400 space_in_name")
	f("5.1", get+"X y: z\r\n\r\n", "client 400 space_in_name")
	f("5.1", get+"X\t: y\r\n\r\n", "client 400 space_in_name")
	f("5.1", get+": y\r\n\r\n", "client 400 empty_name")
	f("5.1", get+"X\r\n\r\n", "client 400 no_colon")
	f("5.1", get+"X\x00: y\r\n\r\n", "client 400 bad_name")
	f("5.1", get+"X(: y\r\n\r\n", "client 400 bad_name")
	f("5.1", get+"Xé: y\r\n\r\n", "client 400 bad_name")
	f("5.1", get+"Content-Length\xa0: 5\r\n\r\n", "client 400 bad_name")
	f("5.2", get+"X: y\r\n z\r\n\r\n", "client 400 obs_fold")
	f("5.2", get+"X: y\r\n\tz: 1\r\n\r\n", "client 400 obs_fold")
	f("5.2", get+"X: y\r\n \r\n\r\n", "client 400 obs_fold")
	f("9110 5.5", get+"X: \x00\r\n\r\n", "client 400 bad_value")
	f("9110 5.5", get+"X: a\x0bb\r\n\r\n", "client 400 bad_value")
	f("9110 5.5", get+"X: 0123456789\x7f0123456789\r\n\r\n", "client 400 bad_value")
	f("9110 5.5", get+"X: \t a\tb\xff \t\r\n\r\n", "ok")
	f("9110 5.5", get+"X:\r\n\r\n", "ok")

	// Length and coding.
	f("6.3", post+"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "client 400 length_and_coding")
	f("6.3", post+"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", "client 400 length_and_coding")
	f("6.3", post+"Content-Length: 5\r\nContent-Length: 5\r\n\r\n", "client 400 many_lengths")
	f("6.3", post+"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "client 400 many_lengths")
	for _, length := range []string{
		"", "5, 5", "+5", "-5", "0x5", "5 5", "05", "5.", "5;a", "1e3", "1_0", "٥", "1234567890123456789",
		"9999999999999999999999",
	} {
		f("6.2", post+"Content-Length: "+length+"\r\n\r\n", "client 400 bad_length")
	}
	f("6.2", post+"Content-Length: 999999999999999999\r\n\r\n", "ok")
	f("6.2", get+"Content-Length: 0\r\n\r\n", "ok")
	f("6.1", post+"Transfer-Encoding: chunked\r\n\r\n", "ok")
	f("6.1", post+"Transfer-Encoding: CHUNKED\r\n\r\n", "ok")
	f("6.1", post+"Transfer-Encoding: identity\r\n\r\n", "client 400 coding_not_chunked")
	f("6.1", post+"Transfer-Encoding: gzip\r\n\r\n", "client 400 coding_not_chunked")
	f("6.1", post+"Transfer-Encoding: xchunked\r\n\r\n", "client 400 coding_not_chunked")
	f("6.1", post+"Transfer-Encoding: gzip, chunked\r\n\r\n", "client 501 bad_coding")
	f("6.1", post+"Transfer-Encoding: chunked, chunked\r\n\r\n", "client 400 many_codings")
	f("6.1", post+"Transfer-Encoding: chunked, identity\r\n\r\n", "client 400 coding_not_chunked")
	f("6.1", post+"Transfer-Encoding: chunked,\r\n\r\n", "client 400 many_codings")
	f("6.1", post+"Transfer-Encoding: ,chunked\r\n\r\n", "client 400 many_codings")
	f("6.1", post+"Transfer-Encoding: chunked;q=1\r\n\r\n", "client 400 many_codings")
	f("6.1", post+"Transfer-Encoding: \"chunked\"\r\n\r\n", "client 400 many_codings")
	f("6.1", post+"Transfer-Encoding: \x0bchunked\r\n\r\n", "client 400 bad_value")
	f("6.1", post+"Transfer-Encoding:\r\n\r\n", "client 400 many_codings")
	f("6.1", post+"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "client 400 many_codings")
	f("6.1", post+"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", "client 400 coding_not_chunked")
	f("6.1", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "client 400 coding_in_http10")
	f("6.1", post+"Transfer_Encoding: chunked\r\n\r\n", "ok")

	// Connection.
	f("9110 7.6.1", get+"Connection: Transfer-Encoding\r\n\r\n", "client 400 protected_option")
	f("9110 7.6.1", get+"Connection: close, content-length\r\n\r\n", "client 400 protected_option")
	f("9110 7.6.1", get+"Connection: host\r\n\r\n", "client 400 protected_option")
	f("9110 7.6.1", get+"Connection: X-Forwarded-For\r\n\r\n", "client 400 protected_option")
	f("9110 7.6.1", get+"Connection: x-forwarded-anything\r\n\r\n", "client 400 protected_option")
	f("9110 7.6.1", get+"Connection: Authorization\r\n\r\n", "client 400 protected_option")
	f("9110 7.6.1", get+"Connection: Cookie\r\n\r\n", "client 400 protected_option")
	f("9110 7.6.1", get+"Connection: a b\r\n\r\n", "client 400 bad_connection")
	f("9110 7.6.1", get+"Connection: "+strings.Repeat("a,", 33)+"\r\n\r\n", "client 400 bad_connection")
	f("9110 7.6.1", get+"Connection: ,, close ,\r\n\r\n", "ok")

	// Expectations.
	f("9110 10.1.1", post+"Expect: 100-continue\r\nContent-Length: 1\r\n\r\n", "ok")
	f("9110 10.1.1", post+"Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n", "ok")
	f("9110 10.1.1", post+"Expect: 100-continue, x\r\nContent-Length: 1\r\n\r\n", "client 417 bad_expect")
	f("9110 10.1.1", post+"Expect: y 100-continue\r\nContent-Length: 1\r\n\r\n", "client 417 bad_expect")
	f("9110 10.1.1", post+"Expect:\r\nContent-Length: 1\r\n\r\n", "client 417 bad_expect")
	f("9110 10.1.1", "OPTIONS / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n\r\n",
		"client 417 bad_expect")
}

func TestRequestAccepted(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := outcome(in, 0, nil); got != fmt.Sprint(len(in), " ", want) {
			t.Errorf("%q\ngot  %s\nwant %d %s", in, got, len(in), want)
		}
		sameForEverySplit(t, in, nil)
	}
	f("GET / HTTP/1.1\r\nHost: A.example.:80\r\n\r\n",
		`GET / 1.1 auth=A.example.:80 host=a.example path=/ match=/ none 0 keep-alive Host="A.example.:80"`)
	f("GET / HTTP/1.1\r\nHost: [0:0::0001]:8080\r\n\r\n",
		`GET / 1.1 auth=[0:0::0001]:8080 host=[::1] path=/ match=/ none 0 keep-alive Host="[0:0::0001]:8080"`)
	f("GET / HTTP/1.0\r\n\r\n", `GET / 1.0 auth= host= path=/ match=/ none 0`)
	f("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		`GET / 1.0 auth= host= path=/ match=/ none 0 keep-alive !Connection="keep-alive"`)
	f("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
		`GET / 1.0 auth= host= path=/ match=/ none 0 !Connection="keep-alive, close"`)
	f("GET http://B/x?y=/../ HTTP/1.0\r\n\r\n",
		`GET http://B/x?y=/../ 1.0 auth=B host=b path=/x match=/x query=y=/../ none 0`)
	f("GET http://b?y HTTP/1.1\r\nHost: b\r\n\r\n",
		`GET http://b?y 1.1 auth=b host=b path=/ match=/ query=y none 0 keep-alive Host="b"`)
	f("GET https://b HTTP/1.1\r\nHost: b\r\n\r\n",
		`GET https://b 1.1 auth=b host=b path=/ match=/ none 0 keep-alive Host="b"`)
	f("OPTIONS http://b HTTP/1.1\r\nHost: b\r\n\r\n",
		`OPTIONS http://b 1.1 auth=b host=b path=* match=* none 0 keep-alive Host="b"`)
	f("OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n",
		`OPTIONS * 1.1 auth=b host=b path=* match=* none 0 keep-alive Host="b"`)
	f("GET //a//%7Eb%3d? HTTP/1.1\r\nHost: b\r\n\r\n",
		`GET //a//%7Eb%3d? 1.1 auth=b host=b path=//a//%7Eb%3d match=//a//~b%3D query= none 0 keep-alive Host="b"`)
	f("POST / HTTP/1.1\r\nHost: b\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\n",
		`POST / 1.1 auth=b host=b path=/ match=/ length 12 keep-alive expect`+
			` Host="b" Content-Length="12" Expect="100-continue"`)
	f("POST / HTTP/1.0\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\n",
		`POST / 1.0 auth= host= path=/ match=/ length 12 Content-Length="12" Expect="100-continue"`)
	f("PUT / HTTP/1.1\r\nhOST: b\r\nTRANSFER-encoding: Chunked\r\nConnection: close\r\n\r\n",
		`PUT / 1.1 auth=b host=b path=/ match=/ chunked -1 hOST="b" !TRANSFER-encoding="Chunked" !Connection="close"`)
	// Order, case and duplicates stay; names with underscore or dot go.
	f(get+"x-B: 2\r\nX_Forwarded_For: 6\r\nX.Y: 1\r\nX-a:1\r\nx-B: \t3 \r\n\r\n",
		plain+`Host="a" x-B="2" X-a="1" x-B="3"`)
	// Hop-by-hop fields, by definition and by name.
	f(get+"Connection: x-a, TE\r\nX-A: 1\r\nTE: trailers\r\n"+
		"Keep-Alive: 1\r\nProxy-Connection: x\r\nX-B: 1\r\nx-a: 2\r\n\r\n",
		plain+`Host="a" !Connection="x-a, TE" !X-A="1" !TE="trailers"`+
			` !Keep-Alive="1" !Proxy-Connection="x" X-B="1" !x-a="2"`)
	// Upgrades: websocket is told apart, everything else is a plain request.
	f(get+"Connection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n",
		plain+`websocket Host="a" !Connection="Upgrade" !Upgrade="WebSocket"`)
	f(get+"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n",
		plain+`Host="a" !Connection="Upgrade, HTTP2-Settings"`+
			` !Upgrade="h2c" !HTTP2-Settings="AAMA"`)
	f(get+"Upgrade: websocket\r\n\r\n",
		plain+`Host="a" !Upgrade="websocket"`)
	f(post+"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
		`POST / 1.1 auth=a host=a path=/ match=/ none 0 keep-alive Host="a" !Connection="upgrade" !Upgrade="websocket"`)
	f(get+"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\n",
		`GET / 1.1 auth=a host=a path=/ match=/ length 5 keep-alive`+
			` Host="a" !Connection="upgrade" !Upgrade="websocket" Content-Length="5"`)
	f("GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
		`GET / 1.0 auth=a host=a path=/ match=/ none 0 Host="a" !Connection="upgrade" !Upgrade="websocket"`)
}

func TestRequestLimits(t *testing.T) {
	f := func(in, want string, lim *Limits) {
		t.Helper()
		if got := outcome(in, 0, lim); got != want && (want != "ok" || !strings.Contains(got, "auth=")) {
			t.Errorf("%.60q of %d octets\ngot  %.200s\nwant %s", in, len(in), got, want)
		}
		sameForEverySplit(t, in, lim)
	}
	head := func(size int) string {
		const before, after = get + "X: ", "\r\n\r\n"
		return before + strings.Repeat("x", size-len(before)-len(after)) + after
	}
	f(head(DefaultMaxHead), "ok", nil)
	f(head(DefaultMaxHead+1), "client 431 head_too_large", nil)
	f(head(DefaultMaxHead)[:DefaultMaxHead-1], "more", nil)
	f(get+strings.Repeat("x", DefaultMaxHead), "client 431 head_too_large", nil)

	f(get+strings.Repeat("X: y\r\n", 99)+"\r\n", "ok", nil)
	f(get+strings.Repeat("X: y\r\n", 100)+"\r\n", "client 431 too_many_fields", nil)
	f(get+strings.Repeat("X: y\r\n", 100), "client 431 too_many_fields", nil)

	uri := func(size int) string {
		return "GET /" + strings.Repeat("x", size-1) + " HTTP/1.1\r\nHost: a\r\n\r\n"
	}
	f(uri(DefaultMaxURI), "ok", nil)
	f(uri(DefaultMaxURI+1), "client 414 target_too_long", nil)
	f(uri(DefaultMaxURI * 3)[:DefaultMaxURI*2], "client 414 target_too_long", nil)

	small := &Limits{MaxHead: 64, MaxFields: 2, MaxURI: 8}
	f("GET /34567890 HTTP/1.1\r\nHost: a\r\n\r\n", "client 414 target_too_long", small)
	f("GET /3456789 HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n", "ok", small)
	f("GET /3456789 HTTP/1.1\r\nHost: a\r\nX: y\r\nY: z\r\n\r\n", "client 431 too_many_fields", small)
}

func TestRequestReuse(t *testing.T) {
	var r Request
	inputs := []string{
		"POST http://B/%41 HTTP/1.0\r\nConnection: keep-alive, x\r\nX: 1\r\nContent-Length: 3\r\n\r\n",
		get + "\r\n",
		"GET / HTTP/1.1\r\nHost: a",
		get + "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
		"GET / HTTP/3.1\r\n\r\n",
		post + "Transfer-Encoding: chunked\r\n\r\n",
	}
	for _, a := range inputs {
		for _, b := range inputs {
			outcomeOf(&r, a, 0, nil)
			if got, want := outcomeOf(&r, b, 3, nil), outcome(b, 0, nil); got != want {
				t.Errorf("%q after %q\ngot  %s\nwant %s", b, a, got, want)
			}
		}
	}
}

func TestRequestGet(t *testing.T) {
	var r Request
	if _, err := r.Parse([]byte(get+"X-Request-ID:\r\nCookie: a\r\nCookie: b\r\n\r\n"), nil); err != nil {
		t.Fatal(err)
	}
	if v := r.Get(Cookie); string(v) != "a" {
		t.Errorf("Cookie is %q", v)
	}
	if v := r.Get(XRequestID); v == nil || len(v) != 0 {
		t.Errorf("an empty value is %#v", v)
	}
	if r.Has(Range) || r.Get(Range) != nil {
		t.Error("Range is there")
	}
}
