// Package peers sets up proxies for the same job: Weir and those it is compared
// with. Each has a template in templates/, written as its own documentation advises
// for performance; what all have in common is in [Job]: the same origin, the same
// certificate, one worker for each CPU, no access log, connections to the origin
// kept.
package peers

import (
	"bytes"
	"context"
	"crypto/rand"
	"debug/buildinfo"
	"embed"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// Name is the server name of the certificate, and what SNI is routed by.
const Name = "bench.test"

// FilePath is where the front files has its file.
const FilePath = "/file.bin"

// Job is what every proxy is to do.
type Job struct {
	Front    string // http, https, cache, gzip, files, tcp, udp or sni, as in a scenario
	Address  string // IP:PORT where it listens
	Origin   string // HOST:PORT
	Body     int64  // octets of the file at FilePath, with the front files
	Workers  int    // worker processes, threads or loops; default 1
	MaxConns int    // client connections it must be able to hold; default 10,000
	Bulk     bool   // bytes as fast as they go: what its documentation advises for that
	Admin    string // IP:PORT of Weir's admin side; "": where it is without a configuration
}

// Peer is a proxy that was found.
type Peer struct {
	Name    string
	Binary  string
	Version string

	kind *kind
}

// kind is how one proxy is set up and run. In arguments, {dir} is the directory
// of its files; where it runs, {address} and {workers} are those of the job.
type kind struct {
	name    string
	binary  string // "": as its name
	fronts  []string
	files   []string // templates; what is written has the same names
	version []string // arguments that print it; nil: it is in the binary
	pattern string   // finds the version in what is printed
	check   []string // arguments that check the files; nil: it has no such command
	run     []string
	env     func(j *Job) []string
}

var (
	serving = []string{"http", "https", "files"}
	allJobs = []string{"http", "https", "tcp", "sni"}
	caching = []string{"http", "https", "cache", "gzip", "tcp", "sni"}
	withUDP = []string{"http", "https", "cache", "gzip", "files", "tcp", "udp", "sni"}
	caches  = []string{"cache"}
)

// kinds returns all proxies, Weir first.
func kinds() []kind {
	return []kind{
		{
			name: "weir", fronts: withUDP, files: []string{"weir.toml"},
			check: []string{"check", "{dir}/weir.toml"}, run: []string{"run", "-c", "{dir}/weir.toml"}, env: goWorkers,
		},
		{
			name: "nginx", fronts: withUDP, files: []string{"nginx.conf"},
			version: []string{"-v"}, pattern: `nginx/(\S+)`,
			check: []string{"-t", "-q", "-p", "{dir}", "-e", "stderr", "-c", "{dir}/nginx.conf"},
			run:   []string{"-p", "{dir}", "-e", "stderr", "-c", "{dir}/nginx.conf"},
		},
		{
			name: "haproxy", fronts: caching, files: []string{"haproxy.cfg"},
			version: []string{"-v"}, pattern: `version (\S+)`,
			check: []string{"-c", "-f", "{dir}/haproxy.cfg"}, run: []string{"-db", "-f", "{dir}/haproxy.cfg"},
		},
		{
			name: "caddy", fronts: serving, files: []string{"Caddyfile"},
			check: []string{"validate", "--adapter", "caddyfile", "--config", "{dir}/Caddyfile"},
			run:   []string{"run", "--adapter", "caddyfile", "--config", "{dir}/Caddyfile"}, env: goWorkers,
		},
		{
			name: "traefik", fronts: allJobs, files: []string{"traefik.toml", "routes.toml"},
			version: []string{"version"}, pattern: `(?m)^Version:\s*(\S+)`,
			run: []string{"--configFile={dir}/traefik.toml"}, env: goWorkers,
		},
		{
			name: "varnish", binary: "varnishd", fronts: caches, files: []string{"varnish.vcl"},
			version: []string{"-V"}, pattern: `varnish-(\d[^\s)]*)`,
			check: []string{"-j", "none", "-C", "-f", "{dir}/varnish.vcl"},
			run: []string{
				"-j", "none", "-F", "-n", "{dir}/work", "-a", "{address}", "-f", "{dir}/varnish.vcl",
				"-s", "malloc,256m",
				"-p", "thread_pools={workers}", "-p", "thread_pool_min=200", "-p", "listen_depth=4096",
			},
		},
	}
}

// goWorkers bounds the threads of a Go program that run code.
func goWorkers(j *Job) []string {
	return []string{"GOMAXPROCS=" + strconv.Itoa(j.Workers)}
}

// Names are the names of all proxies, Weir first.
func Names() []string {
	var names []string
	for _, k := range kinds() {
		names = append(names, k.name)
	}
	return names
}

const versionWait = 10 * time.Second

// Find finds a proxy by its name: at binary, or on the PATH where that is "".
func Find(ctx context.Context, name, binary string) (*Peer, error) {
	all := kinds()
	i := slices.IndexFunc(all, func(k kind) bool { return k.name == name })
	if i < 0 {
		return nil, fmt.Errorf("unknown proxy %q: expected one of %q", name, Names())
	}
	p := &Peer{Name: name, kind: &all[i]}
	var err error
	program := name
	if p.kind.binary != "" {
		program = p.kind.binary
	}
	if p.Binary, err = locate(program, binary); err != nil {
		return nil, err
	}
	if p.Version, err = p.readVersion(ctx); err != nil {
		return nil, fmt.Errorf("cannot tell the version of %q: %w", p.Binary, err)
	}
	return p, nil
}

// locate finds a binary; Debian keeps servers in sbin, which is not on everybody's PATH.
func locate(name, binary string) (string, error) {
	if binary != "" {
		path, err := exec.LookPath(binary)
		if err != nil {
			return "", fmt.Errorf("cannot find %s: %w", name, err)
		}
		return filepath.Abs(path)
	}
	for _, candidate := range []string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return filepath.Abs(path)
		}
	}
	return "", fmt.Errorf("cannot find %s: it is not on the PATH", name)
}

