package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"

	"weir/conf"
)

// maxCheckBody is how much of an answer a check reads, head and body each.
const maxCheckBody = 64 << 10

// httpCheck passes when a GET of the path is answered before ctx ends with an
// accepted status and, where one is wanted, the text in the first 64 KiB of the
// body. Every check has a connection of its own; redirects are answers like any
// other and are not followed.
func httpCheck(ctx context.Context, network, address, host string, h *conf.Health) error {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, address)
		},
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxCheckBody,
		Protocols:              http1Only(),
	}
	defer transport.CloseIdleConnections()
	path := h.Path
	if path == "" {
		path = "/"
	}
	target, err := url.ParseRequestURI(path)
	if err != nil {
		return fmt.Errorf("cannot use check path %q: %w", path, err)
	}
	target.Scheme, target.Host = "http", host
	req := (&http.Request{
		Method: http.MethodGet, URL: target, Host: host,
		Header: http.Header{"User-Agent": {"weir-health"}, "Accept": {"*/*"}},
	}).WithContext(ctx)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return checkCause(err)
	}
	defer func() { _ = resp.Body.Close() }()
	return judge(resp, h)
}

func http1Only() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}

// judge compares an answer with what the check expects.
func judge(resp *http.Response, h *conf.Health) error {
	if !statusAccepted(resp.StatusCode, h.Status) {
		return fmt.Errorf("status %d, expected %s", resp.StatusCode, statusWanted(h.Status))
	}
	if h.Body == "" {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxCheckBody))
	if bytes.Contains(body, []byte(h.Body)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read the body: %w", checkCause(err))
	}
	return fmt.Errorf("body of %d bytes does not contain %q", len(body), h.Body)
}

func statusAccepted(got int, wanted []int) bool {
	if len(wanted) == 0 {
		return got >= 200 && got <= 399
	}
	return slices.Contains(wanted, got)
}

func statusWanted(wanted []int) string {
	if len(wanted) == 0 {
		return "200-399"
	}
	return fmt.Sprint(wanted)
}

// checkCause words the end of a check's time as what it is.
func checkCause(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errCheckTimeout
	}
	return err
}

var errCheckTimeout = errors.New("no complete answer within the check's timeout")
