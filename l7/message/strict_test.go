package message

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// strictRequest is a whole request as one of three readers sees it.
type strictRequest struct {
	method, target, host, body string
	minor                      int
	used                       int // octets, the body included
}

// The verdicts of a reader.
var (
	errMore    = errors.New("more octets are needed")
	errRefused = errors.New("refused")
)

// readOurs reads a request with what stands between Weir and the network.
func readOurs(in []byte) (q strictRequest, err error) {
	var r Request
	n, err := r.Parse(in, nil)
	switch {
	case err != nil:
		return q, err
	case n == 0:
		return q, errMore
	}
	q = strictRequest{method: string(r.Method), target: string(r.Target), host: string(r.Authority), minor: r.Minor}
	var b Body
	b.Reset(r.Framing, r.ContentLength, Client, nil)
	for !b.Done() && n < len(in) {
		data, used, err := b.Next(in[n:])
		if err != nil {
			return q, err
		}
		q.body += string(data)
		n += used
	}
	if !b.Done() {
		return q, errMore
	}
	q.used = n
	return q, nil
}

// The grammar of RFC 9112 as expressions over Latin-1, with nothing that it allows
// a lenient reader to repair: what llhttp refuses in strict mode is refused here.
var (
	twinStart = regexp.MustCompile("^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([!-~]+) HTTP/1\\.([01])$")
	twinField = regexp.MustCompile("^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \\t]*((?:[!-~\u0080-\u00ff](?:[\\t -~\u0080-\u00ff]*[!-~\u0080-\u00ff])?)?)[ \\t]*$")
	twinHost  = regexp.MustCompile(`^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]*)?$`)
	twinSize  = regexp.MustCompile("^([0-9A-Fa-f]{1,16})(?:[ \\t]*;[\\t -~\u0080-\u00ff]*)?\r\n")
	twinCount = regexp.MustCompile(`^[0-9]{1,18}$`)
	bareLine  = regexp.MustCompile("(^|[^\r])\n|\r([^\n]|$)")
)

// readTwin is the slow, obvious reader.
func readTwin(in []byte) (q strictRequest, err error) {
	latin := make([]rune, len(in))
	for i, c := range in {
		latin[i] = rune(c)
	}
	all := string(latin) // one rune an octet
	text := strings.TrimPrefix(all, "\r\n")
	head, rest, ok := strings.Cut(text, "\r\n\r\n")
	if !ok {
		return q, errMore
	}
	lines := strings.Split(head, "\r\n")
	m := twinStart.FindStringSubmatch(lines[0])
	if m == nil || bareLine.MatchString(head+"\r\n") {
		return q, fmt.Errorf("%w: start line or line end", errRefused)
	}
	q.method, q.target, q.minor = m[1], m[2], int(m[3][0]-'0')
	fields, err := twinFields(lines[1:])
	if err != nil {
		return q, err
	}
	if q.host, err = twinHostOf(fields, q.minor); err != nil {
		return q, err
	}
	rest, err = twinBody(&q, fields, rest)
	q.used = len([]rune(all)) - len([]rune(rest))
	return q, err
}

func twinFields(lines []string) (map[string][]string, error) {
	fields := make(map[string][]string)
	for _, line := range lines {
		m := twinField.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("%w: field %q", errRefused, line)
		}
		name := strings.ToLower(m[1])
		fields[name] = append(fields[name], m[2])
	}
	return fields, nil
}

func twinHostOf(fields map[string][]string, minor int) (string, error) {
	hosts := fields["host"]
	switch {
	case len(hosts) > 1 || len(hosts) == 0 && minor == 1:
		return "", fmt.Errorf("%w: %d hosts", errRefused, len(hosts))
	case len(hosts) == 1 && !twinHost.MatchString(hosts[0]):
		return "", fmt.Errorf("%w: host %q", errRefused, hosts[0])
	case len(hosts) == 1:
		return hosts[0], nil
	}
	return "", nil
}

