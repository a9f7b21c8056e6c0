package route

import (
	"fmt"
	"slices"
	"strings"
)

// Stage says how far a request came with a route, the least first.
type Stage uint8

// The stages. A route is asked for host, path, method, source and the other
// conditions in this order, and the first that fails is its stage.
const (
	FailsHost Stage = iota
	FailsPath
	FailsMethod
	FailsSource
	FailsCondition
	Matches
)

var stageNames = [...]string{"host", "path", "method", "source", "condition", "matches"}

// String returns the name of s for people and JSON.
func (s Stage) String() string { return stageNames[s] }

// Outcome is what became of one route for one request.
type Outcome struct {
	Index int    // of the route
	Stage Stage  // Matches is said of the route taken and of those behind it
	Why   string // why it was not taken, in words; "" of the one that was
}

// Explain says of every route what becomes of it for a request, in the order in
// which they rank for it: the first whose stage is Matches is the one that Find
// returns. It is slow, allocates, and asks the same conditions as Find.
func (t *Table) Explain(r *Request) []Outcome {
	list := t.sorted()
	best := make(map[int]int, t.numRoutes) // route to the entry that stands for it
	stages := make([]Stage, len(list))
	for i := range list {
		stages[i] = list[i].stage(r)
		if j, ok := best[list[i].index]; !ok || stages[i] > stages[j] {
			best[list[i].index] = i
		}
	}
	out := make([]Outcome, 0, len(best))
	taken := false
	for i := range list {
		e := &list[i]
		if best[e.index] != i {
			continue
		}
		o := Outcome{Index: e.index, Stage: stages[i]}
		if o.Stage != Matches || taken {
			o.Why = e.why(r, o.Stage)
		}
		taken = taken || o.Stage == Matches
		out = append(out, o)
	}
	return out
}

// stage finds the first thing of e that r does not meet.
func (e *entry) stage(r *Request) Stage {
	switch {
	case !e.matchesHost(r.Host):
		return FailsHost
	case !e.place.matches(r.Path):
		return FailsPath
	case !e.accepts(r.Method):
		return FailsMethod
	case e.source.IsValid() && !e.source.Contains(r.Source):
		return FailsSource
	case e.failed(r) != nil:
		return FailsCondition
	}
	return Matches
}

// failed returns the first condition that does not hold, or nil.
func (r *rule) failed(q *Request) *condition {
	for i := range r.conditions {
		if c := &r.conditions[i]; !c.holds(q) {
			return c
		}
	}
	return nil
}

// why says in words what stage means for e.
func (e *entry) why(r *Request, s Stage) string {
	switch s {
	case FailsHost:
		return "host is not " + anyOf(e.route.Host)
	case FailsPath:
		return "path " + e.place.wanted()
	case FailsMethod:
		return "method is not " + anyOf(e.methods)
	case FailsSource:
		if !r.Source.IsValid() {
			return "the client has no address"
		}
		return fmt.Sprintf("source %s is not in %s", r.Source, anyOf(e.route.Source))
	case FailsCondition:
		return e.failed(r).failure(r)
	}
	return "matches too, but ranks behind"
}

// anyOf joins the first few of a list.
func anyOf(list []string) string {
	const shown = 3
	if n := len(list) - shown; n > 0 {
		return strings.Join(list[:shown], ", ") + fmt.Sprintf(" or %d more", n)
	}
	return strings.Join(list, " or ")
}

// wanted says in words what a path that does not match lacks.
func (p *place) wanted() string {
	switch p.kind {
	case exactPath:
		return "is not " + p.path
	case prefixPath:
		return "is not below " + p.path + "/"
	case patternPath:
		return "does not fit " + p.path
	}
	return "does not match ~" + p.path
}

// Names are what of requests decides beside host, path and method.
type Names struct {
	Headers []string // lower case
	Query   []string
	Cookies []string
	Source  bool
}

// Deciding returns what decides which route the requests for a host and a path take,
// whatever their method: two requests that agree in it, in method, and in whether their
// peer is trusted, take the same route. Lists are sorted. It allocates; whoever asks
// for each request should remember the answer.
func (t *Table) Deciding(host, path []byte) Names {
	var n Names
	r := Request{Host: host, Path: path}
	t.visit(host, &search{r: &r, collect: func(ru *rule) {
		n.Source = n.Source || ru.source.IsValid()
		for i := range ru.conditions {
			c := &ru.conditions[i]
			list := [...]*[]string{ofHeader: &n.Headers, ofQuery: &n.Query, ofCookie: &n.Cookies}[c.of]
			*list = append(*list, c.name)
		}
	}})
	for _, list := range []*[]string{&n.Headers, &n.Query, &n.Cookies} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return n
}
