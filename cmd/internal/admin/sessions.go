package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"weir/l4"
)

const (
	// sessionsTime is how long the loops may take to go through their sessions.
	sessionsTime = 20 * time.Second
	// sessionsPage is how many sessions an answer has where the request does not say.
	sessionsPage = 100
)

// SessionFilter chooses sessions. All that is set must fit; what is empty fits all.
type SessionFilter struct {
	Listener string `json:"listener,omitempty"`
	Pool     string `json:"pool,omitempty"`
	Backend  string `json:"backend,omitempty"` // an address, as the API shows it
	Client   string `json:"client,omitempty"`  // an address or a network in CIDR notation
	MinAge   string `json:"min_age,omitempty"` // "90s", "1h30m"
}

// resolve checks f and gives it the form that L4 knows.
func (f *SessionFilter) resolve() (l4.Filter, error) {
	out := l4.Filter{Listener: f.Listener, Pool: f.Pool, Backend: f.Backend}
	if f.Client != "" {
		p, err := netip.ParsePrefix(f.Client)
		if a, aerr := netip.ParseAddr(f.Client); aerr == nil {
			p, err = a.Unmap().WithZone("").Prefix(a.Unmap().BitLen())
		}
		if err != nil {
			return out, fmt.Errorf("client: cannot read %q: expected an address or a network as 10.0.0.0/8", f.Client)
		}
		out.Client = p.Masked()
	}
	if f.MinAge != "" {
		d, err := time.ParseDuration(f.MinAge)
		if err != nil || d < 0 {
			return out, fmt.Errorf("min_age: cannot read %q: expected a duration as 90s or 1h30m", f.MinAge)
		}
		out.MinAge = d
	}
	return out, nil
}

// query gives f the form that it has in a URL.
func (f *SessionFilter) query() url.Values {
	q := url.Values{}
	for name, field := range f.fields() {
		if *field != "" {
			q.Set(name, *field)
		}
	}
	return q
}

func (f *SessionFilter) fields() map[string]*string {
	return map[string]*string{
		"listener": &f.Listener, "pool": &f.Pool, "backend": &f.Backend, "client": &f.Client, "min_age": &f.MinAge,
	}
}

// SessionStatus is one live L4 session, or one tunnel of L7, as the API shows it.
type SessionStatus struct {
	ID       uint64    `json:"id"`
	Kind     string    `json:"kind"` // "session"; of a tunnel "websocket" or "connect"
	Listener string    `json:"listener"`
	Network  string    `json:"network"`          // "tcp", of unix sockets too, or "udp"
	Client   string    `json:"client,omitempty"` // "" on a unix socket
	SNI      string    `json:"sni,omitempty"`
	Route    string    `json:"route,omitempty"`
	Pool     string    `json:"pool,omitempty"`
	Backend  string    `json:"backend,omitempty"`
	State    string    `json:"state"` // sniffing, queued, connecting, relaying, half_closed
	Start    time.Time `json:"start"`
	Age      float64   `json:"age_seconds"`
	Idle     float64   `json:"idle_seconds"` // since the last byte
	BytesIn  uint64    `json:"bytes_in"`     // from the client
	BytesOut uint64    `json:"bytes_out"`    // to the client
}

// SessionPage is a part of the sessions.
type SessionPage struct {
	Sessions []SessionStatus `json:"sessions"`
	Next     uint64          `json:"next,omitempty"` // the "after" of the next part; 0: this is the last one
}

func pageOf(p l4.Page) SessionPage {
	page := SessionPage{Sessions: make([]SessionStatus, 0, len(p.Sessions)), Next: p.Next}
	for i := range p.Sessions {
		x := &p.Sessions[i]
		s := SessionStatus{
			ID: x.ID, Kind: x.Kind, Listener: x.Listener, Network: x.Network, SNI: x.SNI, Route: x.Route, Pool: x.Pool,
			Backend: x.Backend, State: x.State, Start: x.Start.UTC(), Age: x.Age.Seconds(), Idle: x.Idle.Seconds(),
			BytesIn: x.BytesIn, BytesOut: x.BytesOut,
		}
		if x.Client.IsValid() {
			s.Client = x.Client.String()
		}
		page.Sessions = append(page.Sessions, s)
	}
	return page
}

