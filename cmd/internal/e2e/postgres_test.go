package e2e

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// postgresByName is a listener that chooses between the pools a and b by name.
func postgresByName(listen, fallback string) string {
	_, port, _ := net.SplitHostPort(listen)
	if fallback != "" {
		fallback = fmt.Sprintf("pool = %q", fallback)
	}
	return fmt.Sprintf(`
[[l4]]
name = "postgres-%s"
listen = [%q]
protocol = "postgres"
%s
[[l4.route]]
sni = ["a.example.com"]
pool = "a"
[[l4.route]]
sni = ["b.example.com"]
pool = "b"
`, port, listen, fallback)
}

// pgMessage is one message of PostgreSQL's protocol; kind 0 has no byte of its own.
func pgMessage(kind byte, body string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(4+len(body)))
	if kind != 0 {
		b = append([]byte{kind}, b...)
	}
	return string(b) + body
}

func readPG(r io.Reader) (kind byte, body string, err error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, "", err
	}
	b := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
	_, err = io.ReadFull(r, b)
	return head[0], string(b), err
}

const pgVersion3 = "\x00\x03\x00\x00"

// pgSession is a client of our own that is logged in by trust.
type pgSession struct {
	net.Conn
	r   *bufio.Reader
	key string // process and secret, for a CancelRequest
}

func pgLogin(t testing.TB, conn net.Conn) *pgSession {
	t.Helper()
	s := &pgSession{Conn: conn, r: bufio.NewReader(conn)}
	conn.SetDeadline(time.Now().Add(3 * patience))
	io.WriteString(conn, pgMessage(0, pgVersion3+"user\x00weir\x00database\x00postgres\x00\x00"))
	for {
		kind, body, err := readPG(s.r)
		switch {
		case err != nil || kind == 'E':
			t.Fatalf("login: %q, %v", body, err)
		case kind == 'K':
			s.key = body
		case kind == 'Z':
			return s
		}
	}
}

// pgDial connects by name, through TLS after a request for it or directly.
func pgDial(t testing.TB, addr string, direct bool, config *tls.Config) *pgSession {
	t.Helper()
	raw := dial(t, addr).TCPConn
	if !direct {
		io.WriteString(raw, pgMessage(0, "\x04\xd2\x16\x2f"))
		answer := make([]byte, 1)
		if _, err := io.ReadFull(raw, answer); err != nil || answer[0] != 'S' {
			t.Fatalf("answer %q, %v to the request for TLS", answer, err)
		}
	}
	conn := tls.Client(raw, config)
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	return pgLogin(t, conn)
}

// run sends a query and returns its first value, or its error.
func (s *pgSession) run(query string) (value string, err error) {
	io.WriteString(s, pgMessage('Q', query+"\x00"))
	for {
		kind, body, e := readPG(s.r)
		switch {
		case e != nil:
			return "", e
		case kind == 'E':
			err = fmt.Errorf("%q", body)
		case kind == 'D' && len(body) > 6:
			value = body[6:]
		case kind == 'Z':
			return value, err
		}
	}
}

