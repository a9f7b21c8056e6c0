package admin

import (
	"context"
	"net/http"

	"weir/l7"
)

// getCache tells what is stored and how often it was of use.
func (s *Server) getCache(w http.ResponseWriter, _ *http.Request, _ []string) {
	s.answer(w, http.StatusOK, s.opts.Process.CacheStatus())
}

// purged is the answer to whoever purged something.
type purged struct {
	Purged int `json:"purged"`
}

// postPurge drops what the body names: exactly one of url, prefix, host, tag and all.
// An empty body is refused: it is more likely a mistake than meant.
func (s *Server) postPurge(w http.ResponseWriter, r *http.Request, _ []string) {
	var p l7.Purge
	if !s.decode(w, r, &p) {
		return
	}
	n, err := s.opts.Process.PurgeCache(p)
	if err != nil {
		s.fail(w, http.StatusBadRequest, err.Error())
		return
	}
	s.opts.Log.Info("cache purged by the administrator", "by", p.By(), "what", p.What(), "soft", p.Soft, "count", n)
	s.answer(w, http.StatusOK, purged{n})
}

// CacheStatus returns what is stored.
func (c *Client) CacheStatus(ctx context.Context) (l7.CacheStatus, error) {
	var status l7.CacheStatus
	err := c.do(ctx, http.MethodGet, "/api/v1/cache", nil, &status)
	return status, err
}

// PurgeCache drops what p names and returns how many stored responses that were.
func (c *Client) PurgeCache(ctx context.Context, p l7.Purge) (int, error) {
	var answer purged
	err := c.do(ctx, http.MethodPost, "/api/v1/cache/purge", p, &answer)
	return answer.Purged, err
}