func (p *Peer) readVersion(ctx context.Context) (string, error) {
	if p.kind.version == nil {
		return goVersion(p.Binary, p.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, versionWait)
	defer cancel()
	out, err := exec.CommandContext(ctx, p.Binary, p.kind.version...).CombinedOutput()
	if err != nil {
		return "", err
	}
	m := regexp.MustCompile(p.kind.pattern).FindSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("%q names none", firstLine(out))
	}
	return string(m[1]), nil
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}

// goVersion reads the version that the toolchain has put into a binary.
func goVersion(binary, name string) (string, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return "", err
	}
	version := info.Main.Version
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = " " + s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "+"
		}
	}
	if revision != "" {
		version = ""
	}
	if name == "weir" && version == "" && revision == "" {
		version = "devel"
	}
	return strings.TrimSpace(version+revision) + modified + " (" + info.GoVersion + ")", nil
}

// Can reports whether the proxy can do a job.
func (p *Peer) Can(front string) bool { return slices.Contains(p.kind.fronts, front) }

// Caches reports that the proxy is a cache and does nothing else here.
func (p *Peer) Caches() bool { return slices.Equal(p.kind.fronts, caches) }

//go:embed templates
var templates embed.FS

// values are what the templates know.
type values struct {
	Job
	Dir, Name       string
	Host, Port      string // of Address
	OriginHost      string
	OriginPort      string
	Cert, Key, Pair string // PEM files; Pair holds both
	Files           int    // descriptors for MaxConns
	Root            bool
	StreamModule    string // of nginx, where it is not built in
}

