package admin

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"weir/conf"
	"weir/pool/backend"
)

func (s *Server) getMetrics(w http.ResponseWriter, _ *http.Request, _ []string) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	s.opts.Metrics.WritePrometheus(w)
}

// getHealth answers as long as the process can answer at all.
func (s *Server) getHealth(w http.ResponseWriter, _ *http.Request, _ []string) {
	plain(w, http.StatusOK, "ok")
}

func (s *Server) getReady(w http.ResponseWriter, _ *http.Request, _ []string) {
	if err := s.opts.Process.Ready(); err != nil {
		plain(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	plain(w, http.StatusOK, "ok")
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}

func (s *Server) getVersion(w http.ResponseWriter, _ *http.Request, _ []string) {
	s.answer(w, http.StatusOK, struct {
		Build         any       `json:"build"`
		PID           int       `json:"pid"`
		Started       time.Time `json:"started"`
		ConfigVersion uint64    `json:"config_version"`
	}{s.opts.Build, os.Getpid(), s.started, s.opts.Process.Running().Version})
}

// configState is what /api/v1/config and /api/v1/reload say about a configuration.
type configState struct {
	Version uint64    `json:"version"`
	Since   time.Time `json:"since"`
	File    string    `json:"file,omitempty"`
}

func stateOf(r Running) configState {
	return configState{Version: r.Version, Since: r.Since, File: r.Config.File}
}

func (s *Server) getConfig(w http.ResponseWriter, _ *http.Request, _ []string) {
	running := s.opts.Process.Running()
	resolved, err := running.Config.JSON()
	if err != nil {
		s.fail(w, http.StatusInternalServerError, "cannot show the configuration: "+err.Error())
		return
	}
	s.answer(w, http.StatusOK, struct {
		configState
		Config json.RawMessage `json:"config"`
	}{stateOf(running), resolved})
}

func (s *Server) getPools(w http.ResponseWriter, _ *http.Request, _ []string) {
	s.answer(w, http.StatusOK, struct {
		Pools []backend.GroupStatus `json:"pools"`
	}{s.opts.Process.Pools()})
}

func (s *Server) getPool(w http.ResponseWriter, _ *http.Request, args []string) {
	if group := s.opts.Process.Pool(args[0]); group != nil {
		s.answer(w, http.StatusOK, group.Status())
		return
	}
	s.noPool(w, args[0])
}

func (s *Server) noPool(w http.ResponseWriter, name string) {
	s.fail(w, http.StatusNotFound, "there is no pool "+strconv.Quote(name))
}

// member finds the server of a pool, or answers 404.
func (s *Server) member(w http.ResponseWriter, args []string) *backend.Member {
	group := s.opts.Process.Pool(args[0])
	if group == nil {
		s.noPool(w, args[0])
		return nil
	}
	m := group.Member(args[1])
	if m == nil {
		s.fail(w, http.StatusNotFound, "there is no server "+strconv.Quote(args[1])+" in pool "+strconv.Quote(args[0]))
	}
	return m
}

func (s *Server) postDrain(w http.ResponseWriter, r *http.Request, args []string) {
	s.setDrain(w, r, args, true)
}

func (s *Server) postUndrain(w http.ResponseWriter, r *http.Request, args []string) {
	s.setDrain(w, r, args, false)
}

func (s *Server) setDrain(w http.ResponseWriter, r *http.Request, args []string, on bool) {
	if m := s.member(w, args); m != nil {
		m.SetDrain(on)
		s.getPool(w, r, args)
	}
}

func (s *Server) postMaintenance(w http.ResponseWriter, r *http.Request, args []string) {
	m := s.member(w, args)
	if m == nil {
		return
	}
	var body struct {
		On *bool `json:"on"`
	}
	if !s.decode(w, r, &body) {
		return
	}
	if body.On == nil {
		s.fail(w, http.StatusBadRequest, `the body must be {"on": true} or {"on": false}`)
		return
	}
	m.SetMaintenance(*body.On)
	s.getPool(w, r, args)
}

func (s *Server) postWeight(w http.ResponseWriter, r *http.Request, args []string) {
	m := s.member(w, args)
	if m == nil {
		return
	}
	var body struct {
		Weight *int `json:"weight"`
	}
	if !s.decode(w, r, &body) {
		return
	}
	if body.Weight == nil || *body.Weight < 0 || *body.Weight > backend.MaxWeight {
		s.fail(w, http.StatusBadRequest,
			`the body must be {"weight": N} with N from 0 to `+strconv.Itoa(backend.MaxWeight))
		return
	}
	m.SetWeight(*body.Weight)
	s.getPool(w, r, args)
}

// postReload answers 200 when the configuration is in force, 422 with the
// problems, for people and one by one, when it was refused, and 409 when the
// process is stopping.
func (s *Server) postReload(w http.ResponseWriter, r *http.Request, _ []string) {
	running, err := s.opts.Process.Reload(r.Context())
	var problems conf.Problems
	switch {
	case err == nil:
		s.answer(w, http.StatusOK, stateOf(running))
	case errors.Is(err, ErrStopping):
		s.fail(w, http.StatusConflict, err.Error())
	case errors.As(err, &problems):
		s.answer(w, http.StatusUnprocessableEntity,
			failure{Error: problems.Error(), Problems: problems})
	default:
		s.fail(w, http.StatusUnprocessableEntity, err.Error())
	}
}