func twinBody(q *strictRequest, fields map[string][]string, rest string) (string, error) {
	lengths, codings := fields["content-length"], fields["transfer-encoding"]
	switch {
	case len(lengths)+len(codings) > 1, len(codings) == 1 && q.minor == 0:
		return rest, fmt.Errorf("%w: framing", errRefused)
	case len(codings) == 1 && !strings.EqualFold(codings[0], "chunked"):
		return rest, fmt.Errorf("%w: coding %q", errRefused, codings[0])
	case len(lengths) == 1 && !twinCount.MatchString(lengths[0]):
		return rest, fmt.Errorf("%w: length %q", errRefused, lengths[0])
	case len(codings) == 1:
		return twinChunks(q, rest)
	case len(lengths) == 0:
		return rest, nil
	}
	n, err := strconv.Atoi(lengths[0])
	if err != nil {
		return rest, err
	}
	body := []rune(rest)
	if len(body) < n {
		return rest, errMore
	}
	q.body = octetsOf(string(body[:n]))
	return string(body[n:]), nil
}

func twinChunks(q *strictRequest, rest string) (string, error) {
	for {
		m := twinSize.FindStringSubmatch(rest)
		if m == nil {
			if !strings.Contains(rest, "\r\n") {
				return rest, errMore
			}
			return rest, fmt.Errorf("%w: chunk size", errRefused)
		}
		n, err := strconv.ParseUint(m[1], 16, 62)
		if err != nil {
			return rest, fmt.Errorf("%w: chunk size %s", errRefused, m[1])
		}
		rest = rest[len(m[0]):]
		if n == 0 {
			return twinTrailers(rest)
		}
		data := []rune(rest)
		if uint64(len(data)) < n+2 {
			return rest, errMore
		}
		if string(data[n:n+2]) != "\r\n" {
			return rest, fmt.Errorf("%w: no CRLF behind a chunk", errRefused)
		}
		q.body += octetsOf(string(data[:n]))
		rest = string(data[n+2:])
	}
}

func twinTrailers(rest string) (string, error) {
	if after, ok := strings.CutPrefix(rest, "\r\n"); ok {
		return after, nil
	}
	section, after, ok := strings.Cut(rest, "\r\n\r\n")
	if !ok {
		return rest, errMore
	}
	if bareLine.MatchString(section + "\r\n") {
		return rest, fmt.Errorf("%w: line end in a trailer", errRefused)
	}
	_, err := twinFields(strings.Split(section, "\r\n"))
	return after, err
}

// octetsOf turns Latin-1 runes back into octets.
func octetsOf(s string) string {
	var b []byte
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}

// readNetHTTP is what many backends read with.
func readNetHTTP(in []byte) (q strictRequest, err error) {
	src := bytes.NewReader(in)
	br := bufio.NewReaderSize(src, 64<<10)
	r, err := http.ReadRequest(br)
	if err != nil {
		return q, err
	}
	body, err := io.ReadAll(r.Body)
	q = strictRequest{
		method: r.Method, target: r.RequestURI, host: r.Host, body: string(body), minor: r.ProtoMinor,
		used: len(in) - src.Len() - br.Buffered(),
	}
	return q, err
}

// deliberate are the requests that Weir takes although net/http refuses them. The
// twin has no such list: whatever it refuses, Weir refuses.
var deliberate = []struct {
	why  string
	fits func(err error) bool
}{
	{
		"net/http limits the extensions of chunks by their share of the data; Weir drops them and limits their sum",
		func(err error) bool {
			return strings.Contains(err.Error(), "chunked encoding contains too much non-data")
		},
	},
	{
		"RFC 9110 section 5.6.3 has white space before the semicolon of an extension be taken; Weir drops both",
		func(err error) bool { return strings.Contains(err.Error(), "invalid byte in chunk length") },
	},
	{
		"net/http limits the length of a chunk's line by its buffer; Weir limits extensions by 4 KiB a message",
		func(err error) bool { return strings.Contains(err.Error(), "header line too long") },
	},
}

