package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func rename(t testing.TB, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// TestRedisThroughL4: the commands and the benchmark leave the same data as directly.
func TestRedisThroughL4(t *testing.T) {
	direct, addr := startRedis(t), freeAddr(t)
	startWeir(t, pool("cache", direct)+tcp(addr, "cache"))
	_, port, _ := net.SplitHostPort(addr)
	_, directPort, _ := net.SplitHostPort(direct)
	cli := func(port string, args ...string) string {
		t.Helper()
		args = append([]string{"-h", "127.0.0.1", "-p", port}, args...)
		return strings.TrimSpace(command(t, nil, "redis-cli", args...))
	}
	if got := cli(port, "SET", "river", "Isar"); got != "OK" {
		t.Errorf("SET: %s", got)
	}
	if got := cli(directPort, "GET", "river"); got != "Isar" {
		t.Errorf("GET: %s", got)
	}
	big := strings.Repeat("0123456789", 100_000)
	cli(port, "EVAL", "redis.call('SET', 'big', string.rep('0123456789', 100000))", "0")
	if got := cli(port, "GET", "big"); got != big {
		t.Errorf("a value of %d bytes came as %d bytes", len(big), len(got))
	}
	bench := func(port string) string {
		t.Helper()
		cli(directPort, "FLUSHALL")
		out := command(t, nil, "redis-benchmark", "-h", "127.0.0.1", "-p", port, "-n", "5000", "-c", "32", "-r", "100",
			"-t", "set,get,lpush,lrange_100", "-q")
		if strings.Contains(out, "Error") || strings.Contains(out, "ERR") {
			t.Errorf("redis-benchmark: %s", out)
		}
		return cli(directPort, "LLEN", "mylist")
	}
	if through, without := bench(port), bench(directPort); through != without {
		t.Errorf("list of %s elements through Weir, %s without", through, without)
	}
}

// TestPostgresThroughL4: pgbench loses no transaction.
func TestPostgresThroughL4(t *testing.T) {
	p, addr := startPostgres(t), freeAddr(t)
	startWeir(t, pool("db", p.addr)+tcp(addr, "db"))
	_, port, _ := net.SplitHostPort(addr)
	conn := []string{"-h", "127.0.0.1", "-U", "weir", "-p", port}
	pgbench := func(args ...string) string {
		t.Helper()
		return command(t, []string{"PGSSLMODE=disable"}, "pgbench", append(append(conn, args...), "postgres")...)
	}
	pgbench("-i", "-s", "1", "-q")
	const clients, each = 8, 50
	for _, mode := range []string{"simple", "prepared"} {
		out := pgbench("-n", "-M", mode, "-c", fmt.Sprint(clients), "-j", "2", "-t", fmt.Sprint(each))
		if !strings.Contains(out, fmt.Sprintf("%d/%d", clients*each, clients*each)) {
			t.Errorf("pgbench -M %s: %s", mode, out)
		}
	}
	query := "SELECT count(*), sum(delta) = (SELECT sum(abalance) FROM pgbench_accounts) FROM pgbench_history"
	got, err := psql(t, "host=127.0.0.1 user=weir dbname=postgres port="+port, query)
	if want := fmt.Sprintf("%d|t", 2*clients*each); err != nil || got != want {
		t.Errorf("history %q, %v; want %q", got, err, want)
	}
	// A connection per transaction: each is a session of its own.
	if out := pgbench("-n", "-C", "-S", "-c", "4", "-t", "25"); !strings.Contains(out, "100/100") {
		t.Errorf("pgbench -C: %s", out)
	}
}

// TestPostgresBySNI: one port, the database chosen by the name in the client's TLS
// hello, which PostgreSQL verifies end to end.
func TestPostgresBySNI(t *testing.T) {
	p, addr := startPostgres(t), freeAddr(t)
	startWeir(t, pool("db", p.addr)+fmt.Sprintf(`
[[l4]]
name = "postgres"
listen = [%q]
protocol = "postgres"
[[l4.route]]
sni = ["db.example.com"]
pool = "db"
`, addr))
	_, port, _ := net.SplitHostPort(addr)
	conn := func(host, mode string) string {
		return fmt.Sprintf("host=%s hostaddr=127.0.0.1 port=%s user=weir dbname=postgres sslmode=%s sslrootcert=%s "+
			"connect_timeout=10", host, port, mode, p.ca)
	}
	got, err := psql(t, conn("db.example.com", "verify-full"),
		"SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
	if err != nil || !strings.HasPrefix(got, "t|TLS") {
		t.Errorf("psql by name: %q, %v", got, err)
	}
	if got, err := psql(t, conn("other.example.com", "require"), "SELECT 1"); err == nil {
		t.Errorf("a name without a route got %q", got)
	}
	if got, err := psql(t, conn("db.example.com", "disable"), "SELECT 1"); err == nil {
		t.Errorf("no TLS and no default got %q", got)
	}
	out := command(t, []string{"PGSSLMODE=verify-full", "PGSSLROOTCERT=" + p.ca, "PGHOSTADDR=127.0.0.1"},
		"pgbench", "-h", "db.example.com", "-p", port, "-U", "weir", "-n", "-c", "4", "-t", "25",
		"-f", write(t, "select.sql", "SELECT 1;\n"), "postgres")
	if !strings.Contains(out, "100/100") {
		t.Errorf("pgbench by name: %s", out)
	}
}

// write makes a file in a directory of the test.
func write(t testing.TB, name, text string) string {
	t.Helper()
	file := t.TempDir() + "/" + name
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// tlsOrigin is an HTTPS origin of its own certificate.
func tlsOrigin(t testing.TB, ca *authority, name string) *origin {
	t.Helper()
	cert, key := ca.issue(t, name, name)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	o := newOrigin(name, l)
	t.Cleanup(func() { o.server.Close() })
	return o
}

// TestSNIPassthroughAndHandOver: one port passes one name through to a server that
// ends the TLS itself, and hands another to an [[l7]] that ends it here.
func TestSNIPassthroughAndHandOver(t *testing.T) {
	ca := newAuthority(t, t.TempDir())
	through, plain, edge := tlsOrigin(t, ca, "db.example.com"), startOrigin(t, "plain"), freeAddr(t)
	cert, key := ca.issue(t, "www", "www.example.com")
	startWeir(t, pool("db", through.addr)+pool("app", plain.addr)+sniEdge(edge)+tlsWeb("web", "", cert, key, "app"))
	for range 3 {
		newClient(t).to(edge, ca.pool).wantBody("https://db.example.com/name", "db.example.com")
	}
	c := newClient(t).to(edge, ca.pool)
	for range 3 {
		c.wantBody("https://www.example.com/name", "plain")
		c.wantBytes("https://www.example.com/bytes/3000000", 3000000)
	}
	served := func(name string) string {
		t.Helper()
		conn, err := tls.Dial("tcp", edge, &tls.Config{ServerName: name, RootCAs: ca.pool})
		if err != nil {
			t.Error(err)
			return ""
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if got := served("db.example.com"); got != "db.example.com" {
		t.Errorf("passthrough shows the certificate of %q", got)
	}
	if got := served("www.example.com"); got != "www.example.com" {
		t.Errorf("the hand-over shows the certificate of %q", got)
	}
	if _, err := tls.Dial("tcp", edge, &tls.Config{ServerName: "no.example.net", RootCAs: ca.pool}); err == nil {
		t.Error("a name without a route got a TLS session")
	}
}

// sniEdge is the [[l4]] table of the README: one name through, one handed over.
func sniEdge(listen string) string {
	return fmt.Sprintf(`
[[l4]]
name = "edge"
listen = [%q]
[[l4.route]]
sni = ["db.example.com", "*.db.example.com"]
pool = "db"
[[l4.route]]
sni = ["www.example.com"]
l7 = "web"
`, listen)
}

// slowConn sends a few bytes at a time, each in a segment of its own.
type slowConn struct {
	net.Conn
	step int
}

func (c slowConn) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		m, e := c.Conn.Write(p[n:min(n+c.step, len(p))])
		n, err = n+m, e
		time.Sleep(50 * time.Microsecond)
	}
	return n, err
}

// TestKillOneOfTwoL4: with one of two backends killed, at most the sessions that were
// on it are lost, and new ones do not notice.
func TestKillOneOfTwoL4(t *testing.T) {
	a, b, addr := startChild(t, "a", ""), startChild(t, "b", ""), freeAddr(t)
	startWeir(t, pool("app", a.addr, b.addr)+tcp(addr, "app"))
	sessions := make([]*peer, 20)
	onA := 0
	for i := range sessions {
		sessions[i] = dial(t, addr)
		if ask(sessions[i]) == "a" {
			onA++
		}
	}
	if onA == 0 || onA == len(sessions) {
		t.Fatalf("%d of %d sessions are on one backend", onA, len(sessions))
	}
	var failed, stop atomic.Int64
	var fresh sync.WaitGroup
	for range 4 {
		fresh.Go(func() {
			for stop.Load() == 0 {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					failed.Add(1)
					continue
				}
				if ask(newPeer(c.(*net.TCPConn), 0)) == "" {
					failed.Add(1)
				}
				c.Close()
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	a.kill()
	time.Sleep(time.Second)
	stop.Store(1)
	fresh.Wait()
	// A connection that a accepted just before it died is lost with it.
	if n := failed.Load(); n > 4 {
		t.Errorf("%d new connections failed", n)
	}
	lost := 0
	for _, p := range sessions {
		if ask(p) != "b" {
			lost++
		}
	}
	if lost > onA {
		t.Errorf("%d sessions lost, %d were on the killed backend", lost, onA)
	}
	for range 20 {
		if got := ask(dial(t, addr)); got != "b" {
			t.Errorf("a new connection after the detection got %q", got)
		}
	}
}

// ask asks for /name on a connection and returns "" where no answer comes.
func ask(p *peer) string {
	p.send("GET /name HTTP/1.1\r\nHost: a\r\n\r\n")
	resp, err := p.response(http.MethodGet)
	if err != nil {
		return ""
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	return string(body)
}

// TestL4Bulk: bytes pass both ways at once, unchanged.
func TestL4Bulk(t *testing.T) {
	const size = 64 << 20
	s := startScript(t, func(_ *scripted, p *peer) {
		var both sync.WaitGroup
		both.Go(func() {
			if err := wantPattern(p, size); err != nil {
				p.reset()
			}
		})
		io.Copy(p.TCPConn, patternReader(size))
		p.CloseWrite()
		both.Wait()
	})
	addr := freeAddr(t)
	startWeir(t, pool("app", s.addr)+tcp(addr, "app"))
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			p := dial(t, addr)
			go func() {
				io.Copy(p.TCPConn, patternReader(size))
				p.CloseWrite()
			}()
			if err := wantPattern(p, size); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
}