// Write writes the proxy's files for a job into dir, which must exist.
func (p *Peer) Write(dir string, j Job) error {
	j = j.withDefaults()
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("cannot write the files of %s: %w", p.Name, err)
	}
	host, port, err := net.SplitHostPort(j.Address)
	if err != nil {
		return fmt.Errorf("cannot write the files of %s: %w", p.Name, err)
	}
	originHost, originPort, err := net.SplitHostPort(j.Origin)
	if err != nil {
		return fmt.Errorf("cannot write the files of %s: %w", p.Name, err)
	}
	v := values{
		OriginHost: originHost, OriginPort: originPort,
		Job: j, Dir: dir, Name: Name, Host: host, Port: port,
		Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), Pair: filepath.Join(dir, "pair.pem"),
		Files: 2*j.MaxConns + 256, Root: os.Geteuid() == 0,
	}
	if j.Front == "tcp" || j.Front == "udp" || j.Front == "sni" {
		v.StreamModule = streamModule(p.Binary)
	}
	if j.Front == "https" {
		if err := writePair(v.Cert, v.Key, v.Pair); err != nil {
			return err
		}
	}
	if j.Front == "files" {
		if err := writeFile(filepath.Join(dir, "www"), j.Body); err != nil {
			return err
		}
	}
	for _, name := range p.kind.files {
		t, err := template.ParseFS(templates, "templates/"+name)
		if err != nil {
			return fmt.Errorf("cannot write the files of %s: %w", p.Name, err)
		}
		var b bytes.Buffer
		if err := t.Execute(&b, &v); err != nil {
			return fmt.Errorf("cannot write the files of %s: %w", p.Name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o600); err != nil {
			return fmt.Errorf("cannot write the files of %s: %w", p.Name, err)
		}
	}
	return nil
}

// writeFile makes a directory with the file of the front files, whose octets cannot be
// made shorter.
func writeFile(dir string, length int64) error {
	body := make([]byte, length)
	_, _ = rand.Read(body) // it never fails
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, FilePath), body, 0o600)
	}
	if err != nil {
		return fmt.Errorf("cannot write the file to be served: %w", err)
	}
	return nil
}

func (j Job) withDefaults() Job {
	if j.Workers == 0 {
		j.Workers = 1
	}
	if j.MaxConns == 0 {
		j.MaxConns = 10_000
	}
	return j
}

// streamModule finds nginx's stream module where Debian's package puts it.
func streamModule(binary string) string {
	for _, dir := range []string{filepath.Join(filepath.Dir(binary), "../modules"), "/usr/lib/nginx/modules"} {
		path := filepath.Join(dir, "ngx_stream_module.so")
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// runArgs are the arguments with which the proxy does a job.
func (p *Peer) runArgs(dir string, j *Job) []string {
	fill := strings.NewReplacer("{dir}", dir, "{address}", j.Address, "{workers}", strconv.Itoa(j.Workers))
	out := make([]string, len(p.kind.run))
	for i, a := range p.kind.run {
		out[i] = fill.Replace(a)
	}
	return out
}

func inDir(args []string, dir string) []string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = strings.ReplaceAll(a, "{dir}", dir)
	}
	return out
}

// Check lets the proxy itself check the files that Write has written. A proxy that
// has no such command passes.
func (p *Peer) Check(ctx context.Context, dir string) error {
	if p.kind.check == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.Binary, inDir(p.kind.check, dir)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s refuses its configuration: %w: %s", p.Name, err, bytes.TrimSpace(out))
	}
	return nil
}

// Start writes the files into dir, starts the proxy on these CPUs and waits until
// it listens; with the front udp, until the origin echoes through it. The Process must be
// stopped.
func (p *Peer) Start(ctx context.Context, dir string, j Job, cpus []int) (*Process, error) {
	j = j.withDefaults()
	if err := p.Write(dir, j); err != nil {
		return nil, err
	}
	if err := p.Check(ctx, dir); err != nil {
		return nil, err
	}
	c := Command{Path: p.Binary, Args: p.runArgs(dir, &j), Dir: dir, CPUs: cpus}
	if p.kind.env != nil {
		c.Env = p.kind.env(&j)
	}
	if p.Name == "caddy" { // it keeps state even where nothing is to be kept
		c.Env = append(c.Env, "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	}
	proc, err := Start(c)
	if err != nil {
		return nil, err
	}
	ready := proc.Ready
	if j.Front == "udp" {
		ready = proc.ReadyUDP
	}
	if err := ready(ctx, j.Address); err != nil {
		proc.Stop()
		return nil, err
	}
	return proc, nil
}
