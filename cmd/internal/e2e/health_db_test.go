package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// memberHealth is what the admin API says of a server, as far as health goes.
type memberHealth struct {
	Address    string `json:"address"`
	State      string `json:"state"`
	Role       string `json:"role"`
	Reason     string `json:"reason"`
	InRotation bool   `json:"in_rotation"`
	LastCheck  *struct {
		Result string `json:"result"`
		Error  string `json:"error"`
	} `json:"last_check"`
}

// health is the health of a pool's servers, in the order of the file.
func (w *weir) health(t testing.TB, pool string) []memberHealth {
	t.Helper()
	_, text, err := w.call("GET", "/api/v1/pools/"+pool, w.token(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	var group struct {
		Members []memberHealth `json:"members"`
	}
	if err := json.Unmarshal([]byte(text), &group); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return group.Members
}

// wantHealth waits until each server of a pool is as want says: "up primary",
// "up replica", "up", "out replica" (well, but not of the pool's role) or
// "down: part of the reason".
func (w *weir) wantHealth(t testing.TB, pool string, want ...string) {
	t.Helper()
	var got []memberHealth
	is := func(m memberHealth, want string) bool {
		state, reason, down := strings.Cut(want, ": ")
		switch {
		case m.LastCheck == nil:
			return false
		case down:
			return state == m.State && !m.InRotation && strings.Contains(m.LastCheck.Error, reason)
		case m.InRotation:
			return want == strings.TrimSpace("up "+m.Role)
		}
		return m.State == "healthy" && want == strings.TrimSpace("out "+m.Role)
	}
	deadline := time.Now().Add(patience)
	for ; ; time.Sleep(10 * time.Millisecond) {
		got = w.health(t, pool)
		all := len(got) == len(want)
		for i := range min(len(got), len(want)) {
			all = all && is(got[i], want[i])
		}
		if all {
			return
		}
		if time.Now().After(deadline) {
			text, _ := json.MarshalIndent(got, "", "  ")
			t.Errorf("pool %s after %v:\n%s\nwant %q", pool, patience, text, want)
			return
		}
	}
}

// checkedPool is a pool of these servers with a fast check; more are lines of health.
func checkedPool(name, kind string, servers []string, more ...string) string {
	return fmt.Sprintf(`
[pool.%s]
servers = ["%s"]
[pool.%[1]s.health]
type = %[3]q
interval = "200ms"
down_interval = "100ms"
timeout = "2s"
rise = 1
fall = 1
%s
`, name, strings.Join(servers, `", "`), kind, strings.Join(more, "\n"))
}

// listener is an L4 listener at addr with the name of its pool.
func listener(addr, pool string) string {
	return fmt.Sprintf("[[l4]]\nname = %q\nlisten = [%q]\npool = %q\n", "to-"+pool, addr, pool)
}

func login(user, password string) string {
	return fmt.Sprintf("user = %q\npassword = %q", user, password)
}

// dbDir makes a directory that this user, if we are root, can keep a database in.
func dbDir(t testing.TB, users ...string) (dir string, attr *syscall.SysProcAttr) {
	t.Helper()
	dir, err := os.MkdirTemp(shared.dir, "db-") //nolint:usetesting // t.TempDir is below a directory of our user alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	attr = dieWithUs()
	if os.Getuid() == 0 {
		cred, err := credential(users...)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(dir, int(cred.Uid), int(cred.Gid)); err != nil {
			t.Fatal(err)
		}
		attr.Credential = cred
	}
	return dir, attr
}

// give writes a file for a database's user.
func give(t testing.TB, attr *syscall.SysProcAttr, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if c := attr.Credential; c != nil {
		if err := os.Chown(file, int(c.Uid), int(c.Gid)); err != nil {
			t.Fatal(err)
		}
	}
}

// runAs runs a program to its end in dir.
func runAs(t testing.TB, attr *syscall.SysProcAttr, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr, cmd.Dir, cmd.Env = attr, dir, ownTemp(dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// ownTemp is an environment with temporary files in dir: a MariaDB server removes those of
// others when it starts.
func ownTemp(dir string) []string { return append(os.Environ(), "TMPDIR="+dir) }

// serveAs runs a database server until the test ends and waits until ready.
func serveAs(
	t testing.TB, attr *syscall.SysProcAttr, dir string, ready func() bool, name string, args ...string,
) *exec.Cmd {
	t.Helper()
	log := &logBuffer{}
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr, cmd.Dir, cmd.Stdout, cmd.Stderr = attr, dir, log, log
	cmd.Env = ownTemp(dir)
	if err := cmd.Start(); err != nil {
		t.Fatalf("cannot start %s (make deps installs it): %v", name, err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGQUIT) // PostgreSQL: at once, children too
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	deadline := time.Now().Add(patience)
	for !ready() {
		if time.Now().After(deadline) {
			t.Fatalf("%s is not ready after %v:\n%s", name, patience, log.tail(4<<10))
		}
		time.Sleep(20 * time.Millisecond)
	}
	return cmd
}

// pgNode is a PostgreSQL server of one test.
type pgNode struct {
	dir, addr, port string
	cert, key       string // files of what its TLS shows
	attr            *syscall.SysProcAttr
	cmd             *exec.Cmd
}

func (n *pgNode) data() string { return filepath.Join(n.dir, "data") }

func (n *pgNode) conninfo() string {
	return "host=127.0.0.1 user=weir dbname=postgres connect_timeout=5 port=" + n.port
}

// pgHBA lets each user in by the method in its name.
const pgHBA = `
local all all trust
host all weir 127.0.0.1/32 trust
host replication weir 127.0.0.1/32 trust
hostssl all by_scram 127.0.0.1/32 scram-sha-256
host all by_md5 127.0.0.1/32 md5
host all by_password 127.0.0.1/32 password
host all scram_in_clear 127.0.0.1/32 scram-sha-256
`

// newPostgres runs a primary of its own for this test, with TLS.
func newPostgres(t testing.TB) (n *pgNode, ca string) {
	t.Helper()
	n = &pgNode{}
	n.dir, n.attr = dbDir(t, "postgres", "nobody")
	runAs(t, n.attr, n.dir, "initdb", "-D", n.data(), "-U", "weir", "-A", "trust", "--no-locale", "--no-sync")
	a := newAuthority(t, t.TempDir())
	n.cert, n.key = a.issue(t, "server", "db.example.com")
	for name, text := range map[string]string{
		"pg_hba.conf": pgHBA, "server.crt": readFile(t, n.cert), "server.key": readFile(t, n.key),
	} {
		give(t, n.attr, filepath.Join(n.data(), name), text)
	}
	n.serve(t)
	for _, q := range []string{
		"SET password_encryption = 'scram-sha-256'; CREATE ROLE by_scram LOGIN PASSWORD 'river'",
		"SET password_encryption = 'scram-sha-256'; CREATE ROLE scram_in_clear LOGIN PASSWORD 'river'",
		"SET password_encryption = 'md5'; CREATE ROLE by_md5 LOGIN PASSWORD 'river'",
		"CREATE ROLE by_password LOGIN PASSWORD 'river'", "CREATE TABLE rivers (name text)",
	} {
		if out, err := psql(t, n.conninfo(), q); err != nil {
			t.Fatalf("%s: %v\n%s", q, err, out)
		}
	}
	return n, a.file
}

func (n *pgNode) serve(t testing.TB) {
	t.Helper()
	if n.port == "" {
		n.port = freePort(t)
		n.addr = "127.0.0.1:" + n.port
	}
	n.cmd = serveAs(t, n.attr, n.dir, func() bool {
		return exec.Command("pg_isready", "-q", "-h", "127.0.0.1", "-p", n.port, "-U", "weir").Run() == nil
	}, "postgres", "-D", n.data(), "-p", n.port, "-k", n.dir, "-c", "listen_addresses=127.0.0.1", "-c", "ssl=on",
		"-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_connections=50", "-c", "wal_receiver_timeout=5s")
}

// replica runs a streaming replica of n.
func (n *pgNode) replica(t testing.TB) *pgNode {
	t.Helper()
	r := &pgNode{}
	r.dir, r.attr = dbDir(t, "postgres", "nobody")
	runAs(t, r.attr, r.dir, "pg_basebackup", "-h", "127.0.0.1", "-p", n.port, "-U", "weir", "-D", r.data(), "-R",
		"--checkpoint=fast", "--no-sync", "-X", "stream")
	r.serve(t)
	return r
}

// TestPostgresHealth: every way to check a PostgreSQL server, well and not.
func TestPostgresHealth(t *testing.T) {
	t.Parallel()
	n, ca := newPostgres(t)
	tls := fmt.Sprintf("tls = \"require\"\nca = %q\nname = ", ca)
	servers := []string{n.addr}
	conf := ""
	wants := map[string]string{}
	add := func(name, want, kind string, more ...string) {
		conf += checkedPool(name, kind, servers, more...)
		wants[name] = want
	}
	add("alive", "up", "postgres")
	add("trust", "up primary", "postgres", `user = "weir"`)
	add("scram", "up primary", "postgres", login("by_scram", "river"))
	add("md5", "up primary", "postgres", login("by_md5", "river"))
	add("password", "up primary", "postgres", login("by_password", "river"))
	add("verified", "up primary", "postgres", login("by_scram", "river"), tls+`"db.example.com"`)
	add("primary", "up primary", "postgres", login("by_scram", "river"), `role = "primary"`)
	add("replica", "out primary", "postgres", login("by_scram", "river"), `role = "replica"`)
	add("wrong-name", "down: certificate", "postgres", login("by_scram", "river"), tls+`"other.example.com"`)
	add("wrong-password", "down: password authentication failed", "postgres", login("by_scram", "lake"))
	add("wrong-database", "down: does not exist", "postgres", login("by_scram", "river"), `database = "lake"`)
	add("no-tls", "down: no pg_hba.conf entry", "postgres", login("by_scram", "river"), `tls = "off"`)
	add("no-password", "down: wants a password", "postgres", `user = "by_md5"`)
	add("other", "down: step 1", "expect", `script = [{ send = "GET / HTTP/1.1\r\n\r\n", expect = "HTTP" }]`)
	w := startWeir(t, conf)
	for name, want := range wants {
		w.wantHealth(t, name, want)
	}
	if code, text, err := w.call("GET", "/api/v1/config", w.token(t), nil); err != nil || code != 200 ||
		strings.Contains(text, "river") || !strings.Contains(text, "(secret)") {
		t.Errorf("the configuration shows a password, or nothing at all: %d, %v", code, err)
	}
	n.cmd.Process.Signal(syscall.SIGQUIT)
	n.cmd.Wait()
	w.wantHealth(t, "alive", "down: refused")
	w.wantHealth(t, "primary", "down: refused")
	n.serve(t)
	w.wantHealth(t, "alive", "up")
	w.wantHealth(t, "primary", "up primary")
}

// TestPostgresFailover: a pool for the primary follows a promotion, and one for the
// replicas leaves a replica that is too far behind.
func TestPostgresFailover(t *testing.T) {
	t.Parallel()
	first, _ := newPostgres(t)
	second := first.replica(t)
	servers := []string{first.addr, second.addr}
	write, read := freeAddr(t), freeAddr(t)
	w := startWeir(t, checkedPool("write", "postgres", servers, login("by_md5", "river"), `role = "primary"`)+
		checkedPool("read", "postgres", servers, login("by_md5", "river"), `role = "replica"`, `max_lag = "1s"`)+
		listener(write, "write")+listener(read, "read")+"[pool.read.sessions]\ndrain_timeout = \"1m\"\n")
	through := func(addr, query string) (string, error) {
		_, port, _ := net.SplitHostPort(addr)
		return psql(t, "host=127.0.0.1 user=weir dbname=postgres connect_timeout=5 port="+port, query)
	}
	w.wantHealth(t, "write", "up primary", "out replica")
	w.wantHealth(t, "read", "out primary", "up replica")
	if got, err := through(write, "INSERT INTO rivers VALUES ('Isar') RETURNING pg_is_in_recovery()"); err != nil ||
		!strings.HasPrefix(got, "f") {
		t.Errorf("a write through Weir: %q, %v", got, err)
	}
	waitFor(t, patience, "the replica answers through Weir with what was written", func() bool {
		got, err := through(read, "SELECT pg_is_in_recovery(), name FROM rivers")
		return err == nil && got == "t|Isar"
	})

	// The replica stops replaying and falls behind.
	psql(t, second.conninfo(), "SELECT pg_wal_replay_pause()")
	time.Sleep(1100 * time.Millisecond) // so that the last transaction seen is older than max_lag
	psql(t, first.conninfo(), "INSERT INTO rivers VALUES ('Inn')")
	w.wantHealth(t, "read", "out primary", "out replica")
	psql(t, second.conninfo(), "SELECT pg_wal_replay_resume()")
	w.wantHealth(t, "read", "out primary", "up replica")

	first.cmd.Process.Signal(syscall.SIGQUIT) // immediate shutdown, as a crash
	first.cmd.Wait()
	w.wantHealth(t, "write", "down: refused", "out replica")
	held := heldSession(t, w, read)
	start := time.Now()
	if got, err := psql(t, second.conninfo(), "SELECT pg_promote(true, 30)"); err != nil || got != "t" {
		t.Fatalf("pg_promote: %q, %v", got, err)
	}
	promoted := time.Now()
	waitFor(t, patience, "a write goes to the new primary", func() bool {
		_, err := through(write, "INSERT INTO rivers VALUES ('Lech')")
		return err == nil
	})
	t.Logf("failover: promotion took %v, the first write through Weir came %v after it",
		promoted.Sub(start).Round(time.Millisecond), time.Since(promoted).Round(time.Millisecond))
	w.wantHealth(t, "write", "down: refused", "up primary")
	w.wantHealth(t, "read", "down: refused", "out primary")
	wantRoleCut(t, held, promoted)
}

// heldSession is a connection through the listener at addr that says nothing.
func heldSession(t *testing.T, w *weir, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	waitFor(t, patience, "the session relays", func() bool {
		code, text, err := w.call("GET", "/api/v1/sessions", w.token(t), nil)
		return err == nil && code == 200 && strings.Contains(text, c.LocalAddr().String()) &&
			strings.Contains(text, `"state": "relaying"`)
	})
	return c
}

// wantRoleCut waits for the end of a session whose server lost its role.
func wantRoleCut(t *testing.T, c net.Conn, since time.Time) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	n, err := c.Read(make([]byte, 1))
	if ne, ok := errors.AsType[net.Error](err); n > 0 || err == nil || ok && ne.Timeout() {
		t.Fatalf("read %d bytes, %v, want the session to be closed with the role of its server", n, err)
	}
	t.Logf("a session was closed with the role of its server, within %v", time.Since(since).Round(time.Millisecond))
}

// TestRedisHealth: checks with and without a login, and a primary that changes.
func TestRedisHealth(t *testing.T) {
	t.Parallel()
	a, b := startRedis(t), startRedis(t)
	cli := func(addr string, args ...string) string {
		t.Helper()
		_, port, _ := net.SplitHostPort(addr)
		return strings.TrimSpace(command(t, nil, "redis-cli", append([]string{"-p", port}, args...)...))
	}
	follow := func(replica, of string) {
		t.Helper()
		host, port, _ := net.SplitHostPort(of)
		cli(replica, "REPLICAOF", host, port)
	}
	follow(b, a)
	servers, write, read := []string{a, b}, freeAddr(t), freeAddr(t)
	w := startWeir(t, checkedPool("write", "redis", servers, `role = "primary"`)+
		checkedPool("read", "redis", servers, `role = "replica"`)+
		checkedPool("user", "redis", servers[:1], login("weir", "river"))+
		checkedPool("wrong", "redis", servers[:1], login("weir", "lake"))+
		checkedPool("script", "expect", servers[:1], `script = [{ send = "PING\r\n", expect = "+PONG" }]`)+
		checkedPool("tls", "tls", servers[:1])+listener(write, "write")+listener(read, "read"))
	cli(a, "ACL", "SETUSER", "weir", "on", ">river", "+ping", "+info")
	w.wantHealth(t, "write", "up primary", "out replica")
	w.wantHealth(t, "read", "out primary", "up replica")
	w.wantHealth(t, "user", "up primary") // from INFO, as it may not use ROLE
	w.wantHealth(t, "wrong", "down: WRONGPASS")
	w.wantHealth(t, "script", "up")
	w.wantHealth(t, "tls", "down: TLS handshake")
	if got := cli(write, "SET", "river", "Isar"); got != "OK" {
		t.Errorf("SET: %s", got)
	}

	held := heldSession(t, w, write)
	cli(b, "REPLICAOF", "NO", "ONE")
	follow(a, b)
	start := time.Now()
	waitFor(t, patience, "a write goes to the new primary", func() bool {
		_, port, _ := net.SplitHostPort(write)
		out, err := tryCommand(t, nil, "redis-cli", "-p", port, "SET", "river", "Inn")
		return err == nil && strings.TrimSpace(out) == "OK"
	})
	wantRoleCut(t, held, start)
	t.Logf("switch: the first write through Weir came %v after it", time.Since(start).Round(time.Millisecond))
	w.wantHealth(t, "write", "out replica", "up primary")
	w.wantHealth(t, "read", "up replica", "out primary")
}

// mariaNode is a MariaDB server of one test. Its TLS has a certificate for the names,
// signed by the authority in ca.
type mariaNode struct {
	addr, port, socket string
	ca                 *authority
}

func newMariaDB(t testing.TB, ca *authority, names ...string) *mariaNode {
	t.Helper()
	dir, attr := dbDir(t, "mysql", "nobody")
	data := filepath.Join(dir, "data")
	runAs(t, attr, dir, "mariadb-install-db", "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal",
		"--skip-test-db")
	n := &mariaNode{addr: freeAddr(t), socket: filepath.Join(dir, "s"), ca: ca}
	_, n.port, _ = net.SplitHostPort(n.addr)
	certFile, keyFile := ca.issue(t, "server", names...)
	cert, key := filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key")
	give(t, attr, cert, readFile(t, certFile))
	give(t, attr, key, readFile(t, keyFile))
	serveAs(t, attr, dir, func() bool { return accepts(n.addr) }, "mariadbd", "--no-defaults", "--datadir="+data,
		"--port="+n.port, "--bind-address=127.0.0.1", "--socket="+n.socket, "--pid-file="+filepath.Join(dir, "pid"),
		"--innodb-buffer-pool-size=8M", "--innodb-flush-log-at-trx-commit=0", "--max-connect-errors=1",
		"--ssl-cert="+cert, "--ssl-key="+key, "--plugin-load-add=auth_ed25519")
	return n
}

// sql runs statements as root, through the socket.
func (n *mariaNode) sql(t testing.TB, query string) {
	t.Helper()
	command(t, nil, "mariadb", "--no-defaults", "--socket="+n.socket, "-uroot", "-e", query)
}

// TestMariaDBHealth: checks with and without a login, and the role by read_only.
func TestMariaDBHealth(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, t.TempDir())
	n := newMariaDB(t, a, "db.example.com")
	addr, socket := n.addr, n.socket
	sql := func(query string) {
		t.Helper()
		n.sql(t, query)
	}
	sql("CREATE USER weir@'127.0.0.1' IDENTIFIED VIA mysql_native_password USING PASSWORD('river')")
	sql("CREATE USER secure@'127.0.0.1' IDENTIFIED VIA mysql_native_password USING PASSWORD('river') REQUIRE SSL")
	sql("CREATE USER weir@localhost IDENTIFIED VIA mysql_native_password USING PASSWORD('river')")
	servers := []string{addr}
	w := startWeir(t, checkedPool("alive", "mysql", servers)+
		checkedPool("write", "mysql", servers, login("weir", "river"), `role = "primary"`)+
		checkedPool("read", "mysql", servers, login("weir", "river"), `role = "replica"`)+
		checkedPool("socket", "mysql", []string{"unix:" + socket}, login("weir", "river"))+
		checkedPool("wrong", "mysql", servers, login("weir", "lake"))+
		checkedPool("plain", "mysql", servers, login("secure", "river"), `tls = "off"`)+
		checkedPool("secure", "mysql", servers, login("secure", "river"))+
		checkedPool("verified", "mysql", servers, login("secure", "river"), `tls = "require"`,
			fmt.Sprintf("ca = %q\nname = %q", a.file, "db.example.com"))+
		checkedPool("wrong-name", "mysql", servers, login("secure", "river"), `tls = "require"`,
			fmt.Sprintf("ca = %q\nname = %q", a.file, "other.example.com")))
	w.wantHealth(t, "alive", "up")
	w.wantHealth(t, "write", "up primary")
	w.wantHealth(t, "read", "out primary")
	w.wantHealth(t, "socket", "up primary")
	w.wantHealth(t, "wrong", "down: Access denied")
	w.wantHealth(t, "plain", "down: Access denied")
	w.wantHealth(t, "secure", "up primary")
	w.wantHealth(t, "verified", "up primary")
	w.wantHealth(t, "wrong-name", "down: certificate")
	sql("SET GLOBAL read_only = 1")
	w.wantHealth(t, "write", "out replica")
	w.wantHealth(t, "read", "up replica")
	sql("SET GLOBAL read_only = 0")
	w.wantHealth(t, "write", "up primary")
}
