package demo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/conf"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, ports Ports) *Demo {
	t.Helper()
	d, err := Start(ports)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(d.dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the directory is still there: %v", err)
		}
	})
	return d
}

func get(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	defer client.CloseIdleConnections()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestServices(t *testing.T) {
	d := start(t, PortsFrom(0))
	f := func(service, path string, status int, want string) {
		t.Helper()
		client := &http.Client{Transport: &http.Transport{}}
		if got, body := get(t, client, "http://"+d.addr(service)+path); got != status || !strings.Contains(body, want) {
			t.Fatalf("got %d %q, want %d %q", got, body, status, want)
		}
	}
	f("fast", "/a?b", 200, "hello from fast\nGET /a?b, Host: 127.0.0.1")
	f("slow", "/", 200, "hello from slow")
	f("echo", "/", 200, "hello from echo")
	for i := range 2 * failEvery {
		if (i+1)%failEvery == 0 {
			f("flaky", "/", 500, "this one failed")
		} else {
			f("flaky", "/", 200, "hello from flaky")
		}
		f("flaky", "/healthz", 200, "")
	}
}

func TestTLSService(t *testing.T) {
	d := start(t, PortsFrom(0))
	ca, err := os.ReadFile(d.path("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	config := &tls.Config{RootCAs: roots, ServerName: dbName}
	status, body := get(t, &http.Client{Transport: &http.Transport{TLSClientConfig: config}}, "https://"+d.addr("db"))
	if status != 200 || !strings.Contains(body, "hello from db") {
		t.Fatalf("got %d %q", status, body)
	}
	if _, err := tls.LoadX509KeyPair(d.path("www.pem"), d.path("www.key")); err != nil {
		t.Fatal(err)
	}
}

func TestEchoHalfClose(t *testing.T) {
	d := start(t, PortsFrom(0))
	c, err := net.Dial("tcp", d.addr("echo"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const text = "one\ntwo\nthree without an end"
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); err != nil || string(got) != text {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestTakenPort(t *testing.T) {
	l, err := net.Listen("tcp", loopback(0))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	d := start(t, Ports{TCP: taken})
	if d.ports.TCP == taken || d.ports.TCP == 0 {
		t.Fatalf("uses port %d", d.ports.TCP)
	}
	want := fmt.Sprintf("port %d is taken, using %d", taken, d.ports.TCP)
	if len(d.Notes) != 1 || d.Notes[0] != want {
		t.Fatalf("got %q, want %q", d.Notes, want)
	}
}

func TestPorts(t *testing.T) {
	if got := PortsFrom(5000); got != (Ports{5000, 5001, 5002, 5003}) {
		t.Fatalf("got %v", got)
	}
	if got := PortsFrom(0); got != (Ports{}) {
		t.Fatalf("got %v", got)
	}
}

func TestText(t *testing.T) {
	d := start(t, PortsFrom(0))
	if regexp.MustCompile(`\{[A-Z]+\}|%!`).MatchString(d.Text + d.Guide()) {
		t.Fatalf("a placeholder is left:\n%s\n%s", d.Text, d.Guide())
	}
	c, err := conf.Parse("example.toml", []byte(d.Example()))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Pools) != 5 || len(c.L4) != 2 || len(c.L7) != 2 {
		t.Fatalf("got %d pools, %d l4, %d l7", len(c.Pools), len(c.L4), len(c.L7))
	}
}

func TestMoody(t *testing.T) {
	l, err := net.Listen("tcp", loopback(0))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	m := newMoody(ctx, &wg, l, time.Millisecond, time.Millisecond)
	wg.Go(func() {
		for {
			c, err := m.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	})
	// It must be seen refusing and taking connections, whatever comes first.
	var refused, taken bool
	for deadline := time.Now().Add(30 * time.Second); (!refused || !taken) && time.Now().Before(deadline); {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			refused = true
			continue
		}
		taken = true
		c.Close()
	}
	cancel()
	m.Close()
	wg.Wait()
	if !refused || !taken {
		t.Fatalf("refused %v, taken %v", refused, taken)
	}
}
