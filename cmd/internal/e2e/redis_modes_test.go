package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// redisTools runs redis-cli and redis-benchmark through one mode, with a database of its own.
type redisTools struct {
	port, db string
	ca       string // "": in clear
}

func (r redisTools) args(more ...string) []string {
	args := []string{"-h", "127.0.0.1", "-p", r.port}
	if r.ca != "" {
		args = append(args, "--tls", "--cacert", r.ca, "--sni", "db.example.com")
	}
	return append(args, more...)
}

func (r redisTools) cli(t *testing.T, words ...string) string {
	t.Helper()
	return strings.TrimSpace(command(t, nil, "redis-cli", r.args(append([]string{"-n", r.db}, words...)...)...))
}

// benchmark runs n commands of each kind and holds the server to the outcome.
func (r redisTools) benchmark(t *testing.T, n int, args ...string) {
	t.Helper()
	r.cli(t, "FLUSHDB")
	args = append(args, "--dbnum", r.db, "-n", fmt.Sprint(n), "-q", "-t", "set,get,incr,lpush")
	out := command(t, nil, "redis-benchmark", r.args(args...)...)
	if strings.Contains(out, "rror") || strings.Contains(out, "ERR") {
		t.Errorf("redis-benchmark %q: %s", args, out)
	}
	for _, c := range [][]string{{"LLEN", "mylist"}, {"GET", "counter:__rand_int__"}} {
		if got := r.cli(t, c...); got != fmt.Sprint(n) {
			t.Errorf("redis-benchmark %q: %q is %q, want %d", args, c, got, n)
		}
	}
}

// TestRedisModes: redis-cli and redis-benchmark through every mode. Every command is
// executed once, and TLS is verified in full.
func TestRedisModes(t *testing.T) {
	t.Parallel()
	back, dir := newAuthority(t, t.TempDir()), t.TempDir()
	cert, key := back.issue(t, "server", "db.example.com")
	socket, secure := filepath.Join(dir, "s"), freeAddr(t)
	server := startRedis(t, "--unixsocket", socket, "--tls-port", portOf(secure), "--tls-cert-file", cert,
		"--tls-key-file", key, "--tls-ca-cert-file", back.file, "--tls-auth-clients", "no")
	m := newDatabaseModes(t, server, secure, socket, back.file)
	m.conf.WriteString(pool("ends-tls", secure))
	const byName = `{ sni = ["db.example.com"], pool = "ends-tls" }`
	m.add(t, "port", `pool = "plain"`)
	m.add(t, "port-of-tls", `pool = "ends-tls"`)
	m.add(t, "socket", `pool = "socket"`)
	m.add(t, "name", `protocol = "tls"`, routes(byName))
	m.add(t, "ended", `pool = "plain"`, m.cert)
	m.add(t, "ended-socket", `pool = "socket"`, m.cert)
	m.add(t, "encrypted", `pool = "secure"`)
	m.add(t, "encrypted-anew", `pool = "secure"`, m.cert)
	m.addShared(t, "shared", byName, `pool = "plain"`)
	startWeir(t, m.conf.String())
	big := strings.Repeat("0123456789", 100_000)
	t.Run("modes", func(t *testing.T) {
		for i, c := range []struct {
			listener string
			ca       *authority // nil: in clear
		}{
			{"port", nil},
			{"port-of-tls", back},
			{"socket", nil},
			{"name", back},
			{"ended", m.front},
			{"ended-socket", m.front},
			{"encrypted", nil},
			{"encrypted-anew", m.front},
			{"shared", nil},
			{"shared", back},
		} {
			r := redisTools{port: m.port(c.listener), db: fmt.Sprint(i)}
			name := c.listener
			if c.ca != nil {
				r.ca = c.ca.file
				name += "-by-tls"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r.benchmark(t, 2000, "-c", "16")
				r.benchmark(t, 4000, "-c", "4", "-P", "16")
				r.benchmark(t, 100, "-c", "4", "-k", "0") // a connection for each command
				r.cli(t, "EVAL", "redis.call('SET', 'big', string.rep('0123456789', 100000))", "0")
				if got := r.cli(t, "GET", "big"); got != big {
					t.Errorf("a value of %d bytes came as %d bytes", len(big), len(got))
				}
				if c.ca != nil {
					wantPong(t, m.addr[c.listener], c.ca)
				}
			})
		}
	})
	m.wantWeb(t, "shared")
}

// wantPong verifies the name in the certificate too, which redis-cli does not.
func wantPong(t *testing.T, addr string, ca *authority) {
	t.Helper()
	conn := tls.Client(dial(t, addr).TCPConn, &tls.Config{ServerName: "db.example.com", RootCAs: ca.pool})
	fmt.Fprint(conn, "PING\r\n")
	if got, err := bufio.NewReader(conn).ReadString('\n'); err != nil || got != "+PONG\r\n" {
		t.Errorf("PING: %q, %v", got, err)
	}
}
