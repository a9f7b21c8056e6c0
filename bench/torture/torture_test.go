package torture

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var (
	seed     = flag.Uint64("seed", 1, "of the torture")
	duration = flag.Duration("duration", 20*time.Second, "of the torture; with start and end it takes half a minute")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestTorture is the short form: outcomes, and ten times the promised times.
func TestTorture(t *testing.T) {
	weir := filepath.Join(t.TempDir(), "weir")
	if out, err := exec.Command("go", "build", "-o", weir, "weir/cmd/weir").CombinedOutput(); err != nil {
		t.Fatalf("cannot build weir: %v\n%s", err, out)
	}
	r, err := Run(t.Context(), Options{
		Weir: []string{weir}, Dir: t.TempDir(), Duration: *duration, Seed: *seed, Slack: 10,
		Progress: func(line string) { t.Log(time.Now().Format("05.000"), line) },
	})
	if err != nil {
		t.Fatal(err)
	}
	var table bytes.Buffer
	if err := r.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", table.String())
	if !r.Pass {
		t.Errorf("seed %d failed", r.Seed)
	}
	for _, row := range r.Rows {
		if row.Runs == 0 {
			t.Errorf("row %d was not played", row.Row)
		}
	}
	if r.Requests["right"] < 1000 || r.Requests["broken"] == 0 || r.Requests["refused"] == 0 || r.SideEffects < 50 || r.Encrypted < 20 || r.Storms == 0 {
		t.Errorf("that was no torture: %v, %d with side effects, %d connections with TLS, %d storms",
			r.Requests, r.SideEffects, r.Encrypted, r.Storms)
	}
}

// TestRowsAreDocumented: a row here is a row of docs/faults.md.
func TestRowsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/faults.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[int]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) \|`).FindAllSubmatch(text, -1) {
		n, _ := strconv.Atoi(string(m[1]))
		known[n] = true
	}
	played := map[int]bool{}
	for i := range rows {
		n := rows[i].number
		if !known[n] || played[n] {
			t.Errorf("row %d: documented %t, there before %t", n, known[n], played[n])
		}
		played[n] = true
	}
}

func TestBody(t *testing.T) {
	whole, _ := io.ReadAll(bodyOf(7, 10_001))
	b := newBody(7)
	for step, got := 1, []byte(nil); ; step = step*3%1009 + 1 {
		if len(got) >= len(whole) {
			if !bytes.Equal(got[:len(whole)], whole) {
				t.Error("a body depends on how it is read")
			}
			break
		}
		part := make([]byte, step)
		b.Read(part)
		got = append(got, part...)
	}
	other, _ := io.ReadAll(bodyOf(8, 10_001))
	same := 0
	for i := range whole {
		if whole[i] == other[i] {
			same++
		}
	}
	if same > len(whole)/50 {
		t.Errorf("two bodies have %d of %d bytes in common", same, len(whole))
	}

	f := func(change func([]byte) []byte, want string) {
		t.Helper()
		c := newChecker(7)
		got := "right"
		if _, err := c.Write(change(bytes.Clone(whole))); err != nil {
			got = "wrong"
		} else if c.n != int64(len(whole)) {
			got = "short"
		}
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f(func(b []byte) []byte { return b }, "right")
	f(func(b []byte) []byte { return b[:len(b)-1] }, "short")
	f(func(b []byte) []byte { b[9000] ^= 1; return b }, "wrong")
	f(func(b []byte) []byte { return append(b[:5000:5000], b[5008:]...) }, "wrong")
	f(func([]byte) []byte { return other }, "wrong")
}

// TestOracle: what the backends saw decides.
func TestOracle(t *testing.T) {
	f := func(want int64, story func(o *oracle)) {
		t.Helper()
		o := newOracle()
		story(o)
		o.audit()
		if o.wrongs != want {
			t.Errorf("%d accusations, want %d: %q", o.wrongs, want, o.notes)
		}
	}
	f(0, func(o *oracle) { o.see(o.next(), "POST"); o.see(o.next(), "POST") })
	f(0, func(o *oracle) { o.see(1, "GET"); o.see(1, "GET") })
	f(1, func(o *oracle) { o.see(1, "POST"); o.see(1, "POST") })
	f(0, func(o *oracle) { o.see(1, "PUT"); o.change(1, func(t *trace) { t.cut = true }) })
	f(1, func(o *oracle) { o.see(1, "PUT"); o.change(1, func(t *trace) { t.cut, t.whole = true, true }) })
	f(30, func(o *oracle) {
		for i := range 30 {
			o.accuse("%d", i)
		}
	})
}

// TestClientBelievesNothing: the client that watches Weir, in front of a backend that
// does what Weir must not do.
func TestClientBelievesNothing(t *testing.T) {
	s := &stage{oracle: newOracle()}
	f := func(want class, format string, args ...any) {
		t.Helper()
		b, err := startBackend(s.oracle, func(_ *backend, p *peer) {
			line, _ := p.r.ReadString('\n')
			id := strings.Split(line, "/")[2]
			var n int
			fmt.Sscan(id, &n)
			for i, a := range args {
				switch a {
				case "id":
					args[i] = id
				case "body":
					text, _ := io.ReadAll(bodyOf(number(id), 10))
					args[i] = string(text)
				}
			}
			fmt.Fprintf(p, format, args...)
		})
		if err != nil {
			t.Fatal(err)
		}
		defer b.close()
		c := &client{stage: s, addr: b.addr(), host: "a"}
		defer c.close()
		if a := c.do(request{how: "whole", n: 10}); a.class != want {
			t.Errorf("%.60q: %s (%v), want %s", format, a.class, a.err, want)
		}
	}
	const ok = "HTTP/1.1 200 OK\r\nX-Id: %s\r\n"
	f(right, ok+"Content-Length: 10\r\n\r\n%s", "id", "body")
	f(right, ok+"Transfer-Encoding: chunked\r\n\r\na\r\n%s\r\n0\r\n\r\n", "id", "body")
	f(broken, ok+"Content-Length: 10\r\n\r\n%.5s", "id", "body")
	f(broken, ok+"Transfer-Encoding: chunked\r\n\r\na\r\n%s\r\n", "id", "body")
	f(broken, "")
	f(wrong, ok+"Content-Length: 5\r\n\r\n%.5s", "id", "body")
	f(wrong, ok+"Transfer-Encoding: chunked\r\n\r\n5\r\n%.5s\r\n0\r\n\r\n", "id", "body")
	f(wrong, ok+"\r\n%.5s", "id", "body")
	f(wrong, ok+"Content-Length: 10\r\n\r\n0123456789", "id")
	f(wrong, "HTTP/1.1 200 OK\r\nX-Id: 0\r\nContent-Length: 10\r\n\r\n%s", "body")
	f(wrong, ok+"Content-Length: 10\r\n\r\n%spoison", "id", "body")
	f(refused, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
}

func TestOptions(t *testing.T) {
	f := func(o Options, want string) {
		t.Helper()
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
	f(Options{Duration: time.Minute}, "no program")
	f(Options{Weir: []string{"weir"}, Duration: time.Second}, "expected 2s to 24h0m0s")
	f(Options{Weir: []string{"weir"}, Duration: time.Minute, Slack: 0.5}, "expected 1 to 1000")
	f(Options{Weir: []string{"/bin/false"}, Duration: time.Minute}, "ended at its start")
}
