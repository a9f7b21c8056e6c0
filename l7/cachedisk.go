package l7

import (
	"time"

	"weir/conf"
	"weir/l7/cache"
	"weir/l7/cache/disk"
	"weir/pool/metric"
)

// ProbeDisk reports whether the directory of [cache.disk], if there is one, can be made
// and written to. A configuration for which it fails is not to come into force.
func ProbeDisk(c *conf.Cache) error {
	if c.Disk == nil {
		return nil
	}
	return disk.Probe(c.Disk.Path)
}

// useDisk gives the store the directory of a configuration that comes into force. It is
// called by one Apply at a time.
func (s *Server) useDisk(st *cache.Store, c *conf.CacheDisk) {
	if sameDisk(s.disk, c) {
		return
	}
	var t *disk.Tier
	if c != nil {
		var err error
		t, err = disk.Open(disk.Options{Dir: c.Path, Size: int64(c.Size), Log: s.log})
		if err != nil {
			// It was probed a moment ago. The next reload tries again.
			s.log.Error("cache on disk not opened; responses are stored in memory alone", "err", err)
			c = nil
		} else {
			s.showDisk(st)
		}
	}
	if err := st.SetDisk(t, s.panicked); err != nil {
		s.log.Error("cache on disk not closed", "err", err)
	}
	s.disk = c
}

func sameDisk(a, b *conf.CacheDisk) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// showDisk shows the numbers that the disk tier keeps.
func (s *Server) showDisk(st *cache.Store) {
	stats := func() (d disk.Stats) {
		if t := st.Disk(); t != nil {
			d = t.Stats()
		}
		return d
	}
	gauge := func(def *metric.Def, value func(disk.Stats) float64) {
		s.metrics.GaugeFunc(def, func() float64 { return value(stats()) })
	}
	counter := func(def *metric.Def, value func(disk.Stats) uint64, labels ...string) {
		s.metrics.CounterFunc(def, func() uint64 { return value(stats()) }, labels...)
	}
	gauge(metric.CacheDiskObjects, func(d disk.Stats) float64 { return float64(d.Objects) })
	gauge(metric.CacheDiskBytes, func(d disk.Stats) float64 { return float64(d.Bytes) })
	gauge(metric.CacheDiskLimit, func(d disk.Stats) float64 { return float64(d.Limit) })
	gauge(metric.CacheDiskReady, func(d disk.Stats) float64 {
		if d.Ready {
			return 1
		}
		return 0
	})
	counter(metric.CacheDiskReads, func(d disk.Stats) uint64 { return d.Hits }, "hit")
	counter(metric.CacheDiskReads, func(d disk.Stats) uint64 { return d.Misses }, "miss")
	counter(metric.CacheDiskWrites, func(d disk.Stats) uint64 { return d.Stored }, "stored")
	counter(metric.CacheDiskWrites, func(d disk.Stats) uint64 { return d.Refused }, "refused")
	s.metrics.CounterFunc(metric.CacheDiskWrites, func() uint64 { return st.Stats().Skipped }, "skipped")
	counter(metric.CacheDiskEvictions, func(d disk.Stats) uint64 { return d.Evicted })
	for cause := range disk.Causes {
		counter(metric.CacheDiskErrors, func(d disk.Stats) uint64 { return d.Errors[cause] }, cause.String())
	}
}

// CacheDiskStatus is what is stored on disk.
type CacheDiskStatus struct {
	Path    string            `json:"path"`
	Ready   bool              `json:"ready"`   // all that is in the directory is known
	Waiting bool              `json:"waiting"` // it is not in use yet: another process may have it
	Objects int               `json:"objects"`
	Bytes   int64             `json:"bytes"`
	Limit   int64             `json:"limit_bytes"`
	Hits    uint64            `json:"hits"`
	Misses  uint64            `json:"misses"`
	Errors  map[string]uint64 `json:"errors"` // by cause, those that there were
}

// diskStatus is nil where there is no directory.
func diskStatus(t *disk.Tier) *CacheDiskStatus {
	if t == nil {
		return nil
	}
	d := t.Stats()
	out := &CacheDiskStatus{
		Path: t.Dir(), Ready: d.Ready, Waiting: d.Waiting, Objects: d.Objects, Bytes: d.Bytes, Limit: d.Limit,
		Hits: d.Hits, Misses: d.Misses, Errors: map[string]uint64{},
	}
	for cause, n := range d.Errors {
		if n > 0 {
			out.Errors[disk.Cause(cause).String()] = n
		}
	}
	return out
}

// load brings into memory what is on disk for a request, if there is something. It reads
// a disk: a loop that finds that there may be something leaves the exchange to a goroutine.
func (x *exchange) load(now time.Time) bool {
	c := &x.cached
	return c.rc.store.OnDisk(c.key) && c.rc.store.Load(c.key, &x.req, now, &c.ref)
}
