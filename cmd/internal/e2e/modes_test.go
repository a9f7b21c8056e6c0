package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// databaseModes are the ways of a client through Weir that are there for every
// database: one Weir, a listener for each.
type databaseModes struct {
	conf  strings.Builder
	addr  map[string]string // of each listener, by its name
	front *authority        // signs Weir's certificate for db.example.com
	cert  string            // the line of [l4.tls] with it
}

// newDatabaseModes prepares the pools plain, secure and socket, which lead to one
// server: in plain, in TLS with a certificate by the authority in ca, and by a unix socket.
func newDatabaseModes(t *testing.T, plain, secure, socket, ca string) *databaseModes {
	t.Helper()
	m := &databaseModes{addr: make(map[string]string), front: newAuthority(t, t.TempDir())}
	cert, key := m.front.issue(t, "weir", "db.example.com", "localhost")
	m.cert = fmt.Sprintf("tls = { certs = [{ cert = %q, key = %q }] }", cert, key)
	m.conf.WriteString(pool("plain", plain) + pool("socket", "unix:"+socket) + pool("secure", secure) +
		fmt.Sprintf("[pool.secure.tls]\nca = %q\nname = \"db.example.com\"\n", ca))
	return m
}

// add is a listener of this name; lines are what its table has besides.
func (m *databaseModes) add(t *testing.T, name string, lines ...string) {
	t.Helper()
	m.addr[name] = freeAddr(t)
	fmt.Fprintf(&m.conf, "[[l4]]\nname = %q\nlisten = [%q]\n%s\n", name, m.addr[name], strings.Join(lines, "\n"))
}

// port is where the listener of this name listens.
func (m *databaseModes) port(name string) string { return portOf(m.addr[name]) }

// addShared is a listener that hands www.example.com over to HTTP. The other routes are
// these; lines are what its table has besides.
func (m *databaseModes) addShared(t *testing.T, name, others string, lines ...string) {
	t.Helper()
	cert, key := m.front.issue(t, "www", "www.example.com")
	m.conf.WriteString(pool("app", startOrigin(t, "app").addr) + tlsWeb("web", "", cert, key, "app"))
	m.add(t, name, append(lines, routes(`{ sni = ["www.example.com"], l7 = "web" }`, others))...)
}

// wantWeb asks for a page on the port of a listener that hands www.example.com over.
func (m *databaseModes) wantWeb(t *testing.T, name string) {
	t.Helper()
	newClient(t).to(m.addr[name], m.front.pool).wantBody("https://www.example.com/name", "app")
}

// byName is a route of the database's TLS to its server in plain, which ends it.
const byName = `{ sni = ["db.example.com"], pool = "plain" }`

func routes(list ...string) string { return "route = [" + strings.Join(list, ", ") + "]" }

// bulkFile is 3 MiB of lines, each with its number.
func bulkFile(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for line := 0; b.Len() < 3<<20; line++ {
		fmt.Fprintf(&b, "%d the river %s\n", line, strings.Repeat("flows ", line%40))
	}
	return write(t, "bulk", b.String())
}

// TestPostgresModes: psql and pgbench through every mode. No transaction fails, all
// are in the tables, TLS is verified in full, and the server sees it where it should.
func TestPostgresModes(t *testing.T) {
	t.Parallel()
	n, ca := newPostgres(t)
	m := newDatabaseModes(t, n.addr, n.addr, filepath.Join(n.dir, ".s.PGSQL."+n.port), ca)
	const postgres = `protocol = "postgres"`
	m.add(t, "port", `pool = "plain"`)
	m.add(t, "socket", `pool = "socket"`)
	m.add(t, "database", postgres, `pool = "plain"`)
	m.add(t, "name", postgres, routes(byName))
	m.add(t, "ended", postgres, `pool = "plain"`, m.cert)
	m.add(t, "ended-socket", postgres, `pool = "socket"`, m.cert)
	m.add(t, "encrypted-anew", postgres, `pool = "secure"`, m.cert)
	m.addShared(t, "shared", `{ protocol = ["postgres"], pool = "plain" }`)
	startWeir(t, m.conf.String())
	command(t, []string{"PGSSLMODE=disable"}, "pgbench", "-i", "-s", "4", "-q", "-h", "127.0.0.1", "-p", n.port, "-U", "weir",
		"postgres")
	bulk := bulkFile(t)
	modes := []struct {
		listener, ca string // "" in clear
		secure       bool   // what the server sees
	}{
		{"port", "", false},
		{"port", ca, true},
		{"socket", "", false},
		{"database", "", false},
		{"database", ca, true},
		{"name", ca, true},
		{"ended", m.front.file, false},
		{"ended-socket", m.front.file, false},
		{"encrypted-anew", m.front.file, true},
		{"shared", "", false},
	}
	const clients, each = 4, 10
	t.Run("modes", func(t *testing.T) {
		for _, c := range modes {
			name, env, conn := c.listener, []string{"PGSSLMODE=disable"}, " sslmode=disable"
			if c.ca != "" {
				name += "-by-tls"
				env = []string{"PGSSLMODE=verify-full", "PGSSLROOTCERT=" + c.ca}
				conn = " sslmode=verify-full sslrootcert=" + c.ca
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				env = append(env, "PGHOSTADDR=127.0.0.1", "PGHOST=db.example.com", "PGUSER=weir", "PGPORT="+m.port(c.listener))
				conn = "host=db.example.com hostaddr=127.0.0.1 user=weir dbname=postgres port=" + m.port(c.listener) + conn
				got, err := psql(t, conn, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
				if want := map[bool]string{true: "t", false: "f"}[c.secure]; err != nil || got != want {
					t.Errorf("the server sees TLS: %q, %v, want %q", got, err, want)
				}
				for _, args := range [][]string{{"-M", "simple"}, {"-M", "prepared"}, {"-C"}} {
					args = append([]string{"-n", "-c", fmt.Sprint(clients), "-j", "2", "-t", fmt.Sprint(each)}, args...)
					out := command(t, env, "pgbench", append(args, "postgres")...)
					if !strings.Contains(out, fmt.Sprintf("%d/%[1]d", clients*each)) ||
						!strings.Contains(out, "number of failed transactions: 0 ") {
						t.Errorf("pgbench %q: %s", args, out)
					}
				}
				wantBulk(t, conn, bulk)
			})
		}
	})
	m.wantWeb(t, "shared")
	query := `SELECT count(*), sum(delta) = (SELECT sum(abalance) FROM pgbench_accounts),
		sum(delta) = (SELECT sum(bbalance) FROM pgbench_branches), sum(delta) = (SELECT sum(tbalance) FROM pgbench_tellers)
		FROM pgbench_history`
	got, err := psql(t, n.conninfo(), query)
	if want := fmt.Sprintf("%d|t|t|t", len(modes)*3*clients*each); err != nil || got != want {
		t.Errorf("history %q, %v; want %q", got, err, want)
	}
}

// wantBulk sends a file to a table and reads it back, in one session.
func wantBulk(t *testing.T, conn, file string) {
	t.Helper()
	back := filepath.Join(t.TempDir(), "back")
	out := command(t, nil, "psql", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-d", conn, "-c", "CREATE TEMP TABLE bulk (line text)",
		"-c", fmt.Sprintf(`\copy bulk FROM '%s'`, file),
		"-c", fmt.Sprintf(`\copy (SELECT line FROM bulk ORDER BY split_part(line, ' ', 1)::int) TO '%s'`, back))
	if sent, got := readFile(t, file), readFile(t, back); got != sent {
		t.Errorf("%d bytes came back, not the %d that were sent: %s", len(got), len(sent), out)
	}
}
