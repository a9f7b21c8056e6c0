package message

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http/httputil"
	"strings"
	"testing"
)

// decode runs b over in, given in pieces of step octets, and returns what came of it:
// the data, what was left over, and how it ended.
func decode(b *Body, in []byte, step int) (data []byte, rest int, end string) {
	for at := 0; ; {
		piece := bytes.Clone(in[at:min(at+step, len(in))]) // nothing may be kept of it
		if len(piece) == 0 {
			if err := b.EOF(); err != nil {
				return data, 0, errorText(err)
			}
			return data, len(in) - at, "done"
		}
		p, n, err := b.Next(piece)
		data = append(data, p...)
		clear(piece)
		at += n
		switch {
		case err != nil:
			return data, 0, errorText(err)
		case b.Done():
			return data, len(in) - at, "done"
		case len(p) == 0 && n < len(piece):
			return data, 0, "BUG: neither data nor need for more"
		}
	}
}

func bodyOutcome(f Framing, length int64, in string, step int) string {
	var b Body
	b.Reset(f, length, Client, nil)
	data, rest, end := decode(&b, []byte(in), step)
	var trailers string
	for _, t := range b.Trailers() {
		trailers += fmt.Sprintf(" %s=%q", t.Name, t.Value)
	}
	if int64(len(data)) != b.Size() {
		end += " wrong size"
	}
	return fmt.Sprintf("%q+%d %s%s", data, rest, end, trailers)
}

func TestBody(t *testing.T) {
	f := func(framing Framing, length int64, in, want string) {
		t.Helper()
		for step := 1; step <= len(in)+1; step++ {
			if got := bodyOutcome(framing, length, in, step); got != want {
				t.Errorf("%s %d %.80q in steps of %d\ngot  %s\nwant %s", framing, length, in, step, got, want)
				return
			}
		}
	}
	f(None, 0, "GET", `""+3 done`)
	f(Length, 0, "GET", `""+3 done`)
	f(Length, 5, "hello", `"hello"+0 done`)
	f(Length, 5, "helloGET", `"hello"+3 done`)
	f(Length, 5, "hell", `"hell"+0 client 400 truncated`)
	f(Length, 5, "", `""+0 client 400 truncated`)
	f(Length, math.MaxInt64, "x", `"x"+0 client 400 truncated`)
	f(Close, 0, "hello", `"hello"+0 done`)
	f(Close, 0, "", `""+0 done`)

	chunked := func(in, want string) {
		t.Helper()
		f(Chunked, -1, in, want)
	}
	chunked("0\r\n\r\n", `""+0 done`)
	chunked("0\r\n\r\nGET", `""+3 done`)
	chunked("5\r\nhello\r\n0\r\n\r\n", `"hello"+0 done`)
	chunked("2\r\nhe\r\n003\r\nllo\r\n000\r\n\r\nX", `"hello"+1 done`)
	chunked("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", `"01234567890123456789"+0 done`)
	chunked("1;a=b\r\nx\r\n0;\"q\\\"\"\r\n\r\n", `"x"+0 done`)
	chunked("1 \t;a\r\nx\r\n0\r\n\r\n", `"x"+0 done`)
	chunked("0000000000000001\r\nx\r\n0\r\n\r\n", `"x"+0 done`)

	// Cut short at any place.
	whole := "2;x\r\nhe\r\n0\r\nA: b\r\n\r\n"
	for i := range len(whole) {
		if got := bodyOutcome(Chunked, -1, whole[:i], 1000); !strings.HasSuffix(got, "client 400 truncated") {
			t.Errorf("%q: %s", whole[:i], got)
		}
	}

	// Size lines (RFC 9112 section 7.1; CVE-2023-39326, VSV00016 and their kin).
	for _, line := range []string{
		"\r\n", "x\r\n", "1x\r\n", "0x1\r\n", "-1\r\n", "+1\r\n", " 1\r\n", "1 \r\n", "1 1\r\n", "1\n", "1\r\r\n",
		"1\rx", "1;\n", "1;a\nb\r\n",
		"1;a\x00\r\n", "1;\r1\r\n", "00000000000000001\r\n", "8000000000000000\r\n", "ffffffffffffffff\r\n",
		"10000000000000000\r\n", ";\r\n", "1,\r\n",
	} {
		want := `""+0 client 400 bad_chunk`
		chunked(line+strings.Repeat(" ", 20), want)
	}
	chunked("1\r\nxy\r\n", `"x"+0 client 400 no_chunk_end`)
	chunked("1\r\nx\n0\r\n\r\n", `"x"+0 client 400 no_chunk_end`)
	chunked("1\r\nx\rx", `"x"+0 client 400 no_chunk_end`)
	chunked("1\r\nx0\r\n\r\n", `"x"+0 client 400 no_chunk_end`)
	chunked("1\r\nx\r\n1\r\nyz", `"xy"+0 client 400 no_chunk_end`)

	// Trailers.
	chunked("0\r\nA: b\r\nx-Sum:  1 \r\n\r\nG", `""+1 done A="b" x-Sum="1"`)
	chunked("0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: a\r\nCookie: a\r\nX-Forwarded-For: a\r\n"+
		"Connection: a\r\nAuthorization: a\r\nX_Y: a\r\nContent-Type: a\r\nE: 1\r\n\r\n", `""+0 done E="1"`)
	chunked("0\r\nA b\r\n\r\n", `""+0 client 400 space_in_name`)
	chunked("0\r\nA: b\n\r\n", `""+0 client 400 bare_lf`)
	chunked("0\r\n\n", `""+0 client 400 bare_lf`)
	chunked("0\r\nA: b\r\n c\r\n\r\n", `""+0 client 400 obs_fold`)
	chunked("0\r\nA: \x00\r\n\r\n", `""+0 client 400 bad_value`)
	chunked("0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", `""+0 client 400 space_in_name`)
}

