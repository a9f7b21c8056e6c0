package l7

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A file of testdata/cache holds dialogues: what clients ask, what the backend is asked
// and says, and what the clients get. README.md there tells the format.
type dialogue struct {
	file, name string
	line       int
	ref        string
	config     []string // lines of [l7.route.cache]
	route      []string // lines of [[l7.route]]
	turns      []turn
}

// turn is one message of a dialogue.
type turn struct {
	line  int
	kind  byte // C: the client asks, B: the backend is asked and answers, W: what the client gets
	start string
	lines []string // fields and the like
	body  string
	whole bool // there is a body
}

func readDialogues(t *testing.T) []*dialogue {
	t.Helper()
	files, err := filepath.Glob("testdata/cache/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dialogues: %v", err)
	}
	var all []*dialogue
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		more, err := parseDialogues(strings.TrimSuffix(filepath.Base(file), ".txt"), string(b))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, more...)
	}
	return all
}

func parseDialogues(file, text string) (all []*dialogue, err error) {
	var d *dialogue
	names := map[string]bool{}
	for i, line := range strings.Split(text, "\n") {
		n := i + 1
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
			continue
		case strings.HasPrefix(line, "== "):
			d = &dialogue{file: file, name: line[3:], line: n}
			if names[d.name] {
				return nil, fmt.Errorf("line %d: there is another dialogue %q", n, d.name)
			}
			names[d.name] = true
			all = append(all, d)
		case d == nil:
			return nil, fmt.Errorf("line %d: %q stands before the first dialogue", n, line)
		case strings.HasPrefix(line, "ref: "):
			d.ref = line[5:]
		case strings.HasPrefix(line, "cache: "):
			d.config = append(d.config, line[7:])
		case strings.HasPrefix(line, "route: "):
			d.route = append(d.route, line[7:])
		case len(line) > 2 && strings.Contains("CBW", line[:1]) && line[1] == ' ':
			d.turns = append(d.turns, turn{line: n, kind: line[0], start: line[2:]})
		case strings.HasPrefix(line, "  ") && len(d.turns) > 0:
			t := &d.turns[len(d.turns)-1]
			if body, ok := strings.CutPrefix(line[2:], "| "); ok {
				t.body, t.whole = t.body+body, true
			} else {
				t.lines = append(t.lines, line[2:])
			}
		default:
			return nil, fmt.Errorf("line %d: cannot read %q", n, line)
		}
	}
	for _, d := range all {
		if !knownRef.MatchString(d.ref) || len(d.turns) == 0 {
			return nil, fmt.Errorf("line %d: dialogue %q has no section (ref is %q) or no turns", d.line, d.name, d.ref)
		}
	}
	return all, nil
}

// TestCacheDialogues plays every dialogue against a server with a cache.
func TestCacheDialogues(t *testing.T) {
	all := readDialogues(t)
	if len(all) < minDialogues {
		t.Errorf("there are %d dialogues, want %d at least", len(all), minDialogues)
	}
	for _, d := range all {
		t.Run(d.file+"/"+strings.ReplaceAll(d.name, "/", "|"), func(t *testing.T) {
			t.Parallel()
			newStage(t, d).play()
		})
	}
}

// minDialogues is how many there are at least, so that none goes missing without a word.
const minDialogues = 120

// stage is where a dialogue is played.
type stage struct {
	t     *testing.T
	d     *dialogue
	rig   *rig
	ln    *net.TCPListener
	asked chan incoming
	quit  chan struct{}
	wg    sync.WaitGroup
	at    turn
	began time.Time // what dates count from
}

func newStage(t *testing.T, d *dialogue) *stage {
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, d: d, ln: ln, asked: make(chan incoming), quit: make(chan struct{}), began: time.Now()}
	s.wg.Go(s.listen)
	t.Cleanup(func() {
		ln.Close()
		close(s.quit)
		s.wg.Wait()
	})
	s.rig = newRig(t, "[pool.app]\nservers = [\"%s\"]\nejection = { enabled = false }\n"+
		"[[l7]]\nname = \"web\"\nlisten = [\"127.0.0.1:0\"]\n"+
		"[[l7.route]]\npool = \"app\"\n"+strings.Join(d.route, "\n")+"\n[l7.route.cache]\n"+
		strings.Join(d.config, "\n")+"\n", ln.Addr().String())
	return s
}

