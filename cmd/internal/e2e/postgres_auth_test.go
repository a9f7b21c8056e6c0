package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestPostgresAuthentication: which methods of login work where Weir ends TLS. A client
// that binds SCRAM to its TLS channel notices that there is somebody between.
func TestPostgresAuthentication(t *testing.T) {
	t.Parallel()
	n, ca := newPostgres(t)
	m := newDatabaseModes(t, n.addr, n.addr, filepath.Join(n.dir, ".s.PGSQL."+n.port), ca)
	const postgres = `protocol = "postgres"`
	m.add(t, "name", postgres, routes(byName))
	m.add(t, "ended", postgres, `pool = "plain"`, m.cert)
	m.add(t, "anew", postgres, `pool = "secure"`, m.cert)
	m.add(t, "anew-same-certificate", postgres, `pool = "secure"`,
		fmt.Sprintf("tls = { certs = [{ cert = %q, key = %q }] }", n.cert, n.key))
	startWeir(t, m.conf.String())
	f := func(listener, user, binding, want string) {
		t.Helper()
		authority := m.front.file
		if listener == "name" || listener == "anew-same-certificate" {
			authority = ca
		}
		got, err := psql(t, fmt.Sprintf("host=db.example.com hostaddr=127.0.0.1 port=%s user=%s password=river dbname=postgres "+
			"sslmode=verify-full sslrootcert=%s channel_binding=%s", m.port(listener), user, authority, binding), "SELECT 'in'")
		if !strings.Contains(got, want) || (err == nil) != (want == "in") {
			t.Errorf("%s to %s, channel_binding=%s: %q, %v, want %q", user, listener, binding, got, err, want)
		}
	}
	for _, listener := range []string{"name", "ended", "anew", "anew-same-certificate"} {
		f(listener, "by_md5", "prefer", "in")
		f(listener, "by_password", "prefer", "in")
		f(listener, "scram_in_clear", "disable", "in")
	}
	f("name", "by_scram", "require", "in")
	f("ended", "by_scram", "disable", "no pg_hba.conf entry") // the server sees no TLS
	f("ended", "scram_in_clear", "prefer", "in")
	f("ended", "scram_in_clear", "require", "channel binding is required")
	f("anew", "by_scram", "disable", "in")
	f("anew", "by_scram", "prefer", "channel binding check failed")
	f("anew-same-certificate", "by_scram", "require", "in")
}
