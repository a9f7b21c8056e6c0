package e2e

import (
	"crypto/sha256"
	"crypto/tls"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// mysqlByName is a listener that chooses MySQL servers by name.
func mysqlByName(listen, fallback string, lines ...string) string {
	_, port, _ := net.SplitHostPort(listen)
	if fallback != "" {
		fallback = fmt.Sprintf("pool = %q", fallback)
	}
	return fmt.Sprintf(`
[[l4]]
name = "mysql-%[4]s"
listen = [%[1]q]
protocol = "mysql"
%[2]s
%[3]s
[[l4.route]]
sni = ["a.example.com"]
pool = "a"
[[l4.route]]
sni = ["b.example.com"]
pool = "b"
`, listen, fallback, strings.Join(lines, "\n"), port)
}

// goMySQL asks a question through go-sql-driver. secure nil: in clear.
//
// What MariaDB has signed for ed25519 is 32 random octets. Where the last of them is zero, in
// one of 256 logins, go-sql-driver 1.10 takes it for a terminator and calls the rest
// malformed, with a proxy or without. Then it asks again.
func goMySQL(addr, user, password string, secure *tls.Config, query string) (got string, err error) {
	for range 3 {
		got, err = tryGoMySQL(addr, user, password, secure, query)
		if user != "ed" || !errors.Is(err, mysql.ErrMalformPkt) {
			break
		}
	}
	return got, err
}

func tryGoMySQL(addr, user, password string, secure *tls.Config, query string) (string, error) {
	config := mysql.NewConfig()
	config.Net, config.Addr, config.User, config.Passwd = "tcp", addr, user, password
	config.TLS, config.Timeout, config.ReadTimeout = secure, patience, patience
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return "", err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	if query == "" {
		return "", db.Ping()
	}
	var got string
	err = db.QueryRow(query).Scan(&got)
	return got, err
}

// mariadb asks a question through MariaDB's own client.
func mariadb(t testing.TB, port, user, query string, args ...string) (string, error) {
	t.Helper()
	args = append([]string{"--no-defaults", "--protocol=tcp", "-h127.0.0.1", "-P" + port, "-u" + user, "-priver", "-Ne", query},
		args...)
	out, err := tryCommand(t, nil, "mariadb", args...)
	return strings.TrimSpace(out), err
}

// mysqlAccounts has an account for each way that MariaDB 10.11 has to log in by password.
const mysqlAccounts = `
CREATE USER native@'127.0.0.1' IDENTIFIED VIA mysql_native_password USING PASSWORD('river');
CREATE USER ed@'127.0.0.1' IDENTIFIED VIA ed25519 USING PASSWORD('river');
CREATE USER either@'127.0.0.1' IDENTIFIED VIA ed25519 USING PASSWORD('lake') OR mysql_native_password USING PASSWORD('river');
CREATE USER secure@'127.0.0.1' IDENTIFIED VIA mysql_native_password USING PASSWORD('river') REQUIRE SSL;
CREATE USER open@'127.0.0.1' IDENTIFIED VIA mysql_native_password USING '';
CREATE DATABASE rivers;
GRANT ALL ON rivers.* TO native@'127.0.0.1';
`

// TestMySQLByName: one port, two MariaDB servers chosen by the name in the TLS hello,
// TLS verified end to end, for each authentication plugin and client.
func TestMySQLByName(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, t.TempDir())
	a, b := newMariaDB(t, ca, "a.example.com", "localhost"), newMariaDB(t, ca, "b.example.com")
	a.sql(t, mysqlAccounts)
	b.sql(t, mysqlAccounts)
	addr, strict := freeAddr(t), freeAddr(t)
	w := startWeir(t, pool("a", a.addr)+pool("b", b.addr)+mysqlByName(addr, "a")+mysqlByName(strict, ""))
	const query = "SELECT CONCAT(@@port, ' ', SUBSTRING_INDEX(CURRENT_USER(), '@', 1))"
	byName := func(name string) *tls.Config { return &tls.Config{ServerName: name, RootCAs: ca.pool} }

	goOK := func(to *mariaNode, user, password string, secure *tls.Config) {
		t.Helper()
		got, err := goMySQL(addr, user, password, secure, query)
		if want := to.port + " " + user; err != nil || got != want {
			t.Errorf("go-sql-driver as %s: %q, %v, want %q", user, got, err, want)
		}
	}
	goFails := func(addr, user, password string, secure *tls.Config, want string) {
		t.Helper()
		if got, err := goMySQL(addr, user, password, secure, query); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("go-sql-driver as %s: %q, %v, want %q", user, got, err, want)
		}
	}
	for _, user := range []string{"native", "ed", "secure"} {
		goOK(a, user, "river", byName("a.example.com"))
		goOK(b, user, "river", byName("b.example.com"))
	}
	goOK(b, "open", "", byName("b.example.com"))
	goOK(a, "native", "river", nil) // in clear: the default pool
	goOK(a, "ed", "river", nil)
	goOK(a, "open", "", nil)
	goFails(addr, "native", "lake", byName("a.example.com"), "Access denied")
	goFails(addr, "native", "lake", nil, "Access denied")
	goFails(addr, "secure", "river", nil, "Access denied")
	goFails(addr, "nobody", "river", byName("b.example.com"), "Access denied")
	goFails(addr, "native", "river", &tls.Config{ServerName: "c.example.com", RootCAs: ca.pool}, "certificate is valid for")
	goFails(strict, "native", "river", nil, "insecure transport are prohibited")
	goFails(strict, "native", "river", byName("c.example.com"), "unrecognized name")

	_, port, _ := net.SplitHostPort(addr)
	_, strictPort, _ := net.SplitHostPort(strict)
	verified := []string{"-hlocalhost", "--ssl-verify-server-cert", "--ssl-ca=" + ca.file}
	for _, user := range []string{"native", "ed", "either", "secure"} {
		for _, args := range [][]string{verified, {"--ssl"}, {"--skip-ssl"}} {
			got, err := mariadb(t, port, user, query, args...)
			switch {
			case user == "secure" && args[0] == "--skip-ssl":
				if err == nil || !strings.Contains(got, "Access denied") {
					t.Errorf("mariadb as %s %q: %q, %v", user, args, got, err)
				}
			case err != nil || got != a.port+" "+user:
				t.Errorf("mariadb as %s %q: %q, %v", user, args, got, err)
			}
		}
	}
	if got, err := mariadb(t, strictPort, "native", query, "--skip-ssl"); err == nil || !strings.Contains(got, "ERROR 3159") {
		t.Errorf("mariadb in clear without a default: %q, %v", got, err)
	}
	if got, err := mariadb(t, strictPort, "native", query, "--ssl"); err == nil || !strings.Contains(got, "unrecognized name") {
		t.Errorf("mariadb without a name or a default: %q, %v", got, err)
	}
	out, err := mariadb(t, port, "native", "SELECT REPEAT('x', 5000000)", "--ssl", "--compress", "-Drivers")
	if len(out) != 5000000 {
		t.Errorf("a long answer has %d bytes, %v", len(out), err)
	}
	waitFor(t, patience, "sessions end", func() bool {
		return w.metric(t, `weir_l4_active_sessions{listener="mysql-`+port+`"`) == 0
	})
}

