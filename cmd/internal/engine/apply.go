package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"weir/cmd/internal/admin"
	"weir/conf"
	"weir/l4"
	"weir/l7"
	"weir/pool/backend"
	"weir/pool/limit"
	"weir/pool/metric"
)

// change is a configuration that is prepared and not in force: commit or abort
// ends it.
type change struct {
	cfg      *conf.Config
	registry *backend.Registry
	backends *backend.Snapshot
	l7       *l7.Snapshot
	l4       *l4.Update
}

// prepare does all that can fail. An error leaves nothing behind.
func (e *Engine) prepare(ctx context.Context, cfg *conf.Config) (*change, error) {
	backends, err := e.backends.Prepare(ctx, cfg.Pools, cfg.DNS)
	if err != nil {
		return nil, fmt.Errorf("cannot prepare the pools: %w", err)
	}
	c := &change{cfg: cfg, registry: e.backends, backends: backends}
	if c.l7, err = e.l7.Build(cfg, backends.Group); err != nil {
		c.abort()
		return nil, err
	}
	if err = l7.ProbeDisk(&cfg.Cache); err != nil {
		c.abort()
		return nil, err
	}
	if c.l4, err = e.l4.Prepare(listeners(cfg, backends)); err != nil {
		c.abort()
		return nil, err
	}
	return c, nil
}

// abort gives back what was prepared.
func (c *change) abort() {
	if c.l4 != nil {
		c.l4.Abort()
	}
	c.registry.Discard(c.backends)
}

// commit puts c in force; it cannot fail. Whoever uses something comes after it:
// backends first, so that the groups the new routes name are alive, then L7,
// which L4 hands connections to, then the listeners.
func (e *Engine) commit(c *change) {
	e.backends.Commit(c.backends)
	e.l7.Apply(c.l7)
	c.l4.Commit()
	e.conns.SetNetworks(networks(c.cfg))
	e.conns.SetLimits(e.limits(c.cfg))
	e.level.Set(logLevel(c.cfg.Log))

	next := &state{Running: admin.Running{Config: c.cfg, Version: 1, Since: time.Now()}, backends: c.backends}
	if old := e.current.Load(); old != nil {
		next.Version = old.Version + 1
	}
	e.current.Store(next)
	e.metrics.Gauge(metric.ConfigVersion).Set(int64(next.Version))
	e.metrics.Gauge(metric.ConfigLastReload).Set(next.Since.Unix())
	e.metrics.Gauge(metric.ConfigValid).Set(1)
	e.log.Info("configuration in force", "version", next.Version, "file", c.cfg.File)
}

// limits are the caps of the process as a whole.
func (e *Engine) limits(cfg *conf.Config) limit.Limits {
	return limit.Limits{
		Max:          limit.Budget(e.nofile, fixedDescriptors(cfg, e.loops)+2*maxPipes(e.nofile), cfg.Process.MaxConns),
		MaxPerSource: cfg.Process.MaxConnsPerSource,
		Rate:         cfg.Process.MaxConnRate, RatePerSource: cfg.Process.MaxConnRatePerSource,
	}
}

// networks say what a source is.
func networks(cfg *conf.Config) limit.Networks {
	return limit.Networks{Bits4: cfg.Process.SourcePrefixV4, Bits6: cfg.Process.SourcePrefixV6}
}

// maxPipes is how many pipes L4 may open for bulk: at most a sixteenth of the
// descriptors goes into them.
func maxPipes(nofile int) int {
	const descriptors = 2 // of a pipe
	return min(max(nofile/16/descriptors, 1), l4.DefaultMaxPipes)
}

// loopDescriptors is what an event loop has open: its event queue, the descriptor
// that wakes it and its timer.
const loopDescriptors = 3

// fixedDescriptors is how many descriptors this configuration keeps open without a
// single connection. Every loop has a socket of its own on each address.
func fixedDescriptors(cfg *conf.Config, loops int) int {
	n := loops * loopDescriptors
	count := func(addrs []conf.Addr) {
		for _, a := range addrs {
			if a.Network == "unix" {
				n++
			} else {
				n += loops
			}
		}
	}
	for i := range cfg.L4 {
		count(cfg.L4[i].Listen)
	}
	for i := range cfg.L7 {
		count(cfg.L7[i].Listen)
		count(cfg.L7[i].Redirect)
	}
	return n
}

// listeners lists what the loops accept on: L4 with its routes, and for L7 the
// listeners whose connections are handed over as they are.
func listeners(cfg *conf.Config, backends *backend.Snapshot) []l4.Listener {
	var all []l4.Listener
	for i := range cfg.L4 {
		c := &cfg.L4[i]
		all = append(all, l4.Listener{Name: c.Name, Addrs: c.Listen, Conf: c, Groups: backends.Group})
	}
	for i := range cfg.L7 {
		c := &cfg.L7[i]
		all = append(all, l4.Listener{ // without addresses too: its caps count for what an [[l4]] hands over
			Name: c.Name, Addrs: c.Listen, L7: c.Name,
			MaxConns: c.MaxConns, MaxConnsPerSource: c.MaxConnsPerSource,
			ConnRate: c.MaxConnRate, ConnRatePerSource: c.MaxConnRatePerSource, ProxyProtocol: c.ProxyProtocol,
			Socket: c.Socket,
		})
		if len(c.Redirect) > 0 {
			name := l7.RedirectName(c.Name)
			all = append(all, l4.Listener{
				Name: name, Addrs: c.Redirect, L7: name,
				MaxConns: c.MaxConns, MaxConnsPerSource: c.MaxConnsPerSource,
				ConnRate: c.MaxConnRate, ConnRatePerSource: c.MaxConnRatePerSource, ProxyProtocol: c.ProxyProtocol,
				Socket: c.Socket,
			})
		}
	}
	return all
}

// needsRestart names the settings in which next differs from old and that are
// read at the start only.
func needsRestart(old, next *conf.Config) (names []string) {
	if old.Process.Loops != next.Process.Loops {
		names = append(names, "process.loops")
	}
	if old.Process.MemoryLimit != next.Process.MemoryLimit {
		names = append(names, "process.memory_limit")
	}
	if old.Admin != next.Admin || old.Process.RuntimeDir != next.Process.RuntimeDir ||
		old.Process.StateDir != next.Process.StateDir {
		names = append(names, "admin")
	}
	if old.AccessLog != next.AccessLog {
		names = append(names, "access_log")
	}
	if old.Log.Format != next.Log.Format {
		names = append(names, "log.format")
	}
	return names
}

// watchedFiles lists the files a configuration comes from.
func watchedFiles(cfg *conf.Config) []string {
	var files []string
	if cfg.File != "" {
		files = append(files, cfg.File)
	}
	for i := range cfg.Pools {
		if t := cfg.Pools[i].TLS; t != nil {
			files = append(files, given(t.CA, t.Cert, t.Key)...)
		}
	}
	for i := range cfg.L4 {
		if t := cfg.L4[i].TLS; t != nil {
			for _, c := range t.Certs {
				files = append(files, c.Cert, c.Key)
			}
			files = append(files, given(t.ClientCA)...)
		}
	}
	for _, l := range cfg.L7 {
		if l.TLS == nil {
			continue
		}
		for _, c := range l.TLS.Certs {
			files = append(files, c.Cert, c.Key)
		}
	}
	return files
}

// given leaves out the names of files that are not configured.
func given(files ...string) []string {
	return slices.DeleteFunc(files, func(f string) bool { return f == "" })
}