func TestBodyLimits(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		for _, step := range []int{1, 100, len(in)} {
			if got := bodyOutcome(Chunked, -1, in, step); !strings.HasSuffix(got, want) {
				t.Errorf("%.40q in steps of %d: got ...%s, want %s", in, step, got[max(0, len(got)-60):], want)
			}
		}
	}
	f("1;"+strings.Repeat("x", 4095)+"\r\nx\r\n0;y\r\n\r\n", "done")
	f("1;"+strings.Repeat("x", 4095)+"\r\nx\r\n0;yz\r\n\r\n", "client 400 chunk_extension")
	f(strings.Repeat("1;0123456789\r\nx\r\n", 410), "client 400 chunk_extension")
	f("1"+strings.Repeat(" ", 5000), "client 400 chunk_extension")
	f("0\r\n"+strings.Repeat("a: b\r\n", 100)+"\r\n", `a="b"`)
	f("0\r\n"+strings.Repeat("a: b\r\n", 101)+"\r\n", "client 431 too_many_fields")
	f("0\r\na: "+strings.Repeat("x", DefaultMaxHead), "client 431 head_too_large")
}

func TestBodyAfterError(t *testing.T) {
	var b Body
	b.Reset(Chunked, -1, Upstream, nil)
	for range 3 {
		if _, _, err := b.Next([]byte("x")); err == nil || errorText(err) != "upstream 502 bad_chunk" {
			t.Error(err)
		}
	}
	if b.Done() || b.EOF() == nil {
		t.Error("a broken body is done")
	}
	b.Reset(Length, 1, Upstream, nil)
	if b.EOF() == nil || b.Done() {
		t.Error("a cut body is done")
	}
}

// TestTrailerNames has names pass from a server that do not pass from a client, as in heads.
func TestTrailerNames(t *testing.T) {
	for side, want := range map[Side]int{Client: 1, Upstream: 2} {
		var b Body
		b.Reset(Chunked, -1, side, nil)
		if _, _, end := decode(&b, []byte("0\r\na_b: 1\r\nc: 2\r\n\r\n"), 100); end != "done" || len(b.Trailers()) != want {
			t.Errorf("%s: %s, %d trailers", side, end, len(b.Trailers()))
		}
	}
}