// sha2Server is a scripted server with the login of caching_sha2_password, as MySQL
// 8 has it by default and MariaDB has not: it knows the password of one user.
type sha2Server struct {
	config *tls.Config
	full   bool // it has to see the password itself, as after a restart
}

const sha2Nonce = "01234567890123456789"

func mysqlPacket(seq byte, payload string) string {
	n := len(payload)
	return string([]byte{byte(n), byte(n >> 8), byte(n >> 16), seq}) + payload
}

func readMySQL(c net.Conn) (seq byte, payload string, err error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(c, head); err != nil {
		return 0, "", err
	}
	body := make([]byte, int(head[0])|int(head[1])<<8|int(head[2])<<16)
	_, err = io.ReadFull(c, body)
	return head[3], string(body), err
}

// sha2Proof is what a client proves that it knows the password with.
func sha2Proof(password, nonce string) string {
	once := sha256.Sum256([]byte(password))
	twice := sha256.Sum256(once[:])
	mask := sha256.Sum256(append(twice[:], nonce...))
	for i := range once {
		once[i] ^= mask[i]
	}
	return string(once[:])
}

func (s *sha2Server) serve(_ *scripted, p *peer) {
	const plugin = "caching_sha2_password"
	const flags = 1<<9 | 1<<11 | 1<<15 | 1<<19 | 1<<21
	greeting := "\x0a8.4.0\x00\x07\x00\x00\x00" + sha2Nonce[:8] + "\x00"
	greeting += string(binary.LittleEndian.AppendUint16(nil, flags&0xffff)) + "\x2d\x02\x00"
	greeting += string(binary.LittleEndian.AppendUint16(nil, flags>>16)) + "\x15" + strings.Repeat("\x00", 10)
	greeting += sha2Nonce[8:] + "\x00" + plugin + "\x00"
	io.WriteString(p.TCPConn, mysqlPacket(0, greeting))
	var conn net.Conn = p.TCPConn
	seq, login, err := readMySQL(conn)
	private := err == nil && len(login) == 32
	if private {
		conn = tls.Server(p.TCPConn, s.config)
		seq, login, err = readMySQL(conn)
	}
	if err != nil || len(login) < 34 {
		return
	}
	user, rest, _ := strings.Cut(login[32:], "\x00")
	proof, rest := rest[1:1+int(rest[0])], rest[1+int(rest[0]):]
	used, _, _ := strings.Cut(rest, "\x00")
	send := func(payload string) {
		seq++
		io.WriteString(conn, mysqlPacket(seq, payload))
	}
	next := func() (payload string) {
		seq, payload, _ = readMySQL(conn)
		return payload
	}
	if used != plugin {
		send("\xfe" + plugin + "\x00" + sha2Nonce + "\x00")
		proof = next()
	}
	switch {
	case !s.full && proof == sha2Proof("river", sha2Nonce):
		send("\x01\x03")
	default: // also where the proof is wrong, as MySQL does
		send("\x01\x04")
		if password := next(); !private || password != "river\x00" {
			send("\xff\x15\x04#28000Access denied for user '" + user + "'")
			return
		}
	}
	send("\x00\x00\x00\x02\x00\x00\x00")
	for {
		number, command, err := readMySQL(conn)
		if err != nil || number != 0 || command == "\x01" {
			return
		}
		seq = 0
		send("\x00\x00\x00\x02\x00\x00\x00")
	}
}

