package conf

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxProblems bounds what one file can make us print.
const maxProblems = 200

// Problem is one mistake in a configuration file.
type Problem struct {
	// File is the name of the file as it was given to Load or Parse.
	File string `json:"file"`
	// Line counts from 1. 0 means the file as a whole; then Col, Width and
	// Source are not set either.
	Line int `json:"line,omitempty"`
	// Col counts characters from 1; a tab is one character.
	Col int `json:"column,omitempty"`
	// Width is how many characters of the line are meant, at least 1.
	Width int `json:"width,omitempty"`
	// Message names the key and the cause.
	Message string `json:"message"`
	// Suggestion is text that can be pasted in place of what is wrong, or "".
	Suggestion string `json:"suggestion,omitempty"`
	// Source is the line itself. Secrets are masked, unprintable characters
	// replaced, and a very long line is cut to the part around the mistake.
	Source string `json:"source,omitempty"`

	caret int // index of the first meant rune in Source
}

// Error gives the human form: position and cause, the line, a caret, and the
// suggestion. It ends without a newline.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line == 0 {
		fmt.Fprintf(&b, ": %s", p.Message)
		return b.String()
	}
	fmt.Fprintf(&b, ":%d:%d: %s", p.Line, p.Col, p.Message)

	number := strconv.Itoa(p.Line)
	gutter := strings.Repeat(" ", len(number))
	width := max(1, min(p.Width, utf8.RuneCountInString(p.Source)-p.caret))
	fmt.Fprintf(&b, "\n  %s | %s", number, p.Source)
	fmt.Fprintf(&b, "\n  %s | %s%s", gutter, indent(p.Source, p.caret), strings.Repeat("^", width))
	if p.Suggestion != "" {
		fmt.Fprintf(&b, "\n  %s = did you mean %s?", gutter, p.Suggestion)
	}
	return b.String()
}

// Problems is every mistake found in one file, in the order of their places in
// it. As JSON it is an array of problems.
type Problems []Problem

// Error gives the human form of all problems, separated by empty lines.
func (ps Problems) Error() string {
	parts := make([]string, len(ps))
	for i, p := range ps {
		parts[i] = p.Error()
	}
	return strings.Join(parts, "\n\n")
}

// report collects the problems of one file.
type report struct {
	src   *source
	found []finding
}

type finding struct {
	at         span
	message    string
	suggestion string
}

func (r *report) add(at span, suggestion, format string, args ...any) {
	r.found = append(r.found, finding{at, fmt.Sprintf(format, args...), suggestion})
}

// problems gives what was found in file order, each place and message once;
// nil if there is nothing.
func (r *report) problems() Problems {
	slices.SortStableFunc(r.found, func(a, b finding) int { return a.at.pos - b.at.pos })
	r.found = slices.Compact(r.found)
	var ps Problems
	for i, f := range r.found {
		if i == maxProblems {
			ps = append(ps, Problem{
				File:    r.src.name,
				Message: fmt.Sprintf("%d more problems are not shown", len(r.found)-i),
			})
			break
		}
		ps = append(ps, r.src.problem(f.at, f.message, f.suggestion))
	}
	return ps
}

// fault is what is wrong with one value, and what could stand there instead.
type fault struct {
	cause      string
	suggestion string // TOML text, "" if nothing is near
}

func (f *fault) Error() string { return f.cause }

// bad makes a fault without a suggestion.
func bad(format string, args ...any) *fault {
	return &fault{cause: fmt.Sprintf(format, args...)}
}

// meant adds the value that was probably meant; "" adds nothing.
func (f *fault) meant(value string) *fault {
	if value != "" {
		f.suggestion = strconv.Quote(value)
	}
	return f
}
