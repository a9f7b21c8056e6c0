// Package demo is what `weir demo` puts behind Weir: three small HTTP backends (one
// slow, one that fails now and then), a TCP and a TLS service, certificates, and
// the text of a configuration that shows L4, L7 and the way from one to the other.
package demo

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"

	"weir/conf"
)

// The names that the demo's certificates are for.
const (
	webName = "www.demo.local" // terminated by L7
	dbName  = "db.demo.local"  // passed through by L4
)

// Ports are where the demo listens, all on 127.0.0.1.
type Ports struct {
	HTTP, SNI, TCP, Admin int
}

// DefaultPorts are those of the documentation.
func DefaultPorts() Ports { return Ports{HTTP: 8080, SNI: 8443, TCP: 7000, Admin: 9901} }

// PortsFrom gives four ports in a row; base 0 gives four that are free.
func PortsFrom(base int) Ports {
	if base == 0 {
		return Ports{}
	}
	return Ports{HTTP: base, SNI: base + 1, TCP: base + 2, Admin: base + 3}
}

// Demo is a set of running backends with the configuration for them. Close ends it.
type Demo struct {
	Config *conf.Config
	Text   string   // what Config was parsed from
	Notes  []string // ports that were taken and what is used instead

	ports    Ports
	dir      string
	services []*service
}

// Start makes certificates in a new temporary directory and starts the backends on
// free ports of loopback. A port of ports that is taken is replaced by a free one.
func Start(ports Ports) (*Demo, error) {
	dir, err := os.MkdirTemp("", "weir-demo-")
	if err != nil {
		return nil, fmt.Errorf("cannot make the directory of the demo: %w", err)
	}
	d := &Demo{dir: dir}
	if err := d.start(ports); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Demo) start(ports Ports) error {
	certs, err := writeCerts(d.dir)
	if err != nil {
		return err
	}
	if err := d.startServices(certs); err != nil {
		return err
	}
	if err := d.choosePorts(ports); err != nil {
		return err
	}
	d.Text = d.text()
	d.Config, err = conf.Parse(d.path("weir.toml"), []byte(d.Text))
	if err != nil {
		return fmt.Errorf("BUG: the demo's own configuration is wrong: %w", err)
	}
	return nil
}

// Close ends the backends, waits for their goroutines and removes the directory.
func (d *Demo) Close() error {
	var errs []error
	for _, s := range d.services {
		errs = append(errs, s.close())
	}
	if err := os.RemoveAll(d.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, fmt.Errorf("cannot remove the directory of the demo: %w", err))
	}
	return errors.Join(errs...)
}

// choosePorts replaces ports that are taken or 0. Between this look and the bind of
// the listener somebody else may take one; the start then fails and says so.
func (d *Demo) choosePorts(wanted Ports) error {
	d.ports = wanted
	for _, p := range []*int{&d.ports.HTTP, &d.ports.SNI, &d.ports.TCP, &d.ports.Admin} {
		was := *p
		l, err := net.Listen("tcp", loopback(was))
		if err != nil {
			l, err = net.Listen("tcp", loopback(0))
		}
		if err != nil {
			return fmt.Errorf("cannot find a free port: %w", err)
		}
		// Held until all are chosen, so that no port is chosen twice.
		defer l.Close() //nolint:errcheck // nothing was sent
		*p = l.Addr().(*net.TCPAddr).Port
		if was != 0 && was != *p {
			d.Notes = append(d.Notes, fmt.Sprintf("port %d is taken, using %d", was, *p))
		}
	}
	return nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// path is a file of the demo's directory.
func (d *Demo) path(name string) string { return d.dir + "/" + name }

// addr is where a service listens.
func (d *Demo) addr(name string) string {
	for _, s := range d.services {
		if s.name == name {
			return s.addr()
		}
	}
	panic("BUG: the demo has no service " + name)
}

// Guide returns what to try, with commands that work as they are once Weir runs on
// the demo's configuration.
func (d *Demo) Guide() string {
	curlTLS := func(name string) string {
		return fmt.Sprintf("curl --cacert %s --resolve %s:%d:127.0.0.1 https://%s:%d/",
			d.path("ca.pem"), name, d.ports.SNI, name, d.ports.SNI)
	}
	admin := "http://" + loopback(d.ports.Admin)
	auth := fmt.Sprintf(`-H "Authorization: Bearer $(cat %s)"`, d.path("state/admin.token"))
	lines := []string{
		"HTTP over three servers, one slow and one that fails now and then (L7):",
		"  curl http://" + loopback(d.ports.HTTP) + "/",
		"Only the slow one:",
		"  curl http://" + loopback(d.ports.HTTP) + "/slow",
		"Only the one that fails:",
		"  curl http://" + loopback(d.ports.HTTP) + "/flaky",
		"HTTPS, found by its server name and handed from L4 to L7:",
		"  " + curlTLS(webName),
		"TLS passed through by its server name; the certificate is the service's own (L4):",
		"  " + curlTLS(dbName),
		"Plain TCP, an echo service that answers HTTP as well (L4):",
		"  curl http://" + loopback(d.ports.TCP) + "/",
		"  nc 127.0.0.1 " + strconv.Itoa(d.ports.TCP),
		"Metrics, and the state of the backends:",
		"  curl " + admin + "/metrics",
		"  curl " + auth + " " + admin + "/api/v1/pools/app",
		"Take a server out of rotation, and put it back:",
		"  curl -X POST " + auth + " " + admin + "/api/v1/pools/app/servers/" + d.addr("fast") + "/drain",
		"  curl -X POST " + auth + " " + admin + "/api/v1/pools/app/servers/" + d.addr("fast") + "/undrain",
		"One line per request and session:",
		"  tail -f " + d.path("access.log"),
	}
	return strings.Join(lines, "\n") + "\n"
}