// TestMySQLCachingSHA2: the login of MySQL 8, by a scripted server. Through TLS the
// server does not accept the client's first proof and asks for the password itself.
func TestMySQLCachingSHA2(t *testing.T) {
	ca := newAuthority(t, t.TempDir())
	cert, key := ca.issue(t, "server", "a.example.com", "localhost")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}}
	known, fresh := &sha2Server{config: config}, &sha2Server{config: config, full: true}
	addr := freeAddr(t)
	startWeir(t, pool("a", startScript(t, known.serve).addr)+pool("b", startScript(t, fresh.serve).addr)+
		mysqlByName(addr, "a"))
	f := func(password string, secure *tls.Config, want string) {
		t.Helper()
		_, err := goMySQL(addr, "anna", password, secure, "")
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	a, b := &tls.Config{ServerName: "a.example.com", RootCAs: ca.pool}, &tls.Config{ServerName: "b.example.com", InsecureSkipVerify: true}
	f("river", a, "")
	f("river", b, "")
	f("lake", a, "Access denied")
	f("river", nil, "") // in clear, with the server's own nonce
	_, port, _ := net.SplitHostPort(addr)
	for _, mode := range []string{"--ssl", "--skip-ssl"} {
		out, err := tryCommand(t, nil, "mariadb-admin", "--no-defaults", "--protocol=tcp", "-hlocalhost", "-P"+port, "-uanna",
			"-priver", mode, "ping")
		if err != nil || !strings.Contains(out, "alive") {
			t.Errorf("mariadb-admin %s: %s, %v", mode, out, err)
		}
	}
}

// securePool is a pool whose servers are reached by TLS.
func securePool(name string, ca *authority, certName, server string) string {
	return pool(name, server) + fmt.Sprintf("[pool.%s.tls]\nca = %q\nname = %q\n", name, ca.file, certName)
}

