package engine

import (
	"context"

	"weir/l4"
	"weir/l4/loop"
	"weir/pool/backend"
)

// Sessions lists live L4 sessions and the tunnels of layer 7, see [l4.Server.List].
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

// EndSessions resets live L4 sessions and tunnels, see [l4.Server.End].
func (e *Engine) EndSessions(ctx context.Context, f l4.Filter) (int, error) { return e.l4.End(ctx, f) }

// relay gives a tunnel of layer 7 to layer 4, which is there before any connection is.
func (e *Engine) relay(l *loop.Loop, t loop.Tunnel) { e.l4.Relay(l, t) }

// showTunnel has layer 4 show a tunnel of layer 7 that it does not relay itself.
func (e *Engine) showTunnel(l *loop.Loop, info loop.TunnelInfo, view loop.TunnelView) (hide func()) {
	return e.l4.Show(l, info, view)
}

// endTunnels ends those that it has got. After a start that failed there is no layer 4.
func (e *Engine) endTunnels() {
	if e.l4 != nil {
		e.l4.EndTunnels()
	}
}
