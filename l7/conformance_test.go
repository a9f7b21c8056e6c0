package l7

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// minConformance is how many cases the corpus has at least, so that none goes
// missing without a word.
const minConformance = 300

// TestConformance plays every case of testdata/conformance against a server, once with
// lanes and once without.
func TestConformance(t *testing.T) {
	cases := readConformance(t)
	if len(cases) < minConformance {
		t.Errorf("there are %d cases, want %d at least", len(cases), minConformance)
	}
	for _, c := range cases {
		name := c.file + "/" + strings.ReplaceAll(c.name, "/", "|")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newPlay(t, c, true).run()
		})
		t.Run(name+" by goroutine", func(t *testing.T) {
			t.Parallel()
			newPlay(t, c, false).run()
		})
	}
}

// patience for octets that must come; none of the cases meets it when it is well.
const playPatience = 20 * time.Second

// play is a case under way: one client, one scripted backend, Weir between them.
// All of it runs on the goroutine of the test, so that the order of steps is the
// order of things.
type play struct {
	t       *testing.T
	c       *conformanceCase
	step    scriptStep
	ln      *net.TCPListener
	client  *net.TCPConn
	backend *net.TCPConn // nil: none, or its end was seen
	before  *net.TCPConn // the one before it, which is idle; nil: there is none
	lanes   bool
	over    bool // the client's connection has ended
}

func newPlay(t *testing.T, c *conformanceCase, lanes bool) *play {
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	lines := func(l []string) string { return strings.Join(l, "\n") }
	config := "[pool.app]\nservers = [\"%s\"]\n" + lines(c.pool) +
		"\n[[l7]]\nname = \"web\"\nlisten = [\"127.0.0.1:0\"]\n" + lines(c.listener) +
		"\n[[l7.route]]\npool = \"app\"\n" + lines(c.route) + "\n"
	r := newRigWith(t, lanes, config, ln.Addr().String())
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	p := &play{t: t, c: c, ln: ln, client: conn.(*net.TCPConn), lanes: lanes}
	t.Cleanup(func() {
		for _, c := range []*net.TCPConn{p.client, p.backend, p.before} {
			if c != nil {
				c.Close()
			}
		}
	})
	return p
}

func (p *play) run() {
	for _, p.step = range p.c.steps {
		text := fill(p.step.text, p.ln.Addr().String())
		switch p.step.verb {
		case "C>":
			p.write(p.client, "client", text)
		case "B>":
			p.write(p.needBackend(), "backend", text)
		case ">B":
			p.want(p.asked(), "backend", text)
		case ">C":
			p.want(p.client, "client", text)
		default:
			directives[verbOf(p.step.verb)](p, p.step.verb)
		}
	}
	if !p.over {
		p.probe()
	}
	p.wantNoMore()
}

func (p *play) fatalf(format string, args ...any) {
	p.t.Helper()
	p.t.Fatalf("testdata/conformance/%s.txt:%d: %s", p.c.file, p.step.line, fmt.Sprintf(format, args...))
}

// needBackend returns the connection to the backend, the next one where the one
// before has ended.
func (p *play) needBackend() *net.TCPConn {
	if p.backend == nil {
		p.ln.SetDeadline(time.Now().Add(playPatience))
		c, err := p.ln.AcceptTCP()
		if err != nil {
			p.fatalf("the backend gets no connection: %v%s", err, p.clientHas())
		}
		p.backend = c
	}
	return p.backend
}

// asked returns the connection on which the backend gets something. That may be a new
// one: where this test is held up, the client's connection is quiet for long enough to
// return to its lane, which has none of the connections that goroutines keep. It opens
// one of its own, and the other stays open.
func (p *play) asked() *net.TCPConn {
	c := p.needBackend()
	if !p.lanes || p.before != nil {
		return c
	}
	for end := time.Now().Add(playPatience); !hasInput(c) && time.Now().Before(end); {
		p.ln.SetDeadline(time.Now().Add(time.Millisecond))
		if own, err := p.ln.AcceptTCP(); err == nil {
			p.backend, p.before = own, c
			break
		}
	}
	return p.backend
}

