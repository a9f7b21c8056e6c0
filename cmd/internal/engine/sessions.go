package engine

import (
	"context"

	"weir/l4"
	"weir/pool/backend"
)

// Sessions lists live L4 sessions, see [l4.Server.List].
func (e *Engine) Sessions(ctx context.Context, f l4.Filter, after uint64, limit int) (l4.Page, error) {
	return e.l4.List(ctx, f, after, limit)
}

// lost closes the sessions to a server that its pool lost. The backends are there
// before layer 4, but no server is lost before the first configuration.
func (e *Engine) lost(l backend.Lost) {
	if e.l4 != nil {
		e.l4.CloseLost(l)
	}
}

// EndSessions resets live L4 sessions, see [l4.Server.End].
func (e *Engine) EndSessions(ctx context.Context, f l4.Filter) (int, error) { return e.l4.End(ctx, f) }
