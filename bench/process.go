package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	// runSlack is how much longer than it should a program may run.
	runSlack = 30 * time.Second
	// patience is how long a server may take to start.
	patience = 10 * time.Second
	nginx    = "nginx"
)

// output is what a program that ended has left.
type output struct {
	command string
	stdout  []byte
	cpu     time.Duration
	before  effort
	after   effort
}

// generators and servers get a CPU each where there are two.
func pinned(cpu string, program string, args ...string) []string {
	argv := append([]string{program}, args...)
	if runtime.NumCPU() < 2 {
		return argv
	}
	return append([]string{"taskset", "-c", cpu}, argv...)
}

const (
	generatorCPU = "0"
	serverCPU    = "1"
)

// run runs a generator against a server, to its end.
func run(ctx context.Context, server *service, program string, args ...string) (output, error) {
	ctx, cancel := context.WithTimeout(ctx, maxTime+runSlack)
	defer cancel()
	argv := pinned(generatorCPU, program, args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	before := readEffort(server)
	err := cmd.Run()
	out := output{
		command: strings.Join(append([]string{filepath.Base(program)}, args...), " "), stdout: stdout.Bytes(),
		before: before, after: readEffort(server),
	}
	if cmd.ProcessState != nil {
		out.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	if err != nil {
		return out, fmt.Errorf("%s: %w: %s", out.command, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// service is a server that runs until it is stopped.
type service struct {
	cmd  *exec.Cmd
	addr string
	dir  string // to be removed
}

func (s *service) stop() {
	// It may have ended by itself; Wait tells nothing that matters then.
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(patience, func() { _ = s.cmd.Process.Kill() })
	_ = s.cmd.Wait()
	timer.Stop()
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// startOrigin runs weir bench origin on a CPU. It says itself where it listens.
func startOrigin(ctx context.Context, weir, cpu string, flags ...string) (*service, error) {
	argv := pinned(cpu, weir, append([]string{"bench", "origin"}, flags...)...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &service{cmd: cmd}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("cannot start %q: %w", strings.Join(argv, " "), err)
	}
	s.addr = strings.TrimSpace(line)
	return s, nil
}

// start runs a server that was told to listen on addr, and waits until it does.
func start(ctx context.Context, addr, dir string, argv []string) (*service, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &service{cmd: cmd, addr: addr, dir: dir}
	for deadline := time.Now().Add(patience); ; {
		c, err := net.DialTimeout("tcp", addr, patience)
		if err == nil {
			return s, c.Close()
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			s.stop()
			return nil, fmt.Errorf("cannot reach %q: %w: %s", strings.Join(argv, " "), err, stderr.Bytes())
		}
		pause(ctx, 20*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// freeAddr is an address that nobody listens on now. Servers that cannot choose
// their own port need one.
func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

func split(addr string) (host, port string) {
	host, port, _ = net.SplitHostPort(addr) // it is ours
	return host, port
}

func startIperf(ctx context.Context) (*service, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	host, port := split(addr)
	return start(ctx, addr, "", pinned(serverCPU, "iperf3", "-s", "-B", host, "-p", port))
}

// nginxConfig is nginx as a proxy in front of one origin, as its documentation
// advises for throughput: connections to the origin are kept, nothing is logged.
const nginxConfig = `daemon off;
master_process off;
worker_processes 1;
pid %[1]s/pid;
error_log stderr crit;
events { worker_connections 1024; }
http {
	access_log off;
	client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s;
	uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
	keepalive_requests 1000000000;
	upstream origin { server %[3]s; keepalive 64; keepalive_requests 1000000000; }
	server {
		listen %[2]s;
		location / { proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; }
	}
}
`

func startNginx(ctx context.Context, origin string) (*service, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "weir-bench-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "nginx.conf")
	err = os.WriteFile(file, fmt.Appendf(nil, nginxConfig, dir, addr, origin), 0o600)
	var s *service
	if err == nil {
		s, err = start(ctx, addr, dir, pinned(serverCPU, nginx, "-e", "stderr", "-p", dir, "-c", file))
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}