// hasInput reports whether there is something to read from c, be it its end.
func hasInput(c *net.TCPConn) (input bool) {
	raw, err := c.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { input = hasData(int(fd)) })
	}
	return err != nil || input
}

// clientHas tells what the client was sent meanwhile, which explains most failures.
func (p *play) clientHas() string {
	p.client.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	b, _ := io.ReadAll(p.client)
	return fmt.Sprintf("\nthe client has\n%s", quoteLines(b))
}

func (p *play) write(c *net.TCPConn, who string, text []byte) {
	if _, err := c.Write(text); err != nil {
		p.fatalf("the %s cannot send: %v", who, err)
	}
}

var idPattern = regexp.MustCompile(`(X-Request-Id: |Request id: )[0-9a-f]{32}`)

// want reads exactly the octets that are due.
func (p *play) want(c *net.TCPConn, who string, want []byte) {
	c.SetReadDeadline(time.Now().Add(playPatience))
	got := make([]byte, 0, len(want))
	var err error
	for len(got) < len(want) && err == nil && begins(want, got) {
		var n int
		n, err = c.Read(got[len(got):len(want)])
		got = got[:len(got)+n]
	}
	if same := normalise(got); bytes.Equal(same, want) {
		return
	}
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	more, _ := io.ReadAll(c)
	p.fatalf("the %s gets\n%s\nwant\n%s\n(%v)", who, quoteLines(normalise(append(got, more...))), quoteLines(want), err)
}

// begins reports whether want may begin with got: what differs fails at once, not
// when time is up.
func begins(want, got []byte) bool {
	for i, c := range got {
		if want[i] != c && want[i] != anyID[0] {
			return false
		}
	}
	return true
}

var datePattern = regexp.MustCompile(`Date: [^\r\n]{29}\r\n`)

// normalise puts a mark in place of generated ids and dates; their length stays. A date
// that is not of the last hour is not Weir's.
func normalise(b []byte) []byte {
	b = datePattern.ReplaceAllFunc(b, func(line []byte) []byte {
		at, err := http.ParseTime(string(bytes.TrimSpace(line[len("Date:"):])))
		if err != nil || time.Since(at).Abs() > time.Hour {
			return line
		}
		return []byte("Date: " + anyDate + "\r\n")
	})
	return idPattern.ReplaceAll(b, []byte("${1}"+anyID))
}

func quoteLines(b []byte) string {
	var s strings.Builder
	for line := range bytes.SplitAfterSeq(b, []byte("\n")) {
		q := strconv.Quote(string(line))
		if len(q) > 200 {
			q = q[:200] + "..."
		}
		s.WriteString("  " + q + "\n")
	}
	return s.String()
}

// directives by their first words; verbOf tells them apart.
var directives = map[string]func(p *play, arg string){
	"refused": func(p *play, arg string) { // Weir's own answer, and the end of the connection
		p.wantPage(arg, false)
		p.wantEnd(false)
	},
	"answered":       func(p *play, arg string) { p.wantPage(arg, true) },
	"closed":         func(p *play, _ string) { p.wantEnd(false) },
	"cut":            func(p *play, _ string) { p.wantEnd(true) },
	"client ends":    func(p *play, _ string) { p.client.CloseWrite() },
	"client resets":  func(p *play, _ string) { p.client.SetLinger(0); p.client.Close(); p.over = true },
	"backend ends":   func(p *play, _ string) { p.needBackend().Close(); p.backend = nil },
	"backend resets": func(p *play, _ string) { p.needBackend().SetLinger(0); p.backend.Close(); p.backend = nil },
	"backend closed": func(p *play, _ string) { p.wantBackendEnd() },
	"backend gets nothing": func(p *play, _ string) {
		p.wantSilence(p.needBackend(), "backend")
	},
	"client gets nothing": func(p *play, _ string) { p.wantSilence(p.client, "client") },
}

func isDirective(s string) bool { return directives[verbOf(s)] != nil }

// verbOf cuts the argument off "refused 400" and "answered 405 Allow: GET".
func verbOf(s string) string {
	if word, _, ok := strings.Cut(s, " "); ok && (word == "refused" || word == "answered") {
		return word
	}
	return s
}

