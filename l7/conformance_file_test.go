package l7

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A file of testdata/conformance holds cases; README.md there tells the format.
type conformanceCase struct {
	file, name string
	line       int
	ref        string   // the section or advisory that the expectation comes from
	listener   []string // lines added to the [[l7]] table
	route      []string // lines added to the [[l7.route]] table
	pool       []string // lines added to the [pool.app] table
	steps      []scriptStep
}

// scriptStep is one step of a case: octets in one of the four directions, or a directive.
type scriptStep struct {
	line int
	verb string // "C>", ">B", "B>", ">C", or a directive without the hyphen
	text []byte // with placeholders
}

// macros are lines that stand for several; each ends in CRLF when it is expanded.
var macros = map[string]string{
	// What Weir adds to the head of a request for www.example.com.
	"$FORWARDED": "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n" +
		"X-Forwarded-Host: www.example.com\r\nX-Request-Id: $ID\r\n",
	"$GET":      "GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
	"$OK":       "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"$OK_DATED": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: $DATE\r\n\r\nok",
	"$GET_FWD":  "GET / HTTP/1.1\r\nHost: www.example.com\r\n$FORWARDED\r\n\r\n",
}

// readConformance reads every case of the corpus.
func readConformance(t *testing.T) []*conformanceCase {
	t.Helper()
	files, err := filepath.Glob("testdata/conformance/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var cases []*conformanceCase
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		more, err := parseConformance(strings.TrimSuffix(filepath.Base(file), ".txt"), string(b))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		cases = append(cases, more...)
	}
	return cases
}

// knownRef is what an expectation may appeal to.
var knownRef = regexp.MustCompile(`^(RFC \d{4} section \d|CVE-\d{4}-\d+|GHSA-|VSV\d|HTTP Garden|design: )`)

func parseConformance(file, text string) ([]*conformanceCase, error) {
	var cases []*conformanceCase
	var c *conformanceCase
	names := make(map[string]bool)
	for i, line := range strings.Split(text, "\n") {
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		case strings.HasPrefix(line, "== "):
			c = &conformanceCase{file: file, name: line[3:], line: i + 1}
			if names[c.name] {
				return nil, fmt.Errorf("line %d: there is another case %q", i+1, c.name)
			}
			names[c.name] = true
			cases = append(cases, c)
			continue
		case c == nil:
			return nil, fmt.Errorf("line %d: %q stands before the first case", i+1, line)
		}
		if err := c.addLine(i+1, line); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	for _, c := range cases {
		if !knownRef.MatchString(c.ref) {
			return nil, fmt.Errorf("line %d: case %q has no section or advisory: ref is %q", c.line, c.name, c.ref)
		}
		if len(c.steps) == 0 {
			return nil, fmt.Errorf("line %d: case %q has no steps", c.line, c.name)
		}
	}
	return cases, nil
}

func (c *conformanceCase) addLine(n int, line string) error {
	if key, value, ok := strings.Cut(line, ": "); ok {
		switch key {
		case "ref":
			c.ref = value
			return nil
		case "listener":
			c.listener = append(c.listener, value)
			return nil
		case "route":
			c.route = append(c.route, value)
			return nil
		case "pool":
			c.pool = append(c.pool, value)
			return nil
		}
	}
	if rest, ok := strings.CutPrefix(line, "- "); ok {
		if !isDirective(rest) {
			return fmt.Errorf("there is no directive %q", rest)
		}
		c.steps = append(c.steps, scriptStep{line: n, verb: rest})
		return nil
	}
	verb, rest := line[:min(2, len(line))], strings.TrimPrefix(line[min(2, len(line)):], " ")
	switch verb {
	case "C>", ">B", "B>", ">C":
	default:
		return fmt.Errorf("cannot read %q", line)
	}
	octets, err := expand(verb, rest)
	if err != nil {
		return err
	}
	if last := len(c.steps) - 1; last >= 0 && c.steps[last].verb == verb {
		c.steps[last].text = append(c.steps[last].text, octets...)
		return nil
	}
	c.steps = append(c.steps, scriptStep{line: n, verb: verb, text: octets})
	return nil
}

var repetition = regexp.MustCompile(`\\\{(\d+):([^}]*)\}`)

