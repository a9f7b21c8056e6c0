package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// command runs a program to its end and fails the test unless it exits with 0.
// Its output is returned.
func command(t testing.TB, env []string, name string, args ...string) string {
	t.Helper()
	out, err := tryCommand(t, env, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func tryCommand(t testing.TB, env []string, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// startServer runs a server program until the test ends. ready is polled.
func startServer(t testing.TB, ready func() bool, name string, args ...string) *exec.Cmd {
	t.Helper()
	log := &logBuffer{}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = dieWithUs()
	if err := cmd.Start(); err != nil {
		t.Fatalf("cannot start %s (make deps installs it): %v", name, err)
	}
	t.Cleanup(func() {
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

// accepts tells whether somebody listens on addr.
func accepts(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// startRedis runs a Redis server with these arguments too and returns its address.
func startRedis(t testing.TB, args ...string) string {
	t.Helper()
	addr := freeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	startServer(t, func() bool { return accepts(addr) }, "redis-server", append([]string{
		"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir(),
	}, args...)...)
	return addr
}

// nginxText is a text that can be compressed.
var nginxText = strings.Repeat("what can be compressed well, ", 40000)

// startNginx runs nginx as an HTTP origin and returns its address. It serves
//
//	/hello      "hello from nginx\n"
//	/file       1 MiB of the pattern
//	/chunked    the same, in chunks
//	/text       nginxText, compressed in chunks for who accepts gzip
//	/moved      a redirect to /hello, by its own address
func startNginx(t testing.TB) string {
	t.Helper()
	dir, addr := t.TempDir(), freeAddr(t)
	for name, body := range map[string][]byte{"file": patternBytes(1 << 20), "text": []byte(nginxText)} {
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	who := ""
	if os.Getuid() == 0 {
		who = "user root;\n" // the directory of a test is its owner's alone
	}
	conf := fmt.Sprintf(`%sworker_processes 1;
daemon off;
pid %[2]s/pid;
error_log %[2]s/error.log;
events { worker_connections 1024; }
http {
	access_log off;
	keepalive_requests 1000000;
	client_body_temp_path %[2]s/body;
	proxy_temp_path %[2]s/proxy;
	fastcgi_temp_path %[2]s/fastcgi;
	uwsgi_temp_path %[2]s/uwsgi;
	scgi_temp_path %[2]s/scgi;
	server {
		listen %[3]s;
		root %[2]s;
		default_type text/plain;
		location = /chunked { alias %[2]s/file; ssi on; ssi_types *; }
		location = /text { gzip on; gzip_types *; gzip_min_length 1; }
		location = /hello { return 200 "hello from nginx\n"; }
		location = /moved { return 302 http://%[3]s/hello; }
	}
}
`, who, dir, addr)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	startServer(t, func() bool { return accepts(addr) }, "nginx",
		"-p", dir, "-c", file, "-e", filepath.Join(dir, "error.log"))
	return addr
}

// postgres is the PostgreSQL server that the tests of one run share. It speaks TLS
// with a certificate for db.example.com, signed by the authority in ca.
type postgres struct {
	addr, port string
	ca         string
}

var startedPostgres = sync.OnceValues(runPostgres)

func startPostgres(t testing.TB) *postgres {
	t.Helper()
	// Certificates need a testing.TB; they are made before the server that outlives t.
	pgCerts.Do(func() { makePostgresCerts(t) })
	p, err := startedPostgres()
	if err != nil {
		t.Fatalf("cannot run PostgreSQL (make deps installs it): %v", err)
	}
	return p
}

var pgCerts sync.Once

func pgDir() string { return filepath.Join(shared.dir, "postgres") }

func makePostgresCerts(t testing.TB) {
	t.Helper()
	if err := os.MkdirAll(pgDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	newAuthority(t, pgDir()).issue(t, "server", "db.example.com", "localhost")
}

func runPostgres() (*postgres, error) {
	dir, data := pgDir(), filepath.Join(pgDir(), "data")
	attr := dieWithUs()
	if os.Getuid() == 0 {
		// PostgreSQL refuses to run as root.
		cred, err := credential("postgres", "nobody")
		if err != nil {
			return nil, err
		}
		for _, file := range []string{"", "ca.pem", "server.pem", "server.key"} {
			if err := os.Chown(filepath.Join(dir, file), int(cred.Uid), int(cred.Gid)); err != nil {
				return nil, err
			}
		}
		attr.Credential = cred
	}
	initdb := exec.Command("initdb", "-D", data, "-U", "weir", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = attr, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	port, err := unusedPort()
	if err != nil {
		return nil, err
	}
	p := &postgres{addr: "127.0.0.1:" + port, port: port, ca: filepath.Join(dir, "ca.pem")}
	log := &logBuffer{}
	cmd := exec.Command("postgres", "-D", data, "-p", port, "-k", dir, "-c", "listen_addresses=127.0.0.1",
		"-c", "ssl=on", "-c", "ssl_cert_file="+filepath.Join(dir, "server.pem"),
		"-c", "ssl_key_file="+filepath.Join(dir, "server.key"),
		"-c", "fsync=off", "-c", "max_connections=100", "-c", "shared_buffers=32MB")
	cmd.SysProcAttr, cmd.Dir, cmd.Stdout, cmd.Stderr = attr, dir, log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	shared.cleanups = append(shared.cleanups, func() {
		cmd.Process.Signal(syscall.SIGINT)
		cmd.Wait()
	})
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if exec.Command("pg_isready", "-q", "-h", "127.0.0.1", "-p", port, "-U", "weir").Run() == nil {
			return p, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("not ready after %v:\n%s", patience, log.tail(4<<10))
		}
	}
}

// credential is the first of these users that exists.
func credential(names ...string) (*syscall.Credential, error) {
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, fmt.Errorf("none of the users %s exists", strings.Join(names, ", "))
}

// psql runs one query over a connection string and returns the answer.
func psql(t testing.TB, conninfo, query string) (string, error) {
	t.Helper()
	out, err := tryCommand(t, nil, "psql", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-d", conninfo, "-c", query)
	return strings.TrimSpace(out), err
}
