package message

import (
	"testing"
)

func TestRequestSimple(t *testing.T) {
	var r Request
	in := []byte("\r\nGET http://A.b:80/x/%7euser%2a?q=1 HTTP/1.1\r\nHost: a.b:80\r\nConnection: close, X-Foo\r\nX-Foo: 1\r\n\r\n")
	n, err := r.Parse(in, nil)
	if err != nil || n != len(in) {
		t.Fatal(n, err)
	}
	t.Logf("%s %s %s %s %v", r.Host, r.Path, r.Match, r.Query, r.Fields)
}