// expand turns a line of a case into octets.
func expand(verb, line string) ([]byte, error) {
	if verb == ">B" && line == "$GET" {
		line = "$GET_FWD"
	}
	if verb == ">C" && line == "$OK" {
		line = "$OK_DATED"
	}
	if m, ok := macros[line]; ok {
		return []byte(strings.ReplaceAll(m, "$FORWARDED\r\n", macros["$FORWARDED"])), nil
	}
	line, open := strings.CutSuffix(line, `\`)
	line = repetition.ReplaceAllStringFunc(line, func(s string) string {
		m := repetition.FindStringSubmatch(s)
		n, _ := strconv.Atoi(m[1]) // digits only
		return strings.Repeat(m[2], n)
	})
	var out []byte
	for i := 0; i < len(line); i++ {
		if line[i] != '\\' {
			out = append(out, line[i])
			continue
		}
		i++
		if i == len(line) {
			return nil, fmt.Errorf("a lone backslash in %q", line)
		}
		switch line[i] {
		case 'r':
			out = append(out, '\r')
		case 'n':
			out = append(out, '\n')
		case 't':
			out = append(out, '\t')
		case 's':
			out = append(out, ' ')
		case '\\':
			out = append(out, '\\')
		case 'x':
			v, err := strconv.ParseUint(line[min(i+1, len(line)):min(i+3, len(line))], 16, 8)
			if err != nil {
				return nil, fmt.Errorf("cannot read an escape in %q: %w", line, err)
			}
			out = append(out, byte(v))
			i += 2
		default:
			return nil, fmt.Errorf("there is no escape %q", line[i-1:i+1])
		}
	}
	if !open {
		out = append(out, '\r', '\n')
	}
	return out, nil
}

// page is the answer that Weir gives by itself, as README.md shows it.
func page(status int, keep bool, fields string) []byte {
	phrase := map[int]string{
		200: "OK", 308: "Permanent Redirect", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed",
		408: "Request Timeout", 413: "Request Entity Too Large", 414: "Request URI Too Long",
		417: "Expectation Failed", 421: "Misdirected Request", 431: "Request Header Fields Too Large",
		501: "Not Imple" + "mented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
		505: "HTTP Version Not Supported",
	}[status]
	body := fmt.Sprintf("%d %s\n\n%s\nRequest id: $ID\n", status, phrase, texts[status])
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\nDate: $DATE\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"+
		"Cache-Control: no-store\r\n%sX-Request-Id: $ID\r\n", status, phrase, len(body)-len("$ID")+len(anyID), fields)
	if !keep {
		head += "Connection: close\r\n"
	}
	return []byte(head + "\r\n" + body)
}

// anyID stands for any request id.
const anyID = "????????????????????????????????"

// anyDate stands for any date of today or so, which is one that Weir made.
const anyDate = "?????????????????????????????"

// fill puts the address of the backend and the marks of ids and dates in place.
func fill(text []byte, backend string) []byte {
	text = bytes.ReplaceAll(text, []byte("$BACKEND"), []byte(backend))
	text = bytes.ReplaceAll(text, []byte("$DATE"), []byte(anyDate))
	return bytes.ReplaceAll(text, []byte("$ID"), []byte(anyID))
}

// TestConformanceFormat holds the reader of the corpus to its own README.
func TestConformanceFormat(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		got, err := expand("C>", line)
		if err != nil || string(got) != want {
			t.Errorf("%q: got %q %v, want %q", line, got, err, want)
		}
	}
	f("", "\r\n")
	f("GET / HTTP/1.1", "GET / HTTP/1.1\r\n")
	f(`a\`, "a")
	f(`\x00\r\n\t\s\\b`, "\x00\r\n\t \\b\r\n")
	f(`a\{3:xy}b`, "axyxyxyb\r\n")
	bad := func(text string) {
		t.Helper()
		if _, err := parseConformance("x", text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
	bad("C> x\n")
	bad("== a\nref: RFC 9112 section 1\n")
	bad("== a\nref: somebody said so\nC> x\n")
	bad("== a\nref: RFC 9112 section 1\nC> x\n== a\nref: RFC 9112 section 1\nC> x\n")
	bad("== a\nref: RFC 9112 section 1\n- dance\n")
	bad("== a\nref: RFC 9112 section 1\nC> \\q\n")
	bad("== a\nref: RFC 9112 section 1\nX> x\n")
}
