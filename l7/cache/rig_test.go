package cache

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"weir/l7/cache/policy"
	"weir/l7/message"
)

var testNow = time.Unix(1_700_000_000, 0)

// newStore makes a store that overwrites what is given back, and that must have got
// everything back at the end of the test.
func newStore(t testing.TB, o Options) *Store {
	t.Helper()
	s := New(o)
	s.arena.poison = true
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// request parses a GET with the given lines of fields.
func request(t testing.TB, target string, lines ...string) *message.Request {
	t.Helper()
	text := "GET " + target + " HTTP/1.1\r\nHost: a.example\r\n"
	for _, line := range lines {
		text += line + "\r\n"
	}
	req := new(message.Request)
	if _, err := req.Parse([]byte(text+"\r\n"), &message.Limits{}); err != nil {
		t.Fatal(err)
	}
	return req
}

var plainKeys = policy.NewKeyPolicy(policy.KeyParts{})

func keyOf(req *message.Request) []byte { return policy.AppendKey(nil, plainKeys, "http", req) }

// meta is that of a response that is fresh for a minute.
func meta() policy.Meta {
	return policy.Meta{
		Status: 200, Requested: testNow.UnixNano(), Received: testNow.UnixNano(), Lifetime: time.Minute,
	}
}

// object is one with the given Vary, for the request that it answers.
func object(req *message.Request, vary string) *Object {
	o := &Object{Key: keyOf(req), Meta: meta(), Head: []byte("Content-Type: text/plain\r\n"), Length: -1}
	if vary != "" {
		names, ok := policy.AppendVary(nil, []message.Field{{
			Name: []byte("Vary"), Value: []byte(vary), Known: message.Vary,
		}})
		if !ok {
			panic("cannot use the Vary " + vary)
		}
		o.Vary = names
		o.Variant = policy.AppendVariant(nil, names, req.Fields)
	}
	return o
}

func mustPut(t testing.TB, s *Store, o *Object, body string) {
	t.Helper()
	var ref Ref
	if err := s.Put(o, []byte(body), &ref); err != nil {
		t.Fatal(err)
	}
	ref.Release()
}

// found returns the body that Lookup finds, and "-" for what it does not.
func found(t testing.TB, s *Store, req *message.Request) string {
	t.Helper()
	var ref Ref
	switch s.Lookup(keyOf(req), req, testNow, &ref) {
	case Miss, OtherVariant:
		return "-"
	case Uncacheable:
		return "uncacheable"
	}
	defer ref.Release()
	return readAll(t, &ref)
}

func readAll(t testing.TB, ref *Ref) string {
	t.Helper()
	var b strings.Builder
	for {
		p, err := ref.Next(nil, 20*time.Second)
		if err == io.EOF {
			return b.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		b.Write(p)
	}
}

// body makes n octets that tell where they belong.
func body(n int, seed string) string {
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "%s:%d|", seed, b.Len())
	}
	return b.String()[:n]
}
