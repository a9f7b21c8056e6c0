package l7

import (
	"net/http"
	"sync"
	"testing"
	"time"
)

// The line is that of the second, also when the clock is set back.
func TestDateLine(t *testing.T) {
	var d dateLine
	f := func(at, want string) {
		t.Helper()
		now, err := time.Parse(time.RFC3339Nano, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(d.append([]byte("X: y\r\n"), now)); got != "X: y\r\nDate: "+want+"\r\n" {
			t.Errorf("%s: got %q, want %q", at, got, want)
		}
	}
	f("1994-11-06T08:49:37Z", "Sun, 06 Nov 1994 08:49:37 GMT")
	f("1994-11-06T08:49:37.999999999Z", "Sun, 06 Nov 1994 08:49:37 GMT")
	f("1994-11-06T09:49:38+01:00", "Sun, 06 Nov 1994 08:49:38 GMT")
	f("1994-11-06T08:49:37Z", "Sun, 06 Nov 1994 08:49:37 GMT")
}

func TestDateLineAllocs(t *testing.T) {
	if raceEnabled {
		return // the race detector allocates
	}
	var d dateLine
	now, buf := time.Now(), make([]byte, 0, 64)
	if n := testing.AllocsPerRun(1000, func() { buf = d.append(buf[:0], now) }); n != 0 {
		t.Errorf("a date of the same second allocates %v times", n)
	}
}

func TestDateLineIsShared(t *testing.T) {
	var d dateLine
	var wg sync.WaitGroup
	start := time.Unix(1_000_000_000, 0)
	for range 8 {
		wg.Go(func() {
			for i := range 1000 {
				now := start.Add(time.Duration(i) * 100 * time.Millisecond)
				if got, want := string(d.append(nil, now)), now.UTC().Format("Date: "+http.TimeFormat+"\r\n"); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
	wg.Wait()
}

// TestDate: a response has one Date: the backend's where it has sent one, ours where it
// has not, and none where the route takes it away.
func TestDate(t *testing.T) {
	const past = "Mon, 13 Apr 2026 10:00:00 GMT"
	f := func(route, backend, want string) {
		t.Helper()
		o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Date"] = nil
			if backend != "" {
				w.Header()["Date"] = []string{backend}
			}
		})
		r := newRig(t, plain+route, o.addr)
		before := time.Now().Add(-time.Second)
		res, _ := r.dial().get("/")
		dates := res.Header["Date"]
		switch want {
		case "":
			if dates != nil {
				t.Errorf("%q, %q: got %q", route, backend, dates)
			}
			return
		case "now":
			at, err := http.ParseTime(res.Header.Get("Date"))
			if len(dates) != 1 || err != nil || at.Before(before) || at.After(time.Now()) {
				t.Errorf("%q, %q: got %q", route, backend, dates)
			}
		default:
			if len(dates) != 1 || dates[0] != want {
				t.Errorf("%q, %q: got %q, want %q", route, backend, dates, want)
			}
		}
	}
	f("", "", "now")
	f("", past, past)
	f("", "yesterday", "yesterday")
	f("response_headers = { remove = [\"Date\"] }\n", "", "")
	f("response_headers = { remove = [\"Date\"] }\n", past, "")
	f("response_headers = { set = { Date = \"never\" } }\n", "", "never")
	f("response_headers = { set = { Date = \"never\" } }\n", past, "never")
	f("path = \"/elsewhere\"\n", "", "now") // 404, an answer of ours
	f("hide_headers = [\"date\"]\n", "", "")
}
