package compress

// costs is what one encoder holds while it works, in KiB, by coding and level: measured
// by TestMemoryOfEncoders, and rounded up. It says which levels there are as well; the
// libraries have higher ones, which take tens of MiB or of milliseconds.
var costs = [numCodings][maxLevel + 1]int64{
	Gzip:   {1: 1000, 1400, 1400, 1100, 1250, 1250, 1200, 1200, 1600},
	Brotli: {1: 2300, 1700, 1500, 4600, 5200, 6400, 13500},
	Zstd:   {1: 1050, 2400, 5800},
}

// cheapest is the level of each coding that takes the least CPU: those of gzip below it
// find less and take no less (docs/decisions/0012).
var cheapest = [numCodings]int{Gzip: 4, Brotli: 1, Zstd: 1}

// maxLevel is the highest level of any coding; the lowest of each is 1.
const maxLevel = 9

// costOf is what an encoder counts in the budget, in bytes.
func costOf(c Coding, level int) int64 { return costs[c.Base()][level] << 10 }

// Highest returns the highest level of a coding.
func Highest(c Coding) int {
	level := 1
	for level < maxLevel && costs[c.Base()][level+1] > 0 {
		level++
	}
	return level
}
