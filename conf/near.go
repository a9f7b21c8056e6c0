package conf

import "strings"

// near returns the one of names that was probably meant by got, or "".
func near(got string, names []string) string {
	fold := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }
	g := fold(got)
	best, bestDistance := "", len(g)+1
	for _, name := range names {
		n := fold(name)
		longest := max(len(g), len(n))
		// A third of the letters may differ, but never all of them.
		d := distance(g, n)
		if d < bestDistance && d <= (longest+2)/3 && d < longest {
			best, bestDistance = name, d
		}
	}
	if best != "" {
		return best
	}
	for _, name := range names {
		if sameStart(g, fold(name)) {
			return name
		}
	}
	return ""
}

// sameStart reports whether two words are one word and its abbreviation, as
// max_connections and max_conns.
func sameStart(a, b string) bool {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n >= 4 && n*4 >= min(len(a), len(b))*3
}

// distance is the number of insertions, deletions, replacements and swaps of
// neighbouring bytes between a and b (optimal string alignment). Long words are
// not compared: their distance is their length.
func distance(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return max(len(a), len(b))
	}
	var before, last, row [longest + 1]int
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
