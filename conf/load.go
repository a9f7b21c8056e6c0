package conf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// maxFile bounds a configuration file; 100,000 routes fit many times over.
const maxFile = 32 << 20

// Load reads and checks the configuration file at path. The error is Problems,
// also where the file cannot be read.
func Load(path string) (*Config, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, whole(path, "cannot find the working directory: %v", err)
	}
	text, err := readFile(abs)
	if err != nil {
		return nil, whole(path, "cannot read the configuration: %v", cause(err))
	}
	c, err := Parse(path, text)
	if err != nil {
		return nil, err
	}
	c.File = abs
	return c, nil
}

// pipePatience is how long the writer of a pipe may pause. A reload that waits for
// one for ever would keep all others waiting.
const pipePatience = 5 * time.Second

// readFile reads at most one byte more than Parse accepts. What is not a file may
// have no end (a device), or nobody who writes (a named pipe).
func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case st.IsDir():
		return nil, errors.New("it is a directory")
	case st.Mode().IsRegular() && st.Size() > maxFile:
		return make([]byte, maxFile+1), nil
	}
	// An error means that it cannot be waited for, as for every regular file.
	_ = f.SetReadDeadline(time.Now().Add(pipePatience))
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) == 0 && st.Mode()&os.ModeNamedPipe != 0 {
		err = errors.New("it is a pipe and nothing came out of it")
	}
	return text, err
}

// Parse checks a configuration held in memory. name stands for the file in
// problems, and relative files are relative to its directory. The error is
// Problems: all mistakes of the text, or after a syntax error only that.
// Parse reads the files and the environment variables that secrets name, and
// looks whether certificate files exist; nothing else outside of src matters.
func Parse(name string, src []byte) (*Config, error) {
	if len(src) > maxFile {
		return nil, whole(name, "the configuration is larger than the allowed %s", Size(maxFile))
	}
	dir, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		return nil, whole(name, "cannot find the working directory: %v", err)
	}
	t := schema()
	b := newBinder(name, dir, src, t.info)
	root, ok := decode(b.report)
	if !ok {
		hideSecrets(b.report)
		return nil, b.problems()
	}
	c := &Config{}
	t.absent(b, c)
	t.bind(b, c, root)
	check(b, c)
	if ps := b.problems(); ps != nil {
		return nil, ps
	}
	c.Process.fillDirs()
	c.fillZones()
	return c, nil
}

func newBinder(name, dir string, src []byte, root func() tableInfo) *binder {
	return &binder{
		report: &report{src: newSource(name, bytes.TrimPrefix(src, []byte("\ufeff")))},
		dir:    dir, root: root, marks: map[any]span{},
	}
}

func whole(file, format string, args ...any) Problems {
	return Problems{{File: file, Message: fmt.Sprintf(format, args...)}}
}

// secretKey finds the value of a key that holds a secret.
var secretKey = regexp.MustCompile(`\b(?:token|password|key)\b["']?\s*=\s*(.*)`)

// hideSecrets masks secrets on the line of a syntax error, where no tree says
// which values are secret.
func hideSecrets(r *report) {
	for i, f := range r.found {
		line := r.src.lineSpan(r.src.line(min(f.at.pos, len(r.src.text))))
		if m := secretKey.FindSubmatchIndex(r.src.text[line.pos:line.end]); m != nil {
			r.src.mask(span{line.pos + m[2], line.pos + m[3]})
			r.found[i].suggestion = ""
		}
	}
}

// fillDirs chooses the directories that the file leaves open. systemd names
// its own in the environment; without it root gets the system's usual ones and
// everyone else those of the user.
func (p *Process) fillDirs() {
	root := os.Geteuid() == 0
	if p.StateDir == "" {
		p.StateDir = "/var/lib/weir"
		if d := firstPath(os.Getenv("STATE_DIRECTORY")); d != "" {
			p.StateDir = d
		} else if !root {
			p.StateDir = userStateDir()
		}
	}
	if p.RuntimeDir == "" {
		switch d, x := firstPath(os.Getenv("RUNTIME_DIRECTORY")), os.Getenv("XDG_RUNTIME_DIR"); {
		case d != "":
			p.RuntimeDir = d
		case root:
			p.RuntimeDir = "/run/weir"
		case filepath.IsAbs(x):
			p.RuntimeDir = filepath.Join(x, "weir")
		default:
			p.RuntimeDir = filepath.Join(p.StateDir, "run")
		}
	}
}

// firstPath returns the first path of a list as systemd gives it.
func firstPath(list string) string {
	d, _, _ := strings.Cut(list, ":")
	if !filepath.IsAbs(d) {
		return ""
	}
	return filepath.Clean(d)
}

// userStateDir follows the XDG base directory specification.
func userStateDir() string {
	if x := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(x) {
		return filepath.Join(x, "weir")
	}
	if home, err := os.UserHomeDir(); err == nil && filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "weir")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("weir-%d", os.Geteuid()))
}
