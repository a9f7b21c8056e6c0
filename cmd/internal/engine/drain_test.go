package engine

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// slowHello sends the first bytes of a connection at once, and the rest when told.
type slowHello struct {
	net.Conn
	once sync.Once
	rest <-chan struct{}
}

func (c *slowHello) Write(p []byte) (int, error) {
	begun := 0
	c.once.Do(func() {
		begun, _ = c.Conn.Write(p[:10])
		<-c.rest
	})
	n, err := c.Conn.Write(p[begun:])
	return begun + n, err
}

// A connection that L4 is still sniffing when a drain begins is served by L7, though
// L7 had nothing to do by then.
func TestDrainServesLateHandOver(t *testing.T) {
	dir := t.TempDir()
	writePair(t, dir, 1, time.Now().Add(time.Hour))
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(100 * time.Millisecond) // long enough to be cut
		_, _ = io.WriteString(w, "one")
	}))
	defer backend.Close()
	server := backend.Listener.Addr().String()
	r := newRig(t, secure(server, dir)+"[[l4]]\nname = \"edge\"\nlisten = [\"127.0.0.1:0\"]\n"+
		"[[l4.route]]\nsni = [\"www.example.com\"]\nl7 = \"web\"\n", false)
	raw, err := net.Dial("tcp", r.addr("edge"))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	rest, answer := make(chan struct{}), make(chan string, 1)
	go func() {
		c := tls.Client(&slowHello{Conn: raw, rest: rest}, &tls.Config{
			ServerName: "www.example.com", InsecureSkipVerify: true, //nolint:gosec // made by the test
		})
		answer <- request(c)
	}()
	eventually(t, "the connection is sniffed", func() bool { return r.l4.Sessions() == 1 })
	stopped := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		stopped <- r.Stop(ctx)
	}()
	eventually(t, "the drain begins", func() bool { return r.Ready() != nil })
	time.Sleep(100 * time.Millisecond) // L7 has nothing to wait for and is done by now
	close(rest)
	if got := <-answer; got != "200 one true" {
		t.Errorf("got %q, want the answer of the backend on a connection that closes", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// request sends one request on c and says what came: status, body and whether the
// connection is to close.
func request(c net.Conn) string {
	req, _ := http.NewRequest(http.MethodGet, "https://www.example.com/", http.NoBody)
	client := http.Client{Timeout: patience, Transport: &http.Transport{
		DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return c, nil },
	}}
	resp, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(resp.StatusCode, " ", string(body), " ", resp.Close)
}