// TestTwinRefuses shows that the twin has teeth.
func TestTwinRefuses(t *testing.T) {
	for _, in := range strictSeeds {
		want, twinErr := readTwin([]byte(in))
		got, err := readOurs([]byte(in))
		if (err == nil) != (twinErr == nil) && !strings.Contains(in, "/..") {
			t.Errorf("%q: we say %v, the twin %v", in, err, twinErr)
		}
		if err == nil && got != want {
			t.Errorf("%q\nwe read   %+v\nthe twin  %+v", in, got, want)
		}
	}
}

var strictSeeds = []string{
	get + "\r\n", "\r\n" + get + "\r\n", "\r\n\r\n" + get + "\r\n", "GET / HTTP/1.0\r\n\r\n",
	post + "Content-Length: 5\r\n\r\nhello", post + "Content-Length: 5\r\n\r\nhell",
	post + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET",
	post + "Transfer-Encoding: chunked\r\n\r\n5 ;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
	post + "Transfer-Encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\n",
	post + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n",
	post + "Transfer-Encoding: chunked\r\n\r\n0\r\n X: y\r\n\r\n",
	post + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
	post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", post + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
	post + "Trailer: X, Y\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: 1\r\n\r\n",
	"GET / HTTP/1.1\nHost: a\n\n", get + "X: y\r\n z\r\n\r\n", get + "X : y\r\n\r\n", get + ": y\r\n\r\n",
	get + "X: a\x00\r\n\r\n", get + "Host: b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
	"GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
	"GET /../a HTTP/1.1\r\nHost: a\r\n\r\n", "get /%41%2a?%zz HTTP/1.1\r\nHost: A.b.:8\r\nX:\t\xff \r\n\r\n",
	"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", post + "Content-Length: +5\r\n\r\nhello",
	post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
}

// FuzzStrict holds the parser to the strictest of three: what the twin or net/http
// refuses must not be taken, and what all take must mean the same to all.
func FuzzStrict(f *testing.F) {
	for _, s := range strictSeeds {
		f.Add([]byte(s))
	}
	for _, s := range conformanceRequests(f) {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		ours, err := readOurs(in)
		if err != nil {
			return // not forwarded
		}
		twin, err := readTwin(in)
		if err != nil {
			t.Fatalf("%q is taken, the twin says %v", in, err)
		}
		if twin.host == "" {
			twin.host = ours.host // HTTP/1.0 with the host in the target alone
		}
		if ours != twin {
			t.Errorf("%q\nwe read   %+v\nthe twin  %+v", in, ours, twin)
		}
		compareStrict(t, in, ours)
	})
}

func compareStrict(t *testing.T, in []byte, ours strictRequest) {
	// RFC 9112 section 2.2 has a server skip an empty line before a request; net/http's
	// server does not, and no backend gets it from Weir.
	if rest, ok := bytes.CutPrefix(in, []byte("\r\n")); ok {
		in, ours.used = rest, ours.used-2
	}
	theirs, err := readNetHTTP(in)
	if err != nil {
		for _, d := range deliberate {
			if d.fits(err) {
				return
			}
		}
		t.Fatalf("%q is taken, net/http says %v", in, err)
	}
	// It takes the host of an absolute target, in which case does not matter, and leaves
	// the rest of the input in a reader of its own.
	if strings.EqualFold(theirs.host, ours.host) {
		theirs.host = ours.host
	}
	if ours != theirs {
		t.Errorf("%q\nwe read        %+v\nnet/http reads %+v", in, ours, theirs)
	}
}

// conformanceRequests are the requests of the corpus that l7 plays, as far as they
// are plain: the lines of the first client block.
func conformanceRequests(t testing.TB) []string {
	files, err := filepath.Glob("../testdata/conformance/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("there is no corpus: %v", err)
	}
	var out []string
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for c := range strings.SplitSeq(string(b), "\n== ") {
			var in strings.Builder
			for line := range strings.Lines(c) {
				text, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "C>")
				if ok && !strings.Contains(text, `\`) && !strings.Contains(text, "$") {
					in.WriteString(strings.TrimPrefix(text, " ") + "\r\n")
				}
			}
			if in.Len() > 0 {
				out = append(out, in.String())
			}
		}
	}
	return out
}
