package e2e

import (
	"crypto/sha256"
	"crypto/tls"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// mysqlLoad inserts rows through go-sql-driver, in transactions with prepared
// statements on workers connections, a fresh one for each transaction if reconnects.
func mysqlLoad(t *testing.T, addr, mode string, secure *tls.Config, workers, each int, reconnects bool) {
	t.Helper()
	config := mysql.NewConfig()
	config.Net, config.Addr, config.User, config.Passwd, config.DBName = "tcp", addr, "native", "river", "rivers"
	config.TLS, config.Timeout, config.ReadTimeout, config.WriteTimeout = secure, patience, patience, patience
	connector, err := mysql.NewConnector(config)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	if reconnects {
		db.SetMaxIdleConns(-1)
	} else {
		db.SetMaxIdleConns(workers)
	}
	insert := func(n int) error {
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		defer tx.Rollback() // does nothing after a commit
		payload := strings.Repeat(fmt.Sprintf("%s %d;", mode, n), 100)
		if _, err := tx.Exec("INSERT INTO log VALUES (?, ?, ?, CRC32(?))", mode, n, payload, payload); err != nil {
			return err
		}
		return tx.Commit()
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				if err := insert(w*each + i); err != nil {
					t.Errorf("transaction %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	big := strings.Repeat("0123456789", 200_000)
	sum := sha256.Sum256([]byte(big))
	var got, back string
	if err := db.QueryRow("SELECT SHA2(?, 256), ?", big, big).Scan(&got, &back); err != nil ||
		got != hex.EncodeToString(sum[:]) || back != big {
		t.Errorf("a value of %d bytes: %s, %d bytes back, %v", len(big), got, len(back), err)
	}
}

// TestMariaDBModes: the mariadb client and a load of go-sql-driver through every mode.
// No transaction fails, all rows are there, TLS is verified in full, and the server
// sees it where it should.
func TestMariaDBModes(t *testing.T) {
	t.Parallel()
	back := newAuthority(t, t.TempDir())
	n := newMariaDB(t, back, "db.example.com", "localhost")
	n.sql(t, mysqlAccounts+`CREATE USER native@localhost IDENTIFIED VIA mysql_native_password USING PASSWORD('river');
		GRANT ALL ON rivers.* TO native@localhost;
		CREATE TABLE rivers.log (mode VARCHAR(40), n INT, payload TEXT, crc INT UNSIGNED, PRIMARY KEY (mode, n))`)
	m := newDatabaseModes(t, n.addr, n.addr, n.socket, back.file)
	const mysql = `protocol = "mysql"`
	m.add(t, "port", `pool = "plain"`)
	m.add(t, "socket", `pool = "socket"`)
	m.add(t, "name", mysql, `pool = "plain"`, routes(byName))
	m.add(t, "ended", mysql, `pool = "plain"`, m.cert)
	m.add(t, "ended-socket", mysql, `pool = "socket"`, m.cert)
	m.add(t, "encrypted-anew", mysql, `pool = "secure"`, m.cert)
	m.addShared(t, "shared", byName, `pool = "plain"`, `server_first_wait = "20ms"`)
	startWeir(t, m.conf.String())
	modes := []struct {
		listener string
		ca       *authority // nil: in clear
		secure   string     // what the server sees
	}{
		{"port", nil, "0"},
		{"port", back, "1"},
		{"socket", nil, "0"},
		{"socket", back, "1"},
		{"name", nil, "0"},
		{"name", back, "1"},
		{"ended", m.front, "0"},
		{"ended-socket", m.front, "0"},
		{"encrypted-anew", m.front, "1"},
		{"shared", nil, "0"},
		{"shared", back, "1"},
	}
	const workers, each = 4, 25
	t.Run("modes", func(t *testing.T) {
		for _, c := range modes {
			name, args, secure := c.listener, []string{"--skip-ssl"}, (*tls.Config)(nil)
			if c.ca != nil {
				name += "-by-tls"
				args = []string{"-hlocalhost", "--ssl-verify-server-cert", "--ssl-ca=" + c.ca.file}
				secure = &tls.Config{ServerName: "db.example.com", RootCAs: c.ca.pool}
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				got, err := mariadb(t, m.port(c.listener), "native", "SELECT VARIABLE_VALUE <> '' FROM "+
					"information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'Ssl_version'", args...)
				if err != nil || got != c.secure {
					t.Errorf("the server sees TLS: %q, %v, want %q", got, err, c.secure)
				}
				got, err = mariadb(t, m.port(c.listener), "native", "SELECT REPEAT('flows', 600000)", args...)
				if err != nil || got != strings.Repeat("flows", 600_000) {
					t.Errorf("mariadb read %d bytes, %v", len(got), err)
				}
				mysqlLoad(t, m.addr[c.listener], name+"-kept", secure, workers, each, false)
				mysqlLoad(t, m.addr[c.listener], name+"-fresh", secure, workers, each, true)
			})
		}
	})
	m.wantWeb(t, "shared")
	got, err := mariadb(t, n.port, "native", "SELECT COUNT(*), SUM(crc = CRC32(payload)) FROM rivers.log")
	if want := fmt.Sprintf("%d\t%[1]d", len(modes)*2*workers*each); err != nil || got != want {
		t.Errorf("rows, and those that are whole: %q, %v, want %q", got, err, want)
	}
}