// getSessions lists live L4 sessions and tunnels of L7: listener, pool, backend, client and min_age
// choose, limit and after turn pages.
func (s *Server) getSessions(w http.ResponseWriter, r *http.Request, _ []string) {
	f, after, limit, err := readSessionQuery(r.URL.RawQuery)
	if err != nil {
		s.fail(w, http.StatusBadRequest, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), sessionsTime)
	defer cancel()
	page, err := s.opts.Process.Sessions(ctx, f, after, limit)
	if err != nil {
		s.fail(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	s.answer(w, http.StatusOK, pageOf(page))
}

// readSessionQuery is strict: a filter with a slip of the pen would show everything.
func readSessionQuery(raw string) (f l4.Filter, after uint64, limit int, err error) {
	limit = sessionsPage
	q, err := url.ParseQuery(raw)
	if err != nil {
		return f, 0, 0, fmt.Errorf("cannot read the query: %w", err)
	}
	var text SessionFilter
	fields := text.fields()
	for name, values := range q {
		value := values[len(values)-1]
		switch field := fields[name]; {
		case len(values) > 1:
			err = fmt.Errorf("%s: given %d times, expected once", name, len(values))
		case field != nil:
			*field = value
		case name == "after":
			if after, err = strconv.ParseUint(value, 10, 64); err != nil {
				err = fmt.Errorf("after: cannot read %q: expected the next of the page before", value)
			}
		case name == "limit":
			if limit, err = strconv.Atoi(value); err != nil || limit < 1 || limit > l4.MaxListed {
				err = fmt.Errorf("limit: cannot use %q: expected 1 to %d", value, l4.MaxListed)
			}
		default:
			err = fmt.Errorf("%q is not known: expected listener, pool, backend, client, min_age, limit or after", name)
		}
		if err != nil {
			return f, 0, 0, err
		}
	}
	f, err = text.resolve()
	return f, after, limit, err
}

// closedSessions is the answer to whoever ended sessions.
type closedSessions struct {
	Closed int `json:"closed"`
}

// postCloseSessions resets all sessions that the filter in the body chooses. An
// empty filter is refused: it is more likely a mistake than meant.
func (s *Server) postCloseSessions(w http.ResponseWriter, r *http.Request, _ []string) {
	var text SessionFilter
	if !s.decode(w, r, &text) {
		return
	}
	f, err := text.resolve()
	if err == nil && f.Empty() {
		err = errors.New("the filter is empty: expected at least one of listener, pool, backend, client and min_age")
	}
	if err != nil {
		s.fail(w, http.StatusBadRequest, err.Error())
		return
	}
	s.endSessions(w, r, f)
}

// deleteSession resets one session.
func (s *Server) deleteSession(w http.ResponseWriter, r *http.Request, args []string) {
	id, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil || id == 0 {
		s.fail(w, http.StatusBadRequest, "cannot read the session "+strconv.Quote(args[0])+": expected its id")
		return
	}
	s.endSessions(w, r, l4.Filter{ID: id})
}

func (s *Server) endSessions(w http.ResponseWriter, r *http.Request, f l4.Filter) {
	ctx, cancel := context.WithTimeout(r.Context(), sessionsTime)
	defer cancel()
	n, err := s.opts.Process.EndSessions(ctx, f)
	switch {
	case err != nil:
		s.fail(w, http.StatusServiceUnavailable, err.Error())
	case n == 0 && f.ID != 0:
		s.fail(w, http.StatusNotFound, "there is no session "+strconv.FormatUint(f.ID, 10))
	default:
		s.opts.Log.Info("sessions closed by the administrator", "count", n)
		s.answer(w, http.StatusOK, closedSessions{n})
	}
}

// Sessions lists one part of the sessions that f chooses.
func (c *Client) Sessions(ctx context.Context, f SessionFilter, after uint64, limit int) (SessionPage, error) {
	q := f.query()
	q.Set("limit", strconv.Itoa(limit))
	if after > 0 {
		q.Set("after", strconv.FormatUint(after, 10))
	}
	var page SessionPage
	err := c.do(ctx, http.MethodGet, "/api/v1/sessions?"+q.Encode(), nil, &page)
	return page, err
}

// CloseSessions resets the sessions that f chooses and returns how many.
func (c *Client) CloseSessions(ctx context.Context, f SessionFilter) (int, error) {
	var closed closedSessions
	err := c.do(ctx, http.MethodPost, "/api/v1/sessions/close", f, &closed)
	return closed.Closed, err
}

// CloseSession resets one session. A *Refused with 404 says that there is none.
func (c *Client) CloseSession(ctx context.Context, id uint64) error {
	return c.do(ctx, http.MethodDelete, "/api/v1/sessions/"+strconv.FormatUint(id, 10), nil, &closedSessions{})
}
