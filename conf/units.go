package conf

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// sizeUnits is every unit of a size, largest first within its family.
var sizeUnits = []struct {
	name  string
	bytes Size
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"B", 1},
}

// String gives the shortest exact form: "64KiB", "10MB", "1500B".
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s >= u.bytes && s%u.bytes == 0 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// quantity splits "64 mib" into a number and a unit.
var quantity = regexp.MustCompile(`^\s*([0-9]+)\s*([A-Za-z]*)\s*$`)

// ParseSize reads a size as the configuration has it, for flags: "64MiB", "10KB" or
// "512". The error says what was expected.
func ParseSize(s string) (Size, error) { return parseSize(s) }

// parseSize reads "64MiB", "10KB" or "512". KiB, MiB, GiB and TiB are powers of
// 1024; KB, MB, GB and TB are powers of 1000.
func parseSize(s string) (Size, error) {
	wrong := bad("cannot parse size %q: expected a number and a unit, as in \"64KiB\", \"10MB\" or \"512B\"", s)
	m := quantity.FindStringSubmatch(s)
	if m == nil {
		return 0, wrong
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return 0, wrong
	}
	for _, u := range sizeUnits {
		if m[2] == u.name || m[2] == "" && u.name == "B" {
			if m[1]+m[2] != s {
				return 0, wrong.meant(m[1] + m[2])
			}
			v := Size(n) * u.bytes
			if v/u.bytes != Size(n) {
				return 0, bad("size %q is more than 64 bits can count", s)
			}
			return v, nil
		}
	}
	return 0, wrong.meant(withUnit(m[1], m[2]))
}

// withUnit guesses the size unit that was meant by "m", "mb" or "Mib".
func withUnit(number, unit string) string {
	unit = strings.ToLower(unit)
	for _, u := range sizeUnits {
		name := strings.ToLower(u.name)
		if unit == name || unit+"b" == name || unit+"ib" == name || unit == name+"ytes" {
			return number + u.name
		}
	}
	return ""
}

// parseDuration reads what time.ParseDuration reads, without a sign.
func parseDuration(s string) (time.Duration, error) {
	const expected = `expected a number and a unit, as in "500ms", "2s" or "1m30s"`
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || strings.HasPrefix(s, "+") {
		return 0, bad("cannot parse duration %q: %s", s, expected).meant(durationMeant(s))
	}
	return d, nil
}

// durationWords are units people write and time.ParseDuration does not know.
var durationWords = map[string]string{
	"": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s",
	"m": "m", "min": "m", "mins": "m", "minute": "m", "minutes": "m",
	"h": "h", "hr": "h", "hour": "h", "hours": "h",
	"s": "s", "ms": "ms", "msec": "ms", "millis": "ms", "milliseconds": "ms",
	"us": "us", "ns": "ns",
}

func durationMeant(s string) string {
	m := quantity.FindStringSubmatch(strings.ToLower(s))
	if m == nil {
		return ""
	}
	if m[2] == "d" || m[2] == "day" || m[2] == "days" {
		if n, err := strconv.Atoi(m[1]); err == nil && n < 1e5 {
			return strconv.Itoa(24*n) + "h"
		}
	}
	if unit, ok := durationWords[m[2]]; ok {
		return m[1] + unit
	}
	return ""
}

// formatDuration gives the shortest form parseDuration reads: "1h" and not
// "1h0m0s".
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
