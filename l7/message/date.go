package message

import "time"

// TimeFormat is that of HTTP dates (RFC 9110 section 5.6.7), for times in UTC.
const TimeFormat = "Mon, 02 Jan 2006 15:04:05 GMT"

// AppendDate appends the HTTP date of a time in Unix seconds.
func AppendDate(dst []byte, sec int64) []byte {
	return time.Unix(sec, 0).UTC().AppendFormat(dst, TimeFormat)
}

// ParseDate reads an HTTP date in any of its three forms (RFC 9110 section 5.6.7) and
// returns it in Unix seconds. Names are taken in any case, and UTC beside GMT, as RFC
// 9111 section 4.2 asks of caches; anything else that the grammar does not have, and a
// day that its month does not have, is not ok. now, in Unix seconds, tells which
// century a year of two digits is of: the result is at most 50 years after it.
func ParseDate(b []byte, now int64) (sec int64, ok bool) {
	switch {
	case len(b) == len("Sun, 06 Nov 1994 08:49:37 GMT") && b[3] == ',':
		return parseFixdate(b)
	case len(b) == len("Sun Nov  6 08:49:37 1994") && b[3] == ' ':
		return parseAsctime(b)
	}
	return parseRFC850(b, now)
}

// clock is a date in the making.
type clock struct{ year, month, day, hour, minute, second int }

// parseFixdate reads "Sun, 06 Nov 1994 08:49:37 GMT".
func parseFixdate(b []byte) (int64, bool) {
	c := clock{year: digits(b[12:16]), month: monthOf(b[8:11]), day: digits(b[5:7])}
	if b[4] != ' ' || b[7] != ' ' || b[11] != ' ' || b[16] != ' ' || b[25] != ' ' ||
		!isDay(b[:3], 3) || !isZone(b[26:]) {
		return 0, false
	}
	return c.unix(b[17:25])
}

// parseAsctime reads "Sun Nov  6 08:49:37 1994".
func parseAsctime(b []byte) (int64, bool) {
	c := clock{year: digits(b[20:]), month: monthOf(b[4:7])}
	if b[8] == ' ' {
		c.day = digits(b[9:10])
	} else {
		c.day = digits(b[8:10])
	}
	if b[7] != ' ' || b[10] != ' ' || b[19] != ' ' || !isDay(b[:3], 3) {
		return 0, false
	}
	return c.unix(b[11:19])
}

// parseRFC850 reads "Sunday, 06-Nov-94 08:49:37 GMT".
func parseRFC850(b []byte, now int64) (int64, bool) {
	name := 0
	for name < len(b) && b[name] != ',' {
		name++
	}
	if len(b)-name != len(", 06-Nov-94 08:49:37 GMT") || !isDay(b[:name], 0) {
		return 0, false
	}
	b = b[name:]
	if b[1] != ' ' || b[4] != '-' || b[8] != '-' || b[11] != ' ' || b[20] != ' ' || !isZone(b[21:]) {
		return 0, false
	}
	yy := digits(b[9:11])
	if yy < 0 {
		return 0, false
	}
	this := time.Unix(now, 0).UTC().Year()
	c := clock{year: this - this%100 + yy, month: monthOf(b[5:8]), day: digits(b[2:4])}
	switch {
	case c.year > this+50:
		c.year -= 100
	case c.year <= this-50:
		c.year += 100
	}
	return c.unix(b[12:20])
}

// unix adds the time of day, "08:49:37", and returns Unix seconds.
func (c clock) unix(b []byte) (int64, bool) {
	c.hour, c.minute, c.second = digits(b[:2]), digits(b[3:5]), digits(b[6:])
	if b[2] != ':' || b[5] != ':' || c.year < 0 || c.month < 1 || c.day < 1 || c.day > 31 ||
		c.hour < 0 || c.hour > 23 || c.minute < 0 || c.minute > 59 || c.second < 0 || c.second > 60 {
		return 0, false
	}
	t := time.Date(c.year, time.Month(c.month), c.day, c.hour, c.minute, 0, 0, time.UTC)
	if t.Day() != c.day {
		return 0, false // a 30th of February
	}
	return t.Unix() + int64(c.second), true // the grammar has a leap second
}

// digits reads a decimal number; -1 when there is something else.
func digits(b []byte) int {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}

const monthNames = "janfebmaraprmayjunjulaugsepoctnovdec"

// monthOf returns 1 to 12, 0 for what is no month.
func monthOf(b []byte) int {
	for i := 0; i < len(monthNames); i += 3 {
		if EqualFold(b, monthNames[i:i+3]) {
			return i/3 + 1
		}
	}
	return 0
}

// isDay reports whether b is the name of a weekday, of which the first n letters are
// written; 0: all.
func isDay(b []byte, n int) bool {
	for _, name := range [...]string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"} {
		if n > 0 {
			name = name[:n]
		}
		if EqualFold(b, name) {
			return true
		}
	}
	return false
}

func isZone(b []byte) bool { return EqualFold(b, "gmt") || EqualFold(b, "utc") }
