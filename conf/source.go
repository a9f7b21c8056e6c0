package conf

import (
	"bytes"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxSourceRunes is the longest source line a problem quotes. Longer lines are
// cut to the part around the mistake.
const maxSourceRunes = 160

// span is a range of bytes in a source: [pos, end).
type span struct {
	pos, end int
}

// source is the text of one configuration file, and what is needed to talk
// about places in it.
type source struct {
	name  string
	text  []byte
	lines []int  // offset of the first byte of each line
	masks []span // secrets written into the file; never quoted
}

func newSource(name string, text []byte) *source {
	s := &source{name: name, text: text, lines: []int{0}}
	for i, c := range text {
		if c == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	return s
}

// line returns the number (from 1) of the line that holds the byte at pos.
func (s *source) line(pos int) int {
	return sort.SearchInts(s.lines, pos+1)
}

// lineSpan returns where line n starts and ends, without its line ending.
func (s *source) lineSpan(n int) span {
	start, end := s.lines[n-1], len(s.text)
	if n < len(s.lines) {
		end = s.lines[n] - 1
	}
	return span{start, start + len(bytes.TrimSuffix(s.text[start:end], []byte{'\r'}))}
}

// mask keeps the bytes of sp out of every quoted line.
func (s *source) mask(sp span) { s.masks = append(s.masks, sp) }

func (s *source) masked(pos int) bool {
	for _, m := range s.masks {
		if m.pos <= pos && pos < m.end {
			return true
		}
	}
	return false
}

// problem places a message on sp.
func (s *source) problem(sp span, message, suggestion string) Problem {
	sp.pos = max(0, min(sp.pos, len(s.text)))
	n := s.line(sp.pos)
	line := s.lineSpan(n)
	pos, col := s.column(line, sp.pos)
	sp = span{pos, max(pos, min(sp.end, line.end))}
	width := max(1, utf8.RuneCount(s.text[sp.pos:sp.end]))
	quote, caret := s.quote(line, col)
	return Problem{
		File: s.name, Line: n, Col: col + 1, Width: width,
		Message: message, Suggestion: suggestion,
		Source: quote, caret: caret,
	}
}

// column returns where the rune that holds the byte at pos starts, and how many
// runes of the line are before it. Behind the line it is the line's end.
func (s *source) column(line span, pos int) (start, runes int) {
	i := line.pos
	for i < line.end {
		_, size := utf8.DecodeRune(s.text[i:line.end])
		if i+size > pos {
			break
		}
		i += size
		runes++
	}
	return i, runes
}

// quote returns the text of a line with secrets masked and unprintable
// characters replaced, one rune for one rune, and the index of rune col in it.
func (s *source) quote(line span, col int) (string, int) {
	var runes []rune
	for i := line.pos; i < line.end; {
		r, size := utf8.DecodeRune(s.text[i:line.end])
		switch {
		case s.masked(i):
			r = '*'
		case r != '\t' && !unicode.IsPrint(r):
			r = utf8.RuneError
		}
		runes = append(runes, r)
		i += size
	}
	if len(runes) <= maxSourceRunes {
		return string(runes), col
	}
	from := max(0, min(col-maxSourceRunes/2, len(runes)-maxSourceRunes))
	to := from + maxSourceRunes
	cut := string(runes[from:to])
	if to < len(runes) {
		cut += "…"
	}
	if from > 0 {
		return "…" + cut, col - from + 1
	}
	return cut, col
}

// indent returns the white space that puts a caret under rune n of line,
// whatever the width of a tab is on the reader's screen.
func indent(line string, n int) string {
	var b strings.Builder
	for _, r := range line {
		if n--; n < 0 {
			break
		}
		if r == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	return b.String()
}