func TestBodyRemaining(t *testing.T) {
	var b Body
	f := func(want int64) {
		t.Helper()
		if got := b.Remaining(); got != want {
			t.Errorf("remaining is %d, want %d", got, want)
		}
	}
	f(0)
	b.Reset(Length, 7, Client, nil)
	f(7)
	b.Next([]byte("123"))
	f(4)
	b.Next([]byte("4567"))
	f(0)
	b.Reset(Chunked, -1, Client, nil)
	f(-1)
	b.Next([]byte("0\r\n\r\n"))
	f(0)
	b.Reset(Close, -1, Client, nil)
	f(-1)
	b.EOF()
	f(0)
}

// TestEncode checks that what is written is read back by us and by net/http.
func TestEncode(t *testing.T) {
	var wire, want []byte
	for _, n := range []int{1, 9, 10, 15, 16, 255, 256, 70000} {
		p := bytes.Repeat([]byte{'x'}, n)
		wire = append(AppendChunkHeader(wire, n), p...)
		wire = append(wire, "\r\n"...)
		want = append(want, p...)
	}
	wire = AppendLastChunk(wire, []Field{{Name: []byte("A"), Value: []byte("b")}, {Name: []byte("Hop"), Hop: true}})
	var b Body
	b.Reset(Chunked, -1, Client, nil)
	got, rest, end := decode(&b, wire, 1000)
	if !bytes.Equal(got, want) || rest != 0 || end != "done" {
		t.Errorf("%d octets, %d left, %s", len(got), rest, end)
	}
	if tr := b.Trailers(); len(tr) != 1 || string(tr[0].Name) != "A" || string(tr[0].Value) != "b" {
		t.Errorf("trailers %v", tr)
	}
	theirs, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(wire)))
	if err != nil || !bytes.Equal(theirs, want) {
		t.Errorf("net/http reads %d octets, %v", len(theirs), err)
	}
	if n := len(AppendChunkHeader(nil, math.MaxInt)); n > MaxChunkHeader {
		t.Errorf("a chunk header of %d octets", n)
	}
}

func TestWrite(t *testing.T) {
	f := func(got []byte, want string) {
		t.Helper()
		if string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f(AppendRequestLine(nil, []byte("GET"), []byte("/a?b")), "GET /a?b HTTP/1.1\r\n")
	f(AppendStatusLine(nil, 200, []byte("OK")), "HTTP/1.1 200 OK\r\n")
	f(AppendStatusLine(nil, 404, nil), "HTTP/1.1 404 \r\n")
	f(AppendField(nil, []byte("A"), nil), "A: \r\n")
	if ValidValue([]byte("a\r\nb")) || ValidValue([]byte("\x00")) || !ValidValue([]byte("a\tb")) || !ValidValue(nil) {
		t.Error("ValidValue")
	}
	if ValidName(nil) || ValidName([]byte("a b")) || ValidName([]byte("a:")) || !ValidName([]byte("X-a")) {
		t.Error("ValidName")
	}
}

func TestLookup(t *testing.T) {
	for id := Unknown + 1; id < numIDs; id++ {
		name := id.String()
		if Lookup([]byte(name)) != id || Lookup([]byte(strings.ToUpper(name))) != id {
			t.Errorf("%q is not found", name)
		}
		if Lookup([]byte(name+"x")) == id || Lookup([]byte("x"+name[1:])) == id && name[0] != 'x' {
			t.Errorf("%q is found in another name", name)
		}
	}
	if Lookup(nil) != Unknown || Lookup([]byte(strings.Repeat("x", 1000))) != Unknown {
		t.Error("unknown names are known")
	}
	if int(numIDs) > 64 {
		t.Error("too many IDs for the bits of head.present")
	}
	if !Connection.IsHop() || Host.IsHop() || ID(200).IsHop() || ID(200).String() != "" {
		t.Error("IsHop")
	}
}

// TestValidValue compares the fast check with the slow one for every octet in every place.
func TestValidValue(t *testing.T) {
	for n := 1; n < 20; n++ {
		for i := range n {
			for c := range 256 {
				b := bytes.Repeat([]byte{'a'}, n)
				b[i] = byte(c)
				if validValue(b) != validSlow(b) {
					t.Fatalf("%q", b)
				}
			}
		}
	}
	if !validValue([]byte("\t\t\t\t\t\t\t\t\xff\x80\xff\x80\xff\x80\xff\x80")) {
		t.Error("tabs and octets from 0x80 are refused")
	}
}
