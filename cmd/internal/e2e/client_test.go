package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"testing"
)

// client is an HTTP client that checks what it gets.
type client struct {
	t testing.TB
	*http.Client
	transport *http.Transport
}

// newClient keeps its connections until the test ends.
func newClient(t testing.TB) *client {
	t.Helper()
	tr := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
	c := &client{t: t, transport: tr, Client: &http.Client{
		Transport:     tr,
		Timeout:       3 * patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return c
}

// to sends every connection to addr, whatever the URL's host, and trusts the
// authority (nil: the system's).
func (c *client) to(addr string, ca *x509.CertPool) *client {
	c.transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	c.transport.TLSClientConfig = &tls.Config{RootCAs: ca}
	return c
}

// get reads a whole answer.
func (c *client) get(url string) (body string, err error) {
	resp, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// status is the code of the answer, whose body is dropped.
func (c *client) status(url string) int {
	c.t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		c.t.Error(err)
		return 0
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.StatusCode
}

func (c *client) wantStatus(url string, want int) {
	c.t.Helper()
	if got := c.status(url); got != want {
		c.t.Errorf("%s: status %d, want %d", url, got, want)
	}
}

func (c *client) wantBody(url, want string) {
	c.t.Helper()
	if got, err := c.get(url); err != nil || got != want {
		c.t.Errorf("%s: %q, %v; want %q", url, got, err, want)
	}
}

// wantBytes gets n bytes of the pattern with status 200.
func (c *client) wantBytes(url string, n int64) {
	c.t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		c.t.Error(err)
		return
	}
	defer resp.Body.Close()
	if err := wantPattern(resp.Body, n); err != nil || resp.StatusCode != http.StatusOK {
		c.t.Errorf("%s: status %d, %v", url, resp.StatusCode, err)
	}
}