func (s *stage) fatalf(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("testdata/cache/%s.txt:%d: %s", s.d.file, s.at.line, fmt.Sprintf(format, args...))
}

// answer is what a client got.
type answer struct {
	res    *http.Response
	body   string
	err    error
	method string
}

func (s *stage) play() {
	var got chan answer
	for _, s.at = range s.d.turns {
		switch s.at.kind {
		case 'C':
			got = make(chan answer, 1)
			go s.ask(s.at, got)
		case 'B':
			s.serve(got)
		case 'W':
			s.want(got)
		}
	}
}

// date stands for a time that many seconds from the beginning of the dialogue.
var date = regexp.MustCompile(`\{([+-]\d+)\}`)

func (s *stage) fillDates(line string) string {
	return date.ReplaceAllStringFunc(line, func(m string) string {
		n, _ := strconv.Atoi(m[1 : len(m)-1]) // digits only
		return s.began.Add(time.Duration(n) * time.Second).UTC().Format(http.TimeFormat)
	})
}

// ask sends a request on a connection of its own and reads the answer.
func (s *stage) ask(c turn, got chan<- answer) {
	a := answer{}
	defer func() { got <- a }()
	conn, err := net.Dial("tcp", s.rig.addr)
	if err != nil {
		a.err = err
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(playPatience))
	var b strings.Builder
	a.method, _, _ = strings.Cut(c.start, " ")
	fmt.Fprintf(&b, "%s HTTP/1.1\r\n", c.start)
	host := "Host: www.example.com\r\n"
	for _, line := range c.lines {
		if strings.HasPrefix(line, "Host:") {
			host = ""
		}
		b.WriteString(s.fillDates(line) + "\r\n")
	}
	if c.whole {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(c.body))
	}
	b.WriteString(host + "\r\n" + c.body)
	if _, a.err = io.WriteString(conn, b.String()); a.err != nil {
		return
	}
	br := bufio.NewReader(conn)
	for {
		if a.res, a.err = http.ReadResponse(br, &http.Request{Method: a.method}); a.err != nil {
			return
		}
		if a.res.StatusCode >= 200 {
			break
		}
	}
	body, err := io.ReadAll(a.res.Body)
	a.body, a.err = string(body), err
}

// serve waits until the backend is asked, and answers.
func (s *stage) serve(got chan answer) {
	request := s.accept(got)
	head := request.head
	for _, line := range s.at.lines {
		want, ok := strings.CutPrefix(line, "? ")
		if !ok {
			continue
		}
		want = s.fillDates(want)
		if name, absent := strings.CutPrefix(want, "!"); absent {
			if regexp.MustCompile(`(?im)^` + regexp.QuoteMeta(name) + `:`).MatchString(head) {
				s.fatalf("the backend was asked with %s:\n%s", name, head)
			}
		} else if !strings.Contains(head, want) {
			s.fatalf("the backend was asked without %q:\n%s", want, head)
		}
	}
	var b strings.Builder
	closes, framed := false, false
	for _, line := range s.at.lines {
		switch lower := strings.ToLower(line); {
		case strings.HasPrefix(line, "? "):
			continue
		case line == "close":
			closes = true
			continue
		case strings.HasPrefix(line, "1xx "):
			fmt.Fprintf(&b, "HTTP/1.1 %s\r\nLink: </a>\r\n\r\n", line[4:])
			continue
		case strings.HasPrefix(lower, "content-length:"), strings.HasPrefix(lower, "transfer-encoding:"):
			framed = true
		}
	}
	if s.at.start == "nothing" {
		request.done <- false
		return
	}
	fmt.Fprintf(&b, "HTTP/1.1 %s\r\n", s.at.start)
	for _, line := range s.at.lines {
		if !strings.HasPrefix(line, "? ") && line != "close" && !strings.HasPrefix(line, "1xx ") {
			b.WriteString(s.fillDates(line) + "\r\n")
		}
	}
	if code := s.at.start[:3]; !framed && !closes && code != "304" && code != "204" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(s.at.body))
	}
	b.WriteString("\r\n")
	if !strings.HasPrefix(head, "HEAD ") {
		b.WriteString(strings.NewReplacer(`\r`, "\r", `\n`, "\n").Replace(s.at.body))
	}
	if _, err := io.WriteString(request.conn, b.String()); err != nil {
		s.fatalf("the backend cannot answer: %v", err)
	}
	request.done <- !closes
}

