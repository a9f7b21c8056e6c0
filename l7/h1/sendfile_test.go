package h1

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/l7/message"
)

// TestWriteFileTooLong: no more than was announced goes out, and what is not there
// is no end of the body.
func TestWriteFileTooLong(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, []byte(strings.Repeat("x", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	f := func(announced, n int64, want error) {
		t.Helper()
		c := NewConn(&record{}, &Options{})
		defer c.Close()
		if err := c.WriteHead([]byte("HTTP/1.1 200 OK\r\n\r\n"), message.Length, announced); err != nil {
			t.Fatal(err)
		}
		if err := c.WriteFile(file, 0, n); err != want {
			t.Errorf("%d octets of %d announced: got %v, want %v", n, announced, err, want)
		}
	}
	f(100, 100, nil)
	f(100, 101, ErrLong)
	f(200, 150, io.ErrUnexpectedEOF)
}
