package engine

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/conf"
)

// writePair writes a self-signed certificate with this serial number.
func writePair(t *testing.T, dir string, serial int64, until time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"www.example.com"},
		NotBefore: until.Add(-48 * time.Hour), NotAfter: until,
	}
	cert, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) {
		t.Helper()
		text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("www.pem", "CERTIFICATE", cert)
	write("www.key", "PRIVATE KEY", der)
}

func secure(server, dir string) string {
	return web(server) + fmt.Sprintf("[l7.tls]\ncerts = [{ cert = %q, key = %q }]\n",
		filepath.Join(dir, "www.pem"), filepath.Join(dir, "www.key"))
}

// serial is that of the certificate shown at addr.
func serial(t *testing.T, addr string) int64 {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, ServerName: "www.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// A reload reads certificates again though the file is the same; one that does not
// fit its key changes nothing.
func TestReloadCertificates(t *testing.T) {
	certs := t.TempDir()
	tomorrow := time.Now().Add(24 * time.Hour)
	writePair(t, certs, 1, tomorrow)
	r := newRig(t, secure(backendServer(t, "one"), certs), false)
	addr := r.addr("web")
	if got := serial(t, addr); got != 1 {
		t.Fatalf("got certificate %d", got)
	}
	writePair(t, certs, 2, tomorrow)
	if _, err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := serial(t, addr); got != 2 {
		t.Fatalf("got certificate %d", got)
	}
	if err := os.WriteFile(filepath.Join(certs, "www.key"), []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "www.key") {
		t.Fatalf("got %v", err)
	}
	if got := serial(t, addr); got != 2 {
		t.Fatalf("got certificate %d", got)
	}
	r.wantMetrics("weir_config_last_reload_successful 0", "weir_config_version 2")
}

// Connections outlive reloads and use what is in force then.
func TestReloadKeepsConnection(t *testing.T) {
	one, two := backendServer(t, "one"), backendServer(t, "two")
	r := newRig(t, web(one), false)
	reused := 0
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	defer client.CloseIdleConnections()
	for i := range 20 {
		want, server := "one", one
		if i%2 == 1 {
			want, server = "two", two
		}
		r.write(web(server))
		if _, err := r.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		resp, err := client.Get("http://" + r.addr("web"))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(body) != want {
			t.Fatalf("got %q, %v, want %q", body, err, want)
		}
		if !resp.Close {
			reused++
		}
	}
	if reused != 20 {
		t.Fatalf("%d of 20 answers kept the connection", reused)
	}
}

func TestWatchReloads(t *testing.T) {
	one, two := backendServer(t, "one"), backendServer(t, "two")
	r := newRig(t, web(one), true)
	r.write(web(two))
	eventually(t, "the new file is in force", func() bool { return r.Running().Version == 2 })
	r.wantBody(r.addr("web"), "two")
	r.write(web(two) + "nonsense = 1\n")
	eventually(t, "the bad file is refused", func() bool { return strings.Contains(r.log.String(), "reload refused") })
	r.wantBody(r.addr("web"), "two")
}

func parse(t *testing.T, text string) *conf.Config {
	t.Helper()
	c, err := conf.Parse("test.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNeedsRestart(t *testing.T) {
	old := parse(t, web("127.0.0.1:1"))
	f := func(want string, extra string) {
		t.Helper()
		got := strings.Join(needsRestart(old, parse(t, extra+web("127.0.0.1:2"))), " ")
		if got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	f("", "")
	f("", "[log]\nlevel = \"debug\"\n[process]\nmax_conns = 5\ndrain_timeout = \"1s\"\n")
	f("process.loops", "[process]\nloops = 3\n")
	f("admin", "[process]\nstate_dir = \"/nowhere\"\n")
	f("admin", "[admin]\nlisten = \"127.0.0.1:1\"\n")
	f("access_log", "[access_log]\npath = \"stdout\"\n")
	f("log.format", "[log]\nformat = \"json\"\n")
}

func TestWatchedFiles(t *testing.T) {
	dir := t.TempDir()
	writePair(t, dir, 1, time.Now())
	c := parse(t, secure("127.0.0.1:1", dir))
	c.File = "/etc/weir.toml"
	want := []string{"/etc/weir.toml", filepath.Join(dir, "www.pem"), filepath.Join(dir, "www.key")}
	if got := watchedFiles(c); !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	writePair(t, dir, 1, time.Now().Add(time.Hour))
	c := parse(t, secure("127.0.0.1:1", dir))
	if warnings, err := Check(c); err != nil || len(warnings) > 0 {
		t.Fatalf("got %q, %v", warnings, err)
	}
	writePair(t, dir, 1, time.Now().Add(-time.Hour))
	if warnings, err := Check(c); err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "expired") {
		t.Fatalf("got %q, %v", warnings, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "www.pem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Check(c); err == nil || !strings.Contains(err.Error(), `l7 "web": `) {
		t.Fatalf("got %v", err)
	}
}

func TestQuick(t *testing.T) {
	c, err := Quick("http", "127.0.0.1:8080", []string{"127.0.0.1:1", "unix:/a b"})
	if err != nil || len(c.L7) != 1 || len(c.Pools[0].Servers) != 2 || c.L7[0].Listen[0].Port != 8080 {
		t.Fatalf("got %+v, %v", c, err)
	}
	c, err = Quick("tcp", ":7000", []string{"127.0.0.1:1"})
	if err != nil || len(c.L4) != 1 || c.L4[0].Pool != "app" || c.File != "" {
		t.Fatalf("got %+v, %v", c, err)
	}
	f := func(listen, server string) {
		t.Helper()
		var problems conf.Problems
		if _, err := Quick("http", listen, []string{server}); !errors.As(err, &problems) || len(problems) != 1 {
			t.Fatalf("got %v", err)
		}
	}
	f("nonsense", "127.0.0.1:1")
	f(":80", "127.0.0.1")
	f(":80", "a\"]\nnonsense = [\"")
	f(":80", "a\x00\\b:1")
}
