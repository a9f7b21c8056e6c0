package admin

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"

	"weir/conf"
)

// route is one path of the admin side. A segment in braces stands for any one
// segment, which the handler gets decoded.
type route struct {
	method string
	path   string
	open   bool // no token, no Host and Origin check
	handle func(s *Server, w http.ResponseWriter, r *http.Request, args []string)
}

// routes returns the whole API.
func routes() []route {
	const server = "/api/v1/pools/{pool}/servers/{addr}"
	return []route{
		{http.MethodGet, "/metrics", true, (*Server).getMetrics},
		{http.MethodGet, "/healthz", true, (*Server).getHealth},
		{http.MethodGet, "/readyz", true, (*Server).getReady},
		{http.MethodGet, "/api/v1/version", false, (*Server).getVersion},
		{http.MethodGet, "/api/v1/config", false, (*Server).getConfig},
		{http.MethodGet, "/api/v1/pools", false, (*Server).getPools},
		{http.MethodGet, "/api/v1/pools/{pool}", false, (*Server).getPool},
		{http.MethodPost, server + "/drain", false, (*Server).postDrain},
		{http.MethodPost, server + "/undrain", false, (*Server).postUndrain},
		{http.MethodPost, server + "/maintenance", false, (*Server).postMaintenance},
		{http.MethodPost, server + "/weight", false, (*Server).postWeight},
		{http.MethodGet, "/api/v1/sessions", false, (*Server).getSessions},
		{http.MethodPost, "/api/v1/sessions/close", false, (*Server).postCloseSessions},
		{http.MethodDelete, "/api/v1/sessions/{id}", false, (*Server).deleteSession},
		{http.MethodGet, "/api/v1/cache", false, (*Server).getCache},
		{http.MethodPost, "/api/v1/cache/purge", false, (*Server).postPurge},
		{http.MethodPost, "/api/v1/reload", false, (*Server).postReload},
	}
}

// serve finds the route, checks the permission and calls the handler.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			s.panicked(p)
			// Whether the head went out already is not known here: cut it off.
			panic(http.ErrAbortHandler)
		}
	}()
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)

	rt, args, allowed := find(r.Method, r.URL.EscapedPath())
	if len(allowed) == 0 {
		s.fail(w, http.StatusNotFound, "no such path")
		return
	}
	if !rt.open {
		if status, reason := s.guard.check(r); status != 0 {
			if status == http.StatusUnauthorized {
				h.Set("WWW-Authenticate", "Bearer")
			}
			s.fail(w, status, reason)
			return
		}
	}
	if rt.handle == nil {
		h.Set("Allow", strings.Join(allowed, ", "))
		s.fail(w, http.StatusMethodNotAllowed, "the method must be "+strings.Join(allowed, " or "))
		return
	}
	rt.handle(s, w, r, args)
}

// find returns the route of a method and path. allowed is empty for an unknown
// path; a known path with another method gives a route without a handler.
func find(method, path string) (found route, args, allowed []string) {
	for _, rt := range routes() {
		values, ok := match(rt.path, path)
		if !ok {
			continue
		}
		if method == rt.method || method == http.MethodHead && rt.method == http.MethodGet {
			return rt, values, []string{rt.method}
		}
		found.open = found.open || rt.open
		allowed = append(allowed, rt.method)
	}
	return found, nil, allowed
}

// match compares segment by segment. Fixed segments have one spelling: encoded
// letters and doubled slashes do not match.
func match(pattern, path string) (args []string, ok bool) {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return nil, false
	}
	for i, segment := range want {
		if !strings.HasPrefix(segment, "{") {
			if segment != got[i] {
				return nil, false
			}
			continue
		}
		value, err := url.PathUnescape(got[i])
		if err != nil || value == "" {
			return nil, false
		}
		args = append(args, value)
	}
	return args, true
}

// failure is the body of every answer that is not a success.
type failure struct {
	Error    string        `json:"error"`
	Problems conf.Problems `json:"problems,omitempty"` // of a configuration file
}

func (s *Server) fail(w http.ResponseWriter, status int, message string) {
	s.answer(w, status, failure{Error: message})
}

// answer sends v as JSON.
func (s *Server) answer(w http.ResponseWriter, status int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		s.opts.Log.Error("cannot encode an admin answer", "error", err)
		status, body = http.StatusInternalServerError, []byte(`{"error": "cannot encode the answer"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that went away needs no answer
}

// decode reads a JSON body into v, strictly, and answers 400 or 413 itself when
// it cannot.
func (s *Server) decode(w http.ResponseWriter, r *http.Request, v any) bool {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil {
		if _, err = dec.Token(); errors.Is(err, io.EOF) {
			return true
		}
		err = errors.New("more than one JSON value")
	}
	status := http.StatusBadRequest
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		status = http.StatusRequestEntityTooLarge
	}
	s.fail(w, status, "cannot read the body: "+err.Error())
	return false
}

func stack() string { return string(debug.Stack()) }
