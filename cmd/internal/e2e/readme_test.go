package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadmeTour does what the README says, with a real PostgreSQL and a real web
// server: it writes the file of the tour and types its commands. Only the ports are
// others than those shown.
func TestReadmeTour(t *testing.T) {
	db, site := startPostgres(t), startNginx(t)
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(weirBinary(t), filepath.Join(bin, "weir")); err != nil {
		t.Fatal(err)
	}
	admin, http, sql := freeAddr(t), freeAddr(t), freeAddr(t)
	_, sqlPort, _ := net.SplitHostPort(sql)
	here := strings.NewReplacer("127.0.0.1:5432", db.addr, `127.0.0.1:80"`, site+`"`, "127.0.0.1:9901", admin,
		"127.0.0.1:6432", sql, "-p 6432", "-p "+sqlPort, `path = "/"`, `path = "/hello"`,
		"127.0.0.1:8080/", http+"/hello", "127.0.0.1:8080", http)

	commands := 0
	for _, b := range blocks(t, filepath.Join(root(t), "README.md")) {
		text := here.Replace(b.text)
		switch b.info {
		case "toml tour":
			state := "[process]\nstate_dir = \"state\"\nruntime_dir = \"run\"\n"
			if err := os.WriteFile(filepath.Join(dir, "weir.toml"), []byte(text+state), 0o600); err != nil {
				t.Fatal(err)
			}
		case "console tour":
			for _, c := range transcript(text) {
				commands++
				c.run(t, dir, bin, admin)
			}
		}
	}
	if commands < 8 {
		t.Errorf("the tour has only %d commands", commands)
	}
}

// shown is a command of a document with the output it promises.
type shown struct {
	command string
	output  []string
}

func transcript(text string) []shown {
	var all []shown
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			all = append(all, shown{command: command})
		} else if line != "" {
			last := &all[len(all)-1]
			last.output = append(last.output, line)
		}
	}
	return all
}

func (s shown) run(t *testing.T, dir, bin, admin string) {
	t.Helper()
	path := "PATH=" + bin + ":" + os.Getenv("PATH")
	if strings.HasPrefix(s.command, "weir run") {
		// The other terminal.
		startServer(t, func() bool { return accepts(admin) },
			"env", "-C", dir, path, "sh", "-c", "exec "+s.command)
		return
	}
	cmd := exec.Command("sh", "-c", s.command)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), path)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("$ %s\n%v\n%s", s.command, err, out)
		return
	}
	rest := string(out)
	for _, want := range s.output {
		_, after, found := strings.Cut(rest, want+"\n")
		if !found {
			t.Errorf("$ %s\nprinted\n%swithout %q", s.command, out, want)
			return
		}
		rest = after
	}
}
