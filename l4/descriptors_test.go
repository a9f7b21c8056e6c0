package l4

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/conf"
	"weir/pool/backend"
	"weir/pool/metric"
)

// childEnv makes the test binary a Weir with few descriptors: an L4 listener that
// passes everything to the address in its value. It prints its own address, and a
// report when its input ends.
const childEnv = "WEIR_L4_TEST_BACKEND"

const childDescriptors = 64

func fewDescriptorsChild() int {
	must := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	must(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: childDescriptors, Max: childDescriptors}))
	metrics := metric.New()
	reg := backend.New(backend.Options{Metrics: metrics})
	p := poolOf("p", os.Getenv(childEnv))
	p.ConnectTimeout = 500 * time.Millisecond
	snap, err := reg.Prepare(context.Background(), []conf.Pool{p}, conf.DNS{})
	must(err)
	reg.Commit(snap)
	var exhausted atomic.Bool
	srv, err := New(Options{Loops: 2, Metrics: metrics, Exhausted: func() { exhausted.Store(true) }})
	must(err)
	u, err := srv.Prepare([]Listener{{
		Name: "t", Addrs: []conf.Addr{tcpAddr("127.0.0.1:0")}, Groups: reg.Group,
		Conf: &conf.L4{Name: "t", Protocol: "auto", Pool: "p", IdleTimeout: time.Hour, HalfClosedTimeout: time.Minute},
	}})
	must(err)
	u.Commit()
	fmt.Println(srv.Addrs("t")[0])
	io.Copy(io.Discard, os.Stdin)
	backoffs := uint64(0)
	for _, w := range srv.shards {
		backoffs += w.events.Stats().Backoffs.Load()
	}
	var use unix.Rusage
	must(unix.Getrusage(unix.RUSAGE_SELF, &use))
	cpu := time.Duration(use.Utime.Nano() + use.Stime.Nano())
	fmt.Printf("%t %t %d\n", reg.Group("p").Usable() == 1, backoffs > 0 && exhausted.Load(), cpu.Milliseconds())
	srv.Close()
	reg.Close()
	return 0
}

// TestFewDescriptors: 200 clients meet a Weir that may open 64 descriptors. It must
// stay up without spinning, blame no backend, and serve again once they leave.
func TestFewDescriptors(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+origin(t, greeter("served")))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	var addr string
	if _, err := fmt.Fscanln(out, &addr); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	var served atomic.Int32
	var wg sync.WaitGroup
	var clients []net.Conn
	for range 200 {
		c, err := net.DialTimeout("tcp", addr, patience)
		if err != nil {
			continue // reset while Weir has nothing left: allowed
		}
		defer c.Close()
		clients = append(clients, c)
		c.SetDeadline(start.Add(2 * time.Second)) // also time in which it could spin
		wg.Go(func() {
			b := make([]byte, 7)
			if _, err := io.ReadFull(c, b); err == nil && string(b) == "served\n" {
				served.Add(1)
			}
		})
	}
	wg.Wait()
	if served.Load() == 0 {
		t.Error("no client was served while descriptors were scarce")
	}
	for _, c := range clients {
		c.Close()
	}
	for deadline := time.Now().Add(patience); ; {
		c, err := net.DialTimeout("tcp", addr, patience)
		if err == nil {
			c.SetDeadline(time.Now().Add(2 * time.Second))
			b := make([]byte, 7)
			_, err = io.ReadFull(c, b)
			c.Close()
		}
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("does not recover: %v", err)
		}
	}
	took := time.Since(start)
	in.Close()
	rest, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	var usable, backedOff bool
	var cpu int64
	if _, err := fmt.Fscan(strings.NewReader(string(rest)), &usable, &backedOff, &cpu); err != nil {
		t.Fatalf("report %q: %v", rest, err)
	}
	if !usable {
		t.Error("the backend was blamed")
	}
	if !backedOff {
		t.Error("no listener backed off: the test shows nothing")
	}
	if share := float64(cpu) / float64(took.Milliseconds()); share > 0.5 {
		t.Errorf("used %.0f%% of a core in %s", 100*share, took)
	}
}