// TestPostgresCancel: a CancelRequest in clear ends the query that it is for, on
// whichever of two servers it runs, and no other; psql's Ctrl-C does.
func TestPostgresCancel(t *testing.T) {
	t.Parallel()
	a, _ := newPostgres(t)
	b, _ := newPostgres(t)
	addr := freeAddr(t)
	w := startWeir(t, pool("a", a.addr)+pool("b", b.addr)+postgresByName(addr, ""))
	insecure := func(name string) *tls.Config { return &tls.Config{ServerName: name, InsecureSkipVerify: true} }
	onA := pgDial(t, addr, false, insecure("a.example.com"))
	onB := pgDial(t, addr, false, insecure("b.example.com"))
	for want, s := range map[string]*pgSession{a.port: onA, b.port: onB} {
		if got, err := s.run("SHOW port"); err != nil || got != want {
			t.Fatalf("port %q, %v, want %q", got, err, want)
		}
	}
	asleep := func(n *pgNode) bool {
		got, err := psql(t, n.conninfo(), "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
		return err == nil && got == "1"
	}
	for _, c := range []struct{ cancelled, other *pgSession }{{onA, onB}, {onB, onA}} {
		ended := make(chan error, 2)
		go func() { _, err := c.cancelled.run("SELECT pg_sleep(600)"); ended <- err }()
		go func() { _, err := c.other.run("SELECT pg_sleep(6)"); ended <- err }()
		waitFor(t, patience, "both queries run", func() bool { return asleep(a) && asleep(b) })
		conn := dial(t, addr)
		conn.send("%s", pgMessage(0, "\x04\xd2\x16\x2e"+c.cancelled.key))
		if got, err := io.ReadAll(conn); err != nil || len(got) > 0 {
			t.Errorf("the answer to a CancelRequest is %q, %v", got, err)
		}
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "57014") {
			t.Errorf("the first query to end did so with %v, want a cancellation", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("the other query ended with %v", err)
		}
	}
	waitFor(t, patience, "two sessions ended with the reason cancel", func() bool {
		return w.metric(t, `weir_l4_closed_total{listener="postgres-`+portOf(addr)+`",reason="cancel"`) == 2
	})

	cmd := exec.Command("psql", "-X", "-At", "-d", fmt.Sprintf(
		"host=b.example.com hostaddr=127.0.0.1 port=%s user=weir dbname=postgres sslmode=require", portOf(addr)),
		"-c", "SELECT pg_sleep(600)")
	cmd.SysProcAttr = dieWithUs()
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, patience, "psql's query runs", func() bool { return asleep(b) })
	cmd.Process.Signal(os.Interrupt)
	timer := time.AfterFunc(patience, func() { cmd.Process.Signal(syscall.SIGKILL) })
	cmd.Wait()
	timer.Stop()
	if !strings.Contains(out.String(), "canceling statement due to user request") {
		t.Errorf("psql after Ctrl-C: %s", out.String())
	}
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// TestPostgresWithoutName: what a client reads that comes without TLS, or with a name
// that leads nowhere.
func TestPostgresWithoutName(t *testing.T) {
	p, addr := startPostgres(t), freeAddr(t)
	startWeir(t, pool("a", p.addr)+pool("b", p.addr)+postgresByName(addr, ""))
	f := func(host, mode, want string) {
		t.Helper()
		conn := fmt.Sprintf("host=%s hostaddr=127.0.0.1 port=%s user=weir dbname=postgres connect_timeout=10 sslmode=%s "+
			"gssencmode=prefer", host, portOf(addr), mode)
		if got, err := psql(t, conn, "SELECT 1"); err == nil || !strings.Contains(got, want) {
			t.Errorf("%s %s: %q, %v, want %q", host, mode, got, err, want)
		}
	}
	f("a.example.com", "disable", "TLS with a server name (sslmode=require, sslsni=1) is needed to reach a database here")
	f("c.example.com", "require", "unrecognized name")
	f("127.0.0.1", "require", "unrecognized name") // libpq sends no address as a name
}

// TestPostgresDirectTLS: a client that begins with TLS, as PostgreSQL 17 knows it.
// The server is scripted, since Debian's cannot.
func TestPostgresDirectTLS(t *testing.T) {
	ca := newAuthority(t, t.TempDir())
	cert, key := ca.issue(t, "server", "a.example.com")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"postgresql"}}
	server := startScript(t, func(_ *scripted, p *peer) {
		conn := tls.Server(p, config)
		startup := make([]byte, 512)
		n, err := conn.Read(startup)
		if err != nil || conn.ConnectionState().NegotiatedProtocol != "postgresql" || n < 8 {
			return
		}
		io.WriteString(conn, pgMessage('R', "\x00\x00\x00\x00")+pgMessage('K', "\x00\x00\x00\x07secr")+pgMessage('Z', "I"))
		if kind, query, err := readPG(conn); err == nil && kind == 'Q' {
			io.WriteString(conn, pgMessage('D', "\x00\x01\x00\x00\x00\x00"+query)+pgMessage('Z', "I"))
		}
	})
	addr := freeAddr(t)
	startWeir(t, pool("a", server.addr)+pool("b", server.addr)+postgresByName(addr, ""))
	s := pgDial(t, addr, true, &tls.Config{
		ServerName: "a.example.com", RootCAs: ca.pool, NextProtos: []string{"postgresql"},
	})
	if got, err := s.run("SELECT 1"); err != nil || got != "SELECT 1\x00" {
		t.Errorf("got %q, %v", got, err)
	}
}
