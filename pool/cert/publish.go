package cert

import "weir/pool/metric"

// Publish shows when the certificates of a listener end to be valid
// (weir_cert_not_after_seconds) and drops those that old had and s has not. Either
// may be nil: old at a start, s when the listener is gone.
func Publish(r *metric.Registry, listener string, old, s *Store) {
	keep := make(map[string]bool)
	if s != nil {
		for _, in := range s.Infos() {
			keep[in.File] = true
			r.Gauge(metric.CertNotAfter, listener, in.File).Set(in.NotAfter.Unix())
		}
	}
	if old == nil {
		return
	}
	for _, in := range old.Infos() {
		if !keep[in.File] {
			r.Unregister(metric.CertNotAfter, listener, in.File)
		}
	}
}
