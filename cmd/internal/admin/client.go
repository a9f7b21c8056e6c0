package admin

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"

	"weir/conf"
)

// maxAnswer bounds what a client takes from a server, in bytes.
const maxAnswer = 8 << 20

// Client talks to the admin API of the process that runs a configuration.
type Client struct {
	http  http.Client
	base  string
	token string
	addr  conf.Addr
}

// Dial prepares a client for the process that runs configuration c; it does not
// connect yet. The token is that of the configuration or of its state directory.
func Dial(c *conf.Config) (*Client, error) {
	addr := c.Admin.Listen
	if addr.IsZero() {
		addr = SocketAddr(c)
	}
	if addr.Network == "unix" {
		dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", addr.Path)
		}
		transport := &http.Transport{DialContext: dial, DisableKeepAlives: true}
		return &Client{http: http.Client{Transport: transport}, base: "http://localhost", addr: addr}, nil
	}
	token, err := readToken(c)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	cl := &Client{base: "http://" + addr.String(), token: token, addr: addr}
	if c.Admin.Cert != "" {
		if transport.TLSClientConfig, err = pinned(c.Admin.Cert); err != nil {
			return nil, err
		}
		cl.base = "https://" + addr.String()
	}
	cl.http.Transport = transport
	return cl, nil
}

// pinned trusts exactly the certificate of the file, whatever names are in it.
func pinned(file string) (*tls.Config, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the certificate of [admin]: %w", err)
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection looks at the certificate itself
		VerifyConnection: func(cs tls.ConnectionState) error {
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(text)
			leaf := cs.PeerCertificates[0]
			_, err := leaf.Verify(x509.VerifyOptions{Roots: roots})
			return err
		},
	}, nil
}

// Refused is the answer of a server that did not do what it was asked.
type Refused struct {
	Status   int
	Message  string        // the reason, in several lines where the file is to blame
	Problems conf.Problems // what is wrong with the file, if that is the reason
}

// Error gives the reason.
func (r *Refused) Error() string { return r.Message }

// Reload makes the process read its configuration again and returns the version
// in force. A *Refused means that nothing changed.
func (c *Client) Reload(ctx context.Context) (version uint64, err error) {
	var state configState
	if err := c.do(ctx, http.MethodPost, "/api/v1/reload", nil, &state); err != nil {
		return 0, err
	}
	return state.Version, nil
}

// do sends one request, with body as JSON unless it is nil, and reads the answer.
func (c *Client) do(ctx context.Context, method, path string, body, answer any) error {
	var sent io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("cannot encode the request to %q: %w", c.addr, err)
		}
		sent = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, sent)
	if err != nil {
		return fmt.Errorf("cannot make a request to %q: %w", c.addr, err)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		// The method and the made-up URL of the socket would say nothing.
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return fmt.Errorf("cannot reach the admin API at %q (is weir running with this file?): %w", c.addr, err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	got, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("cannot read the answer of %q: %w", c.addr, err)
	}
	if resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(got, answer); err != nil {
			return fmt.Errorf("cannot read the answer of %q: %w", c.addr, err)
		}
		return nil
	}
	var f failure
	if err := json.Unmarshal(got, &f); err != nil || f.Error == "" {
		f.Error = fmt.Sprintf("%q answered %s", c.addr, resp.Status)
	}
	return &Refused{Status: resp.StatusCode, Message: f.Error, Problems: f.Problems}
}
