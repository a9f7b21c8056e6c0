package backend

import (
	"errors"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The bounds of what is read from the system's files, as resolv.conf(5) has them.
const (
	maxSystemFile = 1 << 20
	maxServers    = 3
	maxSearch     = 6
	maxNdots      = 15
)

// watchedFile is a small system file, parsed, and parsed again when it changed.
type watchedFile[T any] struct {
	path  string
	parse func(text string) T

	mu    sync.Mutex
	value T
	size  int64
	mtime time.Time
}

// get returns what the file says now. A file that is not there says nothing; one
// that cannot be read says what it said before.
func (f *watchedFile[T]) get() T {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		var none T
		f.value, f.mtime = none, time.Time{}
	case err == nil && (info.Size() != f.size || !info.ModTime().Equal(f.mtime)):
		if text, err := readSystemFile(f.path); err == nil {
			f.value, f.size, f.mtime = f.parse(text), info.Size(), info.ModTime()
		}
	}
	return f.value
}

func readSystemFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, maxSystemFile))
	return string(text), err
}

// hostsFile is what /etc/hosts says: addresses by name in lower case.
type hostsFile map[string][]netip.Addr

func parseHosts(text string) hostsFile {
	hosts := hostsFile{}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		ip, err := netip.ParseAddr(fields[0])
		if err != nil || !usableAddr(ip.Unmap()) {
			continue
		}
		for _, name := range fields[1:] {
			name = strings.TrimSuffix(strings.ToLower(name), ".")
			if list := hosts[name]; len(list) < maxAddrs && !slices.Contains(list, ip.Unmap()) {
				hosts[name] = append(list, ip.Unmap())
			}
		}
	}
	return hosts
}

// resolvConf is what /etc/resolv.conf says.
type resolvConf struct {
	servers []netip.AddrPort
	search  []string // absolute
	ndots   int
}

func parseResolvConf(text string) resolvConf {
	c := resolvConf{ndots: 1}
	for line := range strings.Lines(text) {
		if i := strings.IndexAny(line, "#;"); i >= 0 {
			line = line[:i]
		}
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			if ip, err := netip.ParseAddr(fields[1]); err == nil && len(c.servers) < maxServers {
				c.servers = append(c.servers, netip.AddrPortFrom(ip, dnsPort))
			}
		case "domain":
			c.search = []string{absolute(strings.ToLower(fields[1]))}
		case "search":
			c.search = nil
			for _, domain := range fields[1:min(len(fields), maxSearch+1)] {
				c.search = append(c.search, absolute(strings.ToLower(domain)))
			}
		case "options":
			c.setOptions(fields[1:])
		}
	}
	return c
}

func (c *resolvConf) setOptions(options []string) {
	for _, option := range options {
		value, ok := strings.CutPrefix(option, "ndots:")
		if n, err := strconv.Atoi(value); ok && err == nil && n >= 0 {
			c.ndots = min(n, maxNdots)
		}
	}
}

// names lists the absolute names to ask for when host is meant, in order: a name
// with enough dots as it is first, another one in the domains of the search list
// first. A final dot means that the name is complete.
func (c *resolvConf) names(host string) []string {
	full := absolute(host)
	if full == host || len(c.search) == 0 {
		return []string{full}
	}
	names := make([]string, 0, len(c.search)+1)
	for _, domain := range c.search {
		if domain != "." {
			names = append(names, full+domain)
		}
	}
	if strings.Count(host, ".") >= c.ndots {
		return append([]string{full}, names...)
	}
	return append(names, full)
}
