package metric

import "weir/pool"

// registerBuffers shows the state of the package pool, which knows no metrics itself.
func registerBuffers(r *Registry) {
	for i, s := range pool.Stats() {
		class := s.Class
		stat := func() pool.ClassStats { return pool.Stats()[i] }
		r.GaugeFunc(BufferLiveBytes, func() float64 { return float64(stat().LiveBytes) }, class)
		r.GaugeFunc(BufferIdleBytes, func() float64 { return float64(stat().IdleBytes) }, class)
		r.CounterFunc(BufferGets, func() uint64 { return stat().Gets }, class)
		r.CounterFunc(BufferMisses, func() uint64 { return stat().Misses }, class)
	}
}