// TestMySQLTerminated: Weir ends the clients' TLS, so that every account works by the
// server's own nonce; behind it, a server in plain and one in TLS.
func TestMySQLTerminated(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, t.TempDir())
	n := newMariaDB(t, ca, "db.internal")
	n.sql(t, mysqlAccounts)
	cert, key := ca.issue(t, "weir", "a.example.com", "b.example.com", "localhost")
	addr := freeAddr(t)
	w := startWeir(t, pool("a", n.addr)+securePool("b", ca, "db.internal", n.addr)+mysqlByName(addr, "b",
		fmt.Sprintf("tls = { certs = [{ cert = %q, key = %q }] }", cert, key)))
	const query = "SELECT CONCAT(SUBSTRING_INDEX(CURRENT_USER(), '@', 1), ' ', " +
		"(SELECT VARIABLE_VALUE <> '' FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'Ssl_version'))"
	f := func(name, user, password, want string) {
		t.Helper()
		secure := &tls.Config{ServerName: name, RootCAs: ca.pool}
		if name == "" {
			secure = nil
		}
		got, err := goMySQL(addr, user, password, secure, query)
		if got != want && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("go-sql-driver as %s to %s: %q, %v, want %q", user, name, got, err, want)
		}
	}
	for _, user := range []string{"native", "ed"} {
		f("a.example.com", user, "river", user+" 0")
		f("b.example.com", user, "river", user+" 1")
		f("a.example.com", user, "lake", "Access denied")
		f("b.example.com", user, "lake", "Access denied")
	}
	f("a.example.com", "open", "", "open 0")
	f("a.example.com", "secure", "river", "Access denied") // the server sees no TLS
	f("b.example.com", "secure", "river", "secure 1")
	f("", "native", "river", "insecure transport")
	_, port, _ := net.SplitHostPort(addr)
	for _, user := range []string{"native", "ed", "either", "secure"} {
		got, err := mariadb(t, port, user, query, "-hlocalhost", "--ssl-verify-server-cert", "--ssl-ca="+ca.file)
		if err != nil || got != user+" 1" {
			t.Errorf("mariadb as %s: %q, %v", user, got, err)
		}
	}
	out, err := mariadb(t, port, "native", "SELECT REPEAT('x', 5000000)", "--ssl", "-Drivers")
	if len(out) != 5000000 {
		t.Errorf("a long answer has %d bytes, %v", len(out), err)
	}
	waitFor(t, patience, "sessions end", func() bool {
		return w.metric(t, `weir_l4_active_sessions{listener="mysql-`+port+`"`) == 0
	})
}

// TestMySQLCachingSHA2Terminated: the same for the login of MySQL 8. Its full form
// needs TLS to the server too.
func TestMySQLCachingSHA2Terminated(t *testing.T) {
	ca := newAuthority(t, t.TempDir())
	cert, key := ca.issue(t, "server", "a.example.com", "b.example.com", "db.internal", "localhost")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}}
	for _, server := range []*sha2Server{{config: config}, {config: config, full: true}} {
		backend, addr := startScript(t, server.serve).addr, freeAddr(t)
		startWeir(t, pool("a", backend)+securePool("b", ca, "db.internal", backend)+mysqlByName(addr, "b",
			fmt.Sprintf("tls = { certs = [{ cert = %q, key = %q }] }", cert, key)))
		f := func(name, password, want string) {
			t.Helper()
			_, err := goMySQL(addr, "anna", password, &tls.Config{ServerName: name, RootCAs: ca.pool}, "")
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s, full %v: got %v, want %q", name, server.full, err, want)
			}
		}
		f("b.example.com", "river", "")
		f("b.example.com", "lake", "Access denied")
		if server.full {
			f("a.example.com", "river", "Access denied")
		} else {
			f("a.example.com", "river", "")
		}
		_, port, _ := net.SplitHostPort(addr)
		out, err := tryCommand(t, nil, "mariadb-admin", "--no-defaults", "--protocol=tcp", "-hlocalhost", "-P"+port, "-uanna",
			"-priver", "--ssl", "ping")
		if err != nil || !strings.Contains(out, "alive") {
			t.Errorf("mariadb-admin, full %v: %s, %v", server.full, out, err)
		}
	}
}
