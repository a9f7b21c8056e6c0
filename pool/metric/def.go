// Package metric holds the definitions of everything Weir counts and the
// registry that keeps the values and prints them for Prometheus.
//
// A metric exists in one place, as a Def in one of the defs_*.go files; code asks
// the Registry for the values of a Def and a set of label values. Values are
// plain atomics: a caller on a hot path asks once, keeps the pointer and adds.
// The number of label sets per Def is bounded, so that nothing a client sends can
// grow the registry.
package metric

import "slices"

// Kind is what a metric measures and how Prometheus is told about it.
type Kind uint8

// The kinds of a Def.
const (
	KindCounter   Kind = iota + 1 // only grows; name ends in _total
	KindGauge                     // goes up and down
	KindHistogram                 // durations in seconds, in fixed buckets
)

// String gives the name that the exposition format uses.
func (k Kind) String() string {
	switch k {
	case KindCounter:
		return "counter"
	case KindGauge:
		return "gauge"
	case KindHistogram:
		return "histogram"
	}
	return "untyped"
}

// DefaultMaxSets is how many label sets a Def holds where it does not say.
const DefaultMaxSets = 1000

// Def defines one metric. It is never changed; its pointer is its identity.
type Def struct {
	Name    string // snake case, "weir_" first, unit and _total last
	Help    string // one sentence, as printed after # HELP and in the reference
	Kind    Kind
	Labels  []string // names of the labels, in the order the values are given
	MaxSets int      // label sets kept apart; 0 means DefaultMaxSets
}

// Defs returns every definition, in the order of the reference: process, L4, UDP, L7, cache,
// compression, backend.
func Defs() []*Def {
	return slices.Concat(processDefs, l4Defs, udpDefs, l7Defs, cacheDefs, compressDefs, backendDefs)
}

func (d *Def) maxSets() int {
	if d.MaxSets > 0 {
		return d.MaxSets
	}
	return DefaultMaxSets
}
