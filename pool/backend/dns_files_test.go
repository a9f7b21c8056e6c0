package backend

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestParseHosts(t *testing.T) {
	hosts := parseHosts("127.0.0.1 localhost\n" +
		"# 10.0.0.9 commented\n" +
		"10.0.0.1\tDB.internal. db # and more\n" +
		"::1 localhost ip6-localhost\n" +
		"10.0.0.2 db\n10.0.0.2 db\n" +
		"nonsense x\n0.0.0.0 blocked\n10.0.0.3\n\n")
	f := func(name, want string) {
		t.Helper()
		if got := fmt.Sprint(hosts[name]); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	f("localhost", "[127.0.0.1 ::1]")
	f("db.internal", "[10.0.0.1]")
	f("db", "[10.0.0.1 10.0.0.2]")
	f("commented", "[]")
	f("and", "[]")
	f("x", "[]")
	f("blocked", "[]")
}

func TestResolvConfNames(t *testing.T) {
	f := func(text, host, want string) {
		t.Helper()
		c := parseResolvConf(text)
		if got := fmt.Sprint(c.names(host)); got != want {
			t.Errorf("%q, %s: got %s, want %s", text, host, got, want)
		}
	}
	f("", "app", "[app.]")
	f("", "app.", "[app.]")
	f("search a.test b.test.", "app", "[app.a.test. app.b.test. app.]")
	f("search a.test", "app.x", "[app.x. app.x.a.test.]")
	f("search a.test", "app.x.", "[app.x.]")
	f("search a.test\noptions rotate ndots:2", "app.x", "[app.x.a.test. app.x.]")
	f("search a.test\noptions ndots:0", "app", "[app. app.a.test.]")
	f("domain A.test", "app", "[app.a.test. app.]")
	f("search .", "app", "[app.]")
	f("search a b c d e f g h", "x", "[x.a. x.b. x.c. x.d. x.e. x.f. x.]")
	f("; search a.test\n# search b.test", "app", "[app.]")

	c := parseResolvConf("nameserver 10.0.0.1\nnameserver ::1\nnameserver x\nnameserver 10.0.0.2\nnameserver 10.0.0.3")
	if got := fmt.Sprint(c.servers); got != "[10.0.0.1:53 [::1]:53 10.0.0.2:53]" {
		t.Errorf("servers: %s", got)
	}
}

func TestWatchedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	f := &watchedFile[hostsFile]{path: path, parse: parseHosts}
	check := func(what, want string) {
		t.Helper()
		if got := fmt.Sprint(f.get()["db"]); got != want {
			t.Errorf("%s: got %s, want %s", what, got, want)
		}
	}
	write := func(text string, age time.Duration) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(-age)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	check("absent", "[]")
	write("10.0.0.1 db", 2*time.Hour)
	check("written", "[10.0.0.1]")
	check("unchanged", "[10.0.0.1]")
	write("10.0.0.2 db", time.Hour)
	check("changed", "[10.0.0.2]")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	check("removed", "[]")
}