// incoming is a request that came to the backend.
type incoming struct {
	conn net.Conn
	head string
	done chan bool // true: another request may follow
}

var contentLength = regexp.MustCompile(`(?i)content-length: (\d+)`)

// listen takes requests on every connection to the backend.
func (s *stage) listen() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.wg.Go(func() {
			defer c.Close()
			c.SetDeadline(time.Now().Add(2 * playPatience))
			for br, more := bufio.NewReader(c), true; more; {
				head, err := readHead(br)
				if err != nil {
					return
				}
				if m := contentLength.FindStringSubmatch(head); m != nil {
					n, _ := strconv.Atoi(m[1]) // digits only
					br.Discard(n)
				}
				a := incoming{c, head, make(chan bool, 1)}
				select {
				case s.asked <- a:
				case <-s.quit:
					return
				}
				select {
				case more = <-a.done:
				case <-s.quit:
					return
				}
			}
		})
	}
}

// accept returns the next request to the backend.
func (s *stage) accept(got chan answer) incoming {
	select {
	case a := <-s.asked:
		return a
	case a := <-got:
		s.fatalf("the backend is not asked, and the client gets %s", a)
	case <-time.After(playPatience):
		s.fatalf("the backend is not asked")
	}
	return incoming{}
}

func (a answer) String() string {
	if a.res == nil {
		return fmt.Sprint(a.err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n", a.res.Status)
	a.res.Header.Write(&b)
	fmt.Fprintf(&b, "\n%q %v", a.body, a.err)
	return b.String()
}

// want holds what the client got against what it should get.
func (s *stage) want(got chan answer) {
	var a answer
	select {
	case a = <-got:
	case <-time.After(playPatience):
		s.fatalf("the client gets no answer; is the backend asked where it should not be?")
	}
	if s.at.start == "nothing" {
		if a.err == nil {
			s.fatalf("got %s", a)
		}
		return
	}
	if a.err != nil {
		s.fatalf("got %s", a)
	}
	if want := s.at.start; want != strconv.Itoa(a.res.StatusCode) {
		s.fatalf("want %s, got %s", want, a)
	}
	for _, line := range s.at.lines {
		if name, absent := strings.CutPrefix(line, "!"); absent {
			if v, ok := a.res.Header[http.CanonicalHeaderKey(name)]; ok {
				s.fatalf("there is %s: %q in %s", name, v, a)
			}
			continue
		}
		name, want, _ := strings.Cut(line, ":")
		value := strings.Join(a.res.Header.Values(name), ", ")
		if name == "Transfer-Encoding" {
			value = strings.Join(a.res.TransferEncoding, ", ")
		}
		want = s.fillDates(strings.TrimSpace(want))
		if prefix, ok := strings.CutSuffix(want, "*"); ok && strings.HasPrefix(value, prefix) && value != "" {
			continue
		}
		if value != want {
			s.fatalf("%s is %q, want %q in %s", name, value, want, a)
		}
	}
	if s.at.whole && strings.ReplaceAll(a.body, "\r\n", `\r\n`) != s.at.body {
		s.fatalf("the body is %q, want %q", a.body, s.at.body)
	}
}
