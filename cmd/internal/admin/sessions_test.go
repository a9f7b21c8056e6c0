package admin

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"weir/l4"
)

func onePage() l4.Page {
	return l4.Page{Next: 7, Sessions: []l4.Session{{
		ID: 9, Kind: "websocket", Listener: "db", Network: "tcp", Client: netip.MustParseAddrPort("192.0.2.1:5000"), SNI: "db.example.com", Pool: "db",
		Backend: "10.0.0.1:5432", State: "relaying", Start: time.Unix(1e9, 0), Age: 90 * time.Second,
		Idle: 1500 * time.Millisecond, BytesIn: 10, BytesOut: 20,
	}, {ID: 8, Listener: "db", Network: "udp", State: "sniffing"}}}
}

func TestSessionsAPI(t *testing.T) {
	s, p := startServer(t, loopback+"token = \"a-secret-of-the-file\"\n")
	f := func(method, path, body string, status int, want ...string) {
		t.Helper()
		resp, answer := request(t, s, method, "/api/v1/sessions"+path, body, "Authorization: Bearer a-secret-of-the-file")
		if resp.StatusCode != status {
			t.Fatalf("got %d %s, want %d", resp.StatusCode, answer, status)
		}
		for _, w := range want {
			if !strings.Contains(answer, w) {
				t.Fatalf("%q is not in %s", w, answer)
			}
		}
	}
	f("GET", "", "", 200, `"sessions": []`)
	if p.limit != sessionsPage || p.after != 0 || !p.filter.Empty() {
		t.Errorf("asked for %+v after %d, %d of them", p.filter, p.after, p.limit)
	}
	p.page = onePage()
	f("GET", "?listener=db&pool=app&backend=10.0.0.1:5432&client=192.0.2.9/24&min_age=1m&limit=2&after=12", "", 200,
		`"id": 9`, `"kind": "websocket"`, `"client": "192.0.2.1:5000"`, `"age_seconds": 90`, `"idle_seconds": 1.5`, `"next": 7`,
		`"start": "2001-09-09T01:46:40Z"`, `"state": "sniffing"`, `"network": "udp"`)
	want := l4.Filter{
		Listener: "db", Pool: "app", Backend: "10.0.0.1:5432", Client: netip.MustParsePrefix("192.0.2.0/24"),
		MinAge: time.Minute,
	}
	if p.filter != want || p.after != 12 || p.limit != 2 {
		t.Errorf("asked for %+v after %d, %d of them", p.filter, p.after, p.limit)
	}
	f("GET", "?client=2001:db8::1", "", 200)
	if p.filter.Client != netip.MustParsePrefix("2001:db8::1/128") {
		t.Errorf("an address became %s", p.filter.Client)
	}
	f("GET", "?clinet=10.0.0.1", "", 400, "is not known")
	f("GET", "?client=ten", "", 400, "expected an address or a network")
	f("GET", "?min_age=-1s", "", 400, "expected a duration")
	f("GET", "?limit=0", "", 400, "expected 1 to 1000")
	f("GET", "?limit=1001", "", 400)
	f("GET", "?after=x", "", 400)
	f("GET", "?pool=a&pool=b", "", 400, "expected once")
	f("GET", "?%", "", 400)

	f("DELETE", "/9", "", 200, `"closed": 2`)
	if p.filter != (l4.Filter{ID: 9}) {
		t.Errorf("closed %+v", p.filter)
	}
	f("DELETE", "/nine", "", 400, "expected its id")
	f("DELETE", "/0", "", 400)
	f("POST", "/close", `{"backend": "10.0.0.1:5432"}`, 200, `"closed": 2`)
	if p.filter != (l4.Filter{Backend: "10.0.0.1:5432"}) {
		t.Errorf("closed %+v", p.filter)
	}
	f("POST", "/close", `{}`, 400, "the filter is empty")
	f("POST", "/close", `{"id": 9}`, 400, "unknown field")
	f("POST", "/close", `{"client": "all"}`, 400)
	f("GET", "/close", "", 405)
	p.page = l4.Page{}
	f("DELETE", "/9", "", 404, "there is no session 9")
	f("POST", "/close", `{"pool": "none"}`, 200, `"closed": 0`)
	p.fail = errors.New("too slow")
	f("GET", "", "", 503, "too slow")
	f("DELETE", "/9", "", 503)
}

func TestSessionsClient(t *testing.T) {
	_, p := startServer(t, loopback)
	p.page = onePage()
	c, err := Dial(p.config)
	if err != nil {
		t.Fatal(err)
	}
	page, err := c.Sessions(t.Context(), SessionFilter{Client: "192.0.2.0/24", MinAge: "1m0s"}, 20, 2)
	if err != nil || len(page.Sessions) != 2 || page.Next != 7 || p.after != 20 || p.limit != 2 ||
		p.filter.MinAge != time.Minute {
		t.Errorf("got %+v, %v; asked for %+v", page, err, p.filter)
	}
	if n, err := c.CloseSessions(t.Context(), SessionFilter{Listener: "db"}); err != nil || n != 2 {
		t.Errorf("closed %d, %v", n, err)
	}
	if err := c.CloseSession(t.Context(), 9); err != nil {
		t.Error(err)
	}
	p.page = l4.Page{}
	var refused *Refused
	if err := c.CloseSession(t.Context(), 9); !errors.As(err, &refused) || refused.Status != 404 {
		t.Errorf("closed a session that is not there: %v", err)
	}
}
