package engine

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const patience = 30 * time.Second

// eventually waits for something that must come.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not come: %s", what)
		}
	}
}

// runRig runs an engine with signals until the test ends.
func runRig(t *testing.T, text string) (r *rig, ended <-chan error) {
	t.Helper()
	r = &rig{t: t, dir: t.TempDir(), log: &logBuffer{}}
	r.file = filepath.Join(r.dir, "weir.toml")
	r.write(text)
	started, done := make(chan *Engine, 1), make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		done <- Run(ctx, Options{File: r.file, Stderr: r.log}, func(e *Engine) { started <- e })
		close(done)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		if t.Failed() {
			t.Logf("process log:\n%s", r.log)
		}
	})
	select {
	case r.Engine = <-started:
	case err := <-done:
		t.Fatal(err)
	}
	return r, done
}

func signalSelf(t *testing.T, s unix.Signal) {
	t.Helper()
	if err := unix.Kill(os.Getpid(), s); err != nil {
		t.Fatal(err)
	}
}

func TestSignals(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	wantNotify := func(prefix string) {
		t.Helper()
		buf := make([]byte, 1000)
		_ = l.SetReadDeadline(time.Now().Add(patience))
		n, err := l.Read(buf)
		if err != nil || !strings.HasPrefix(string(buf[:n]), prefix) {
			t.Fatalf("got %q, %v, want %q", buf[:n], err, prefix)
		}
	}
	one, two := backendServer(t, "one"), backendServer(t, "two")
	log := filepath.Join(t.TempDir(), "access.log")
	access := fmt.Sprintf("[access_log]\npath = %q\n", log)
	r, ended := runRig(t, access+web(one))
	wantNotify("READY=1\nSTATUS=serving configuration 1")
	r.wantBody(r.addr("web"), "one")

	r.write(access + web(two))
	signalSelf(t, unix.SIGHUP)
	wantNotify("RELOADING=1\nMONOTONIC_USEC=")
	wantNotify("READY=1\nSTATUS=serving configuration 2")
	r.wantBody(r.addr("web"), "two")

	r.write("nonsense = 1\n")
	signalSelf(t, unix.SIGHUP)
	wantNotify("RELOADING=1")
	wantNotify("READY=1\nSTATUS=serving configuration 2")
	r.wantBody(r.addr("web"), "two")

	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	signalSelf(t, unix.SIGUSR1)
	eventually(t, "the access log is reopened", func() bool {
		_, err := os.Stat(log)
		return err == nil
	})

	signalSelf(t, unix.SIGTERM)
	wantNotify("STOPPING=1")
	select {
	case err := <-ended:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
	// What waited for the disk when the file was rotated may be in either.
	lines := 0
	for _, file := range []string{log, log + ".1"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines += strings.Count(string(text), "\n")
	}
	if lines != 3 {
		t.Fatalf("%d lines for 3 requests", lines)
	}
}

// Row 56: SIGTERM tells keep-alive clients to close and lets a request finish;
// SIGINT cuts the wait short.
func TestDrainThenInterrupt(t *testing.T) {
	entered, finish := make(chan struct{}), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/slow":
			entered <- struct{}{}
			<-finish
		case "/stuck":
			entered <- struct{}{}
			<-req.Context().Done()
		}
		_, _ = io.WriteString(w, "answer")
	}))
	defer s.Close()
	r, ended := runRig(t, web(s.Listener.Addr().String()))
	addr := r.addr("web")

	kept, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	_ = kept.SetDeadline(time.Now().Add(patience))
	in := bufio.NewReader(kept)
	ask := func(path string) {
		t.Helper()
		if _, err := fmt.Fprintf(kept, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
			t.Fatal(err)
		}
	}
	wantAnswer := func(close bool) {
		t.Helper()
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "answer" || resp.Close != close {
			t.Fatalf("got %q, %v, close %v, want close %v", body, err, resp.Close, close)
		}
	}
	ask("/")
	wantAnswer(false)
	ask("/slow")
	<-entered
	stuck := make(chan error, 1)
	go func() {
		_, err := fetch(addr + "/stuck")
		stuck <- err
	}()
	<-entered

	// A connection that waits for its next request is closed, which also tells
	// that the drain has begun.
	idle, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	_ = idle.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(idle, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer := bufio.NewReader(idle)
	if resp, err := http.ReadResponse(answer, nil); err != nil || resp.ContentLength != int64(len("answer")) {
		t.Fatalf("got %v, %v", resp, err)
	}
	signalSelf(t, unix.SIGTERM)
	if rest, err := io.ReadAll(answer); err != nil || string(rest) != "answer" {
		t.Fatalf("got %q, %v", rest, err)
	}
	if r.Ready() == nil {
		t.Fatal("ready in a drain")
	}
	close(finish)
	wantAnswer(true)

	signalSelf(t, unix.SIGINT)
	if err := <-stuck; err == nil {
		t.Fatal("SIGINT did not cut the request off")
	}
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
}

// A file with mistakes is the error of Run, and started is not called.
func TestRunRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "weir.toml")
	if err := os.WriteFile(file, []byte("nonsense = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := Run(t.Context(), Options{File: file, Stderr: io.Discard}, func(*Engine) { t.Error("started") })
	if err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Fatalf("got %v", err)
	}
}
