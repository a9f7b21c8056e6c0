package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

// ended is a listener that ends TLS; lines belong to its table, more to [l4.tls].
func ended(name, listen, pool, cert, key, lines, more string) string {
	return fmt.Sprintf(`
[[l4]]
name = %q
listen = [%q]
pool = %q
%s
[l4.tls]
certs = [{ cert = %q, key = %q }]
%s
`, name, listen, pool, lines, cert, key, more)
}

// encrypted is a pool of one server that is reached by TLS.
func encrypted(name, server, ca, as string) string {
	return pool(name, server) + fmt.Sprintf("[pool.%s.tls]\nca = %q\nname = %q\n", name, ca, as)
}

// TestTLSPostgres: psql verifies Weir, Weir verifies PostgreSQL, and PostgreSQL sees TLS
// exactly where the pool asks for it.
func TestTLSPostgres(t *testing.T) {
	p, ca := startPostgres(t), newAuthority(t, t.TempDir())
	cert, key := ca.issue(t, "weir", "pg.example.com")
	clear, secure, wrong := freeAddr(t), freeAddr(t), freeAddr(t)
	const postgres = `protocol = "postgres"`
	w := startWeir(t, pool("clear", p.addr)+encrypted("secure", p.addr, p.ca, "db.example.com")+
		encrypted("wrong", p.addr, p.ca, "other.example.com")+
		ended("clear", clear, "clear", cert, key, postgres, "")+
		ended("secure", secure, "secure", cert, key, postgres, "")+
		ended("wrong", wrong, "wrong", cert, key, postgres, ""))
	ask := func(addr, host string) (string, error) {
		return psql(t, fmt.Sprintf("host=%s hostaddr=127.0.0.1 port=%s user=weir dbname=postgres sslmode=verify-full "+
			"sslrootcert=%s connect_timeout=10", host, portOf(addr), ca.file),
			"SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
	}
	for addr, want := range map[string]string{clear: "f", secure: "t"} {
		if got, err := ask(addr, "pg.example.com"); err != nil || got != want {
			t.Errorf("psql: TLS with the server %q, %v, want %q", got, err, want)
		}
	}
	if got, err := ask(clear, "other.example.com"); err == nil {
		t.Errorf("psql took Weir's certificate for another name: %q", got)
	}
	if got, err := ask(wrong, "pg.example.com"); err == nil {
		t.Errorf("a server with another name was used: %q", got)
	}
	if !strings.Contains(w.log.String(), "cannot use a server by TLS") {
		t.Error("nothing was logged of the server that does not verify")
	}
	waitFor(t, patience, "both ended in order", func() bool {
		return w.metric(t, `weir_l4_closed_total{listener="clear",reason="done"`) >= 1 &&
			w.metric(t, `weir_l4_closed_total{listener="secure",reason="done"`) == 1
	})
}

// TestTLSRedis: redis-cli with a client certificate, which is required, and without.
func TestTLSRedis(t *testing.T) {
	server, ca, addr := startRedis(t), newAuthority(t, t.TempDir()), freeAddr(t)
	cert, key := ca.issue(t, "weir", "localhost", "redis.example.com")
	own, ownKey := ca.client(t, "app")
	startWeir(t, pool("redis", server)+ended("redis", addr, "redis", cert, key, "", fmt.Sprintf("client_ca = %q", ca.file)))
	cli := func(args ...string) (string, error) {
		return tryCommand(t, nil, "redis-cli", append([]string{
			"-h", "127.0.0.1", "-p", portOf(addr), "--tls", "--cacert", ca.file, "--sni", "redis.example.com",
		}, args...)...)
	}
	if out, err := cli("--cert", own, "--key", ownKey, "SET", "a", "1"); err != nil || strings.TrimSpace(out) != "OK" {
		t.Errorf("redis-cli: %q, %v", out, err)
	}
	if out, _ := cli("GET", "a"); strings.TrimSpace(out) == "1" {
		t.Errorf("redis-cli without a certificate: %q", out)
	}
}

// TestTLSCurl: curl through a listener that ends TLS and encrypts it anew; a reload brings
// another certificate.
func TestTLSCurl(t *testing.T) {
	ca, addr := newAuthority(t, t.TempDir()), freeAddr(t)
	o := tlsOrigin(t, ca, "app.example.com")
	cert, key := ca.issue(t, "weir", "www.example.com")
	w := startWeir(t, encrypted("app", o.addr, ca.file, "app.example.com")+ended("web", addr, "app", cert, key, "", ""))
	curl := func(host, path string) (string, error) {
		return tryCommand(t, nil, "curl", "-sS", "--http1.1", "--cacert", ca.file, "--resolve",
			host+":"+portOf(addr)+":127.0.0.1", "https://"+host+":"+portOf(addr)+path)
	}
	if out, err := curl("www.example.com", "/name"); err != nil || out != "app.example.com" {
		t.Errorf("curl: %q, %v", out, err)
	}
	if out, err := curl("www.example.com", "/bytes/300000"); err != nil || len(out) != 300000 {
		t.Errorf("curl: %d bytes, %v", len(out), err)
	}
	ca.issue(t, "weir", "new.example.com")
	if code, text := w.reload(t); code != http.StatusOK {
		t.Fatalf("reload: %d %s", code, text)
	}
	if out, err := curl("new.example.com", "/name"); err != nil || out != "app.example.com" {
		t.Errorf("curl after the reload: %q, %v", out, err)
	}
	if out, err := curl("www.example.com", "/name"); err == nil {
		t.Errorf("the old name is still served: %q", out)
	}
}

// TestTLSOpenSSL: s_client resumes its session, at the listener that gave it only, and
// old versions are refused.
func TestTLSOpenSSL(t *testing.T) {
	ca, lax, strict := newAuthority(t, t.TempDir()), freeAddr(t), freeAddr(t)
	cert, key := ca.issue(t, "weir", "www.example.com")
	w := startWeir(t, pool("app", startOrigin(t, "a").addr)+ended("lax", lax, "app", cert, key, "", "")+
		ended("strict", strict, "app", cert, key, "", fmt.Sprintf("client_ca = %q", ca.file)))
	file := t.TempDir() + "/session"
	f := func(addr string, args ...string) string {
		t.Helper()
		request := write(t, "request", "GET /name HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		script := `exec openssl s_client -ign_eof -servername www.example.com -verify_return_error "$@" < "$0"`
		out, _ := tryCommand(t, nil, "sh", append([]string{
			"-c", script, request, "-connect", addr, "-CAfile", ca.file,
		}, args...)...)
		return out
	}
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		if out := f(lax, version, "-sess_out", file); !strings.Contains(out, "New, TLS") || !strings.Contains(out, "200 OK") {
			t.Errorf("%s: %s", version, out)
		}
		if code, text := w.reload(t); code != http.StatusOK {
			t.Fatalf("reload: %d %s", code, text)
		}
		if out := f(lax, version, "-sess_in", file); !strings.Contains(out, "Reused, TLS") || !strings.Contains(out, "200 OK") {
			t.Errorf("%s resumed after a reload: %s", version, out)
		}
		if out := f(strict, version, "-sess_in", file); strings.Contains(out, "200 OK") || !strings.Contains(out, "alert") {
			t.Errorf("%s with a ticket in place of a certificate: %s", version, out)
		}
	}
	if out := f(lax, "-tls1_1"); strings.Contains(out, "200 OK") {
		t.Errorf("TLS 1.1: %s", out)
	}
}

// TestKeyUpdateOpenSSL: a client changes its keys, and asks for new ones, on a connection
// that its loop serves.
func TestKeyUpdateOpenSSL(t *testing.T) {
	ca, addr := newAuthority(t, t.TempDir()), freeAddr(t)
	cert, key := ca.issue(t, "weir", "www.example.com")
	w := startWeir(t, pool("app", startOrigin(t, "a").addr)+tlsWeb("web", addr, cert, key, "app"))
	out := &logBuffer{}
	client := exec.Command("openssl", "s_client", "-connect", addr, "-servername", "www.example.com",
		"-CAfile", ca.file, "-verify_return_error", "-tls1_3")
	client.Stdout, client.Stderr, client.SysProcAttr = out, out, dieWithUs()
	in, err := client.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	defer client.Wait()
	defer in.Close()
	say := func(text, want string) {
		t.Helper()
		had := strings.Count(out.String(), want)
		io.WriteString(in, text)
		waitFor(t, patience, want, func() bool { return strings.Count(out.String(), want) > had })
	}
	served := func() float64 { return w.metric(t, `weir_l7_lane_requests_total{result="served"}`) }
	const request, answer = "GET /name HTTP/1.1\r\nHost: www.example.com\r\n\r\n", "HTTP/1.1 200 OK"
	for range 20 {
		say(request, answer)
	}
	before := served()
	if before == 0 {
		t.Error("the loop served nothing")
	}
	for range 5 {
		say("K\n", "KEYUPDATE") // with update_requested, RFC 8446 section 4.6.3
		say(request, answer)
		say("k\n", "KEYUPDATE")
		say(request, answer)
	}
	if now := served(); now != before+10 {
		t.Errorf("the loop served %v of 10 requests between new keys", now-before)
	}
}