// wantPage wants an answer of Weir's own: "refused STATUS [FIELD: VALUE]".
func (p *play) wantPage(arg string, keep bool) {
	_, arg, _ = strings.Cut(arg, " ")
	number, field, ok := strings.Cut(arg, " ")
	if ok {
		field += "\r\n"
	}
	status, err := strconv.Atoi(number)
	if err != nil {
		p.fatalf("cannot read the status in %q", arg)
	}
	p.want(p.client, "client", fill(page(status, keep, field), ""))
}

// wantEnd wants the end of the client's connection, with nothing before it. A
// response that is cut may end in a reset, every other one must not: a reset could
// take octets with it that the client has not read yet.
func (p *play) wantEnd(cut bool) {
	p.over = true
	p.client.SetReadDeadline(time.Now().Add(playPatience))
	b, err := io.ReadAll(p.client)
	if len(b) > 0 {
		p.fatalf("the client gets more\n%s", quoteLines(b))
	}
	if err != nil && (!cut || !errors.Is(err, syscall.ECONNRESET)) {
		p.fatalf("the client's connection does not end: %v", err)
	}
}

// wantBackendEnd wants the end of the backend's connection, with nothing before it.
func (p *play) wantBackendEnd() {
	c := p.needBackend()
	c.SetReadDeadline(time.Now().Add(playPatience))
	b, err := io.ReadAll(c)
	if len(b) > 0 {
		p.fatalf("the backend gets more\n%s", quoteLines(b))
	}
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		p.fatalf("the backend's connection does not end: %v", err)
	}
	c.Close()
	p.backend = nil
}

// wantSilence looks for a moment: what Weir sends too early comes at once.
func (p *play) wantSilence(c *net.TCPConn, who string) {
	c.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
	var b [512]byte
	n, err := c.Read(b[:])
	if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		p.fatalf("the %s gets %q %v, want nothing yet", who, b[:n], err)
	}
}

// probe sends another request over both connections: where one octet too many or
// too few went over either of them, it shows.
func (p *play) probe() {
	p.step.line = p.c.line
	p.write(p.client, "client", []byte("GET /probe HTTP/1.1\r\nHost: www.example.com\r\n\r\n"))
	b := p.asked()
	b.SetReadDeadline(time.Now().Add(playPatience))
	var head []byte
	for one := make([]byte, 1); !bytes.HasSuffix(head, []byte("\r\n\r\n")); head = append(head, one...) {
		if _, err := b.Read(one); err != nil {
			p.fatalf("the probe does not reach the backend: %v\nit has\n%s%s", err, quoteLines(head), p.clientHas())
		}
	}
	if !bytes.HasPrefix(head, []byte("GET /probe HTTP/1.1\r\nHost: ")) {
		p.fatalf("the probe reaches the backend as\n%s", quoteLines(head))
	}
	p.write(b, "backend", []byte("HTTP/1.1 203 Probe\r\nContent-Length: 0\r\n\r\n"))
	p.want(p.client, "client", fill([]byte("HTTP/1.1 203 Probe\r\nContent-Length: 0\r\nDate: $DATE\r\n\r\n"), ""))
}

// wantNoMore wants that the backend got nothing beyond what the case says.
func (p *play) wantNoMore() {
	p.step.line = p.c.line
	for _, c := range []*net.TCPConn{p.backend, p.before} {
		if c == nil {
			continue
		}
		c.SetReadDeadline(time.Now().Add(time.Millisecond))
		if b, _ := io.ReadAll(c); len(b) > 0 {
			p.fatalf("the backend gets more\n%s", quoteLines(b))
		}
	}
	p.ln.SetDeadline(time.Now().Add(time.Millisecond))
	if c, err := p.ln.AcceptTCP(); err == nil {
		c.SetReadDeadline(time.Now().Add(time.Second))
		b := make([]byte, 4096)
		n, _ := c.Read(b)
		c.Close()
		p.fatalf("the backend gets a connection that nothing is said about, with\n%s", quoteLines(b[:n]))
	}
}
