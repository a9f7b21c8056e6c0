package metric

import (
	"cmp"
	"io"
	"slices"
	"strconv"
)

// writeHistograms prints the histograms of a family, cumulative and ended by
// +Inf, _sum and _count, as the text format wants them.
func (f *family) writeHistograms(w io.Writer) {
	f.mu.RLock()
	all := make([]*child, 0, len(f.children))
	for _, c := range f.children {
		all = append(all, c)
	}
	f.mu.RUnlock()
	slices.SortFunc(all, func(a, b *child) int { return cmp.Compare(a.name, b.name) })
	var b []byte
	for _, c := range all {
		b = c.appendHistogram(b, f.def.Name)
	}
	_, _ = w.Write(b)
}

func (c *child) appendHistogram(b []byte, name string) []byte {
	labels := c.name[len(name):] // "" or {...}
	open := "{"
	if labels != "" {
		open = labels[:len(labels)-1] + ","
	}
	// The count is summed from the buckets, so that +Inf and _count agree
	// whatever is added meanwhile.
	var n uint64
	for i := range c.histogram.buckets {
		n += c.histogram.buckets[i].Load()
		le := "+Inf"
		if i < len(bounds) {
			le = strconv.FormatFloat(bounds[i].Seconds(), 'g', -1, 64)
		}
		b = append(b, name+"_bucket"+open+`le="`+le+`"} `...)
		b = append(strconv.AppendUint(b, n, 10), '\n')
	}
	b = append(b, name+"_sum"+labels+" "...)
	b = strconv.AppendFloat(b, float64(c.histogram.sum.Load())/1e9, 'g', -1, 64)
	b = append(b, "\n"+name+"_count"+labels+" "...)
	return append(strconv.AppendUint(b, n, 10), '\n')
}
