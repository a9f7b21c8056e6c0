package message

import "testing"

// TestConnect has the requests for tunnels, where they are allowed.
func TestConnect(t *testing.T) {
	limits := &Limits{AllowConnect: true}
	f := func(section, in, want string) {
		t.Helper()
		for _, step := range []int{0, 1, 7} {
			if got := outcome(in, step, limits); got != want {
				t.Errorf("%s, in steps of %d: %q\ngot  %s\nwant %s", section, step, in, got, want)
			}
		}
	}
	f("9112 3.2.3", "CONNECT DB.example.com:5432 HTTP/1.1\r\nHost: db.example.com:5432\r\n\r\n",
		"67 CONNECT DB.example.com:5432 1.1 auth=db.example.com:5432 host=db.example.com path=DB.example.com:5432 "+
			"match=DB.example.com:5432 none 0 keep-alive connect Host=\"db.example.com:5432\"")
	f("9112 3.2.3", "CONNECT [::1]:1 HTTP/1.1\r\nHost: [::1]:1\r\n\r\n",
		"43 CONNECT [::1]:1 1.1 auth=[::1]:1 host=[::1] path=[::1]:1 match=[::1]:1 none 0 keep-alive connect "+
			"Host=\"[::1]:1\"")
	f("9112 3.2.3", "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 bad_connect")
	f("9110 9.3.6", "CONNECT a: HTTP/1.1\r\nHost: a:\r\n\r\n", "client 400 bad_connect")
	f("9110 9.3.6", "CONNECT a:0 HTTP/1.1\r\nHost: a:0\r\n\r\n", "client 400 bad_connect")
	f("9110 9.3.6", "CONNECT a:65536 HTTP/1.1\r\nHost: a:65536\r\n\r\n", "client 400 bad_connect")
	f("9110 9.3.6", "CONNECT a:+1 HTTP/1.1\r\nHost: a:+1\r\n\r\n", "client 400 bad_connect")
	f("9112 3.2.3", "CONNECT / HTTP/1.1\r\nHost: a:1\r\n\r\n", "client 400 bad_connect")
	f("9112 3.2.3", "CONNECT http://a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "client 400 host_mismatch")
	f("9112 3.2.3", "CONNECT u@a:1 HTTP/1.1\r\nHost: u@a:1\r\n\r\n", "client 400 bad_host")
	f("9112 3.2", "CONNECT a:1 HTTP/1.1\r\nHost: b:1\r\n\r\n", "client 400 host_mismatch")
	f("9112 3.2", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "client 400 host_mismatch")
	f("9112 3.2", "CONNECT a:1 HTTP/1.1\r\n\r\n", "client 400 no_host")
	f("9110 9.3.6", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 1\r\n\r\n", "client 400 connect_body")
	f("9110 9.3.6", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nTransfer-Encoding: chunked\r\n\r\n", "client 400 connect_body")
	f("9112 2.3", "CONNECT a:1 HTTP/1.0\r\nHost: a:1\r\n\r\n", "client 405 method_refused")
	f("9110 9.1", "connect a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "client 400 bad_target")
	f("9110 9.3.8", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "client 405 method_refused")
}

func TestPort(t *testing.T) {
	f := func(authority string, want int) {
		t.Helper()
		if got := Port([]byte(authority)); got != want {
			t.Errorf("%q: got %d, want %d", authority, got, want)
		}
	}
	f("a:1", 1)
	f("a:00443", 443)
	f("[::1]:65535", 65535)
	f("a", 0)
	f("a:", 0)
	f("a:0", 0)
	f("a:65536", 0)
	f("a:1x", 0)
	f("[::1]", 0)
	f("", 0)
}
