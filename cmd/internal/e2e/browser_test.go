//go:build browser

package e2e

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

// site is the backend of a page that watches events, speaks over a WebSocket and uploads.
type site struct {
	seen   chan string // events that the page has told of
	result chan string // what the page says at its end
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case path == "/":
		http.ServeFile(w, r, filepath.Join("testdata", "browser.html"))
	case path == "/events":
		s.events(w, r)
	case strings.HasPrefix(path, "/seen/"):
		s.seen <- strings.TrimPrefix(path, "/seen/")
	case path == "/websocket":
		websocket.Handler(echoFrames).ServeHTTP(w, r)
	case path == "/echo":
		body, _ := io.ReadAll(r.Body)
		w.Write(body)
	case path == "/result":
		text, _ := io.ReadAll(r.Body)
		s.result <- string(text)
	default:
		http.NotFound(w, r)
	}
}

// events sends three events behind the last one that the browser knows, each after the
// one before was told of, and ends the stream.
func (s *site) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, "retry: 10\n\n")
	last, _ := strconv.Atoi(r.Header.Get("Last-Event-Id"))
	for n := last + 1; n <= last+3; n++ {
		fmt.Fprintf(w, "id: %d\ndata: %d\n\n", n, n)
		w.(http.Flusher).Flush()
		select {
		case <-s.seen:
		case <-r.Context().Done():
			return
		}
	}
}

// echoFrames sends back frames of both kinds, as they are, until the client says bye.
func echoFrames(c *websocket.Conn) {
	type frame struct {
		kind byte
		data []byte
	}
	codec := websocket.Codec{
		Marshal: func(v any) ([]byte, byte, error) {
			f := v.(frame)
			return f.data, f.kind, nil
		},
		Unmarshal: func(data []byte, kind byte, v any) error {
			*v.(*frame) = frame{kind, data}
			return nil
		},
	}
	for {
		var f frame
		if codec.Receive(c, &f) != nil || string(f.data) == "bye" || codec.Send(c, f) != nil {
			return
		}
	}
}

// TestChromium: a page with server-sent events, a WebSocket and an upload, in a browser,
// by http and by https.
func TestChromium(t *testing.T) {
	s := &site{seen: make(chan string), result: make(chan string, 1)}
	own, clear, secure := newBrowserCert(t), freeAddr(t), freeAddr(t)
	backend := startHandler(t, s.ServeHTTP)
	startWeir(t, pool("app", backend)+web(clear, "app")+tlsWeb("secure", secure, own.file, own.key, "app"))
	const want = "events 1 2 3 4 5 6, messages 12 of 12, upload 3145728 true"
	show := func(url string, args ...string) {
		t.Helper()
		log := startChromium(t, url, args...)
		select {
		case got := <-s.result:
			if got != want {
				t.Errorf("%s: the page says %q, want %q", url, got, want)
			}
		case <-time.After(3 * patience):
			t.Errorf("%s: the page says nothing; chromium:\n%s", url, log.tail(8<<10))
		}
	}
	show("http://" + clear + "/")
	show(own.url(secure), own.args...)
}

// browserCert is a certificate of www.example.com, and the arguments with which a browser
// takes it for a good one, and its name for this machine.
type browserCert struct {
	file, key string
	args      []string
}

func newBrowserCert(t *testing.T) *browserCert {
	t.Helper()
	c := &browserCert{}
	c.file, c.key = newAuthority(t, t.TempDir()).issue(t, "weir", browserHost)
	block, _ := pem.Decode([]byte(readFile(t, c.file)))
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	c.args = []string{
		"--host-resolver-rules=MAP " + browserHost + " 127.0.0.1",
		"--ignore-certificate-errors-spki-list=" + base64.StdEncoding.EncodeToString(sum[:]),
		// Dictionaries are for certificates of public authorities only, else.
		"--disable-features=CompressionDictionaryTransportRequireKnownRootCert",
	}
	return c
}

const browserHost = "www.example.com"

func (*browserCert) url(addr string) string {
	return "https://" + browserHost + ":" + portOf(addr) + "/"
}

// startChromium shows the page without a window until the test ends, in a browser that
// has seen nothing before; more are arguments.
func startChromium(t *testing.T, url string, more ...string) *logBuffer {
	t.Helper()
	args := []string{
		"--headless", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server",
		"--disable-background-networking", "--user-data-dir=" + t.TempDir(), "--remote-debugging-port=0",
		"--autoplay-policy=no-user-gesture-required",
	}
	if os.Getuid() == 0 {
		args = append(args, "--no-sandbox") // it refuses to run as root with one
	}
	cmd := exec.Command("chromium", append(append(args, more...), url)...)
	cmd.SysProcAttr = dieWithUs()
	cmd.SysProcAttr.Setpgid = true
	log := &logBuffer{}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.WaitDelay = patience
	if err := cmd.Start(); err != nil {
		t.Fatalf("cannot start chromium: %v", err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it is many processes
		cmd.Wait()
	})
	return log
}
