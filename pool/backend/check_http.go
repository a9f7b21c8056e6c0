package backend

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"weir/conf"
)

// The bounds of an answer to a check.
const (
	maxCheckHead = 64 << 10
	maxCheckBody = 64 << 10
	maxInterim   = 5 // 1xx answers before the real one
)

var errCheckTimeout = errors.New("no complete answer within the check's timeout")

// httpCheck passes when a GET of the path is answered before ctx ends with an
// accepted status and, where one is wanted, the text in the first 64 KiB of the
// body. Every check has a connection of its own; redirects are answers like any
// other and are not followed.
//
// It reads the answer itself: http.Transport prints to the standard error what it
// dislikes about a server, twice a second for as long as that one is down.
func httpCheck(ctx context.Context, network, address, host string, h *conf.Health) error {
	conn, err := dialCheck(ctx, network, address)
	if err != nil {
		return checkCause(err)
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	req, err := checkRequest(host, h.Path)
	if err != nil {
		return err
	}
	if err := req.Write(conn); err != nil {
		return checkCause(err)
	}
	limited := &io.LimitedReader{R: conn, N: maxCheckHead}
	resp, err := readResponse(bufio.NewReader(limited), req)
	if err != nil {
		if limited.N <= 0 {
			return fmt.Errorf("head of the answer is longer than %d bytes", maxCheckHead)
		}
		return checkCause(err)
	}
	// The body is not closed: that would read it to its end, which may never come,
	// and there is nothing to give back but the connection.
	limited.N = 2 * maxCheckBody // what chunks add is not worth counting
	return judge(resp, h)
}

func checkRequest(host, path string) (*http.Request, error) {
	if path == "" {
		path = "/"
	}
	target, err := url.ParseRequestURI(path)
	if err != nil {
		return nil, fmt.Errorf("cannot use check path %q: %w", path, err)
	}
	return &http.Request{
		Method: http.MethodGet, URL: target, Host: host, Close: true,
		Header: http.Header{"User-Agent": {"weir-health"}, "Accept": {"*/*"}},
	}, nil
}

// readResponse reads the head of the final answer.
func readResponse(br *bufio.Reader, req *http.Request) (*http.Response, error) {
	for range maxInterim {
		resp, err := http.ReadResponse(br, req)
		if err != nil || resp.StatusCode >= http.StatusOK {
			return resp, err
		}
	}
	return nil, fmt.Errorf("%d interim answers and no final one", maxInterim)
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
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return errCheckTimeout
	}
	return err
}
