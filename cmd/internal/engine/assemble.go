package engine

import (
	"context"
	"runtime"

	"weir/conf"
	"weir/l4"
	"weir/l7"
	"weir/pool/accesslog"
	"weir/pool/backend"
	"weir/pool/limit"
	"weir/pool/metric"
)

// assemble makes the parts, with nothing in them yet. After an error dismantle
// closes those that exist.
func (e *Engine) assemble(cfg *conf.Config) (err error) {
	if e.nofile, err = limit.RaiseNoFile(); err != nil {
		return err
	}
	e.procs = runtime.GOMAXPROCS(0)
	if e.loops = cfg.Process.Loops; e.loops == 0 {
		e.loops = e.procs
	}
	// A loop that waits in the kernel keeps its P until the runtime takes it away,
	// up to 10 ms later: docs/decisions/0005.
	runtime.GOMAXPROCS(e.procs + e.loops)
	e.metrics = metric.New()
	e.out.show(e.metrics)
	build := ReadBuild()
	e.metrics.Gauge(metric.BuildInfo, build.Version, build.Go).Set(1)
	e.metrics.GaugeFunc(metric.Ready, func() float64 {
		if e.Ready() != nil {
			return 0
		}
		return 1
	})
	if e.access, err = accesslog.Open(cfg.AccessLog, e.metrics, e.log); err != nil {
		return err
	}
	e.conns = limit.New(e.limits(cfg))
	e.l7 = l7.New(l7.Options{
		Log: e.log, Metrics: e.metrics, Access: e.access, Relay: e.relay, EndTunnels: e.endTunnels, Show: e.showTunnel,
	})
	e.backends = backend.New(backend.Options{
		Log: e.log, Metrics: e.metrics, DNS: cfg.DNS, OnDown: e.l7.Drop, OnLost: e.lost,
		StickyKey: func() ([]byte, error) { return stickyKey(cfg) },
	})
	e.l4, err = l4.New(l4.Options{
		Loops: e.loops, Log: e.log, Metrics: e.metrics, Access: e.access, Conns: e.conns,
		HandOver: e.l7.Serve, Exhausted: e.l7.Shed,
		MaxPipes: maxPipes(e.nofile),
	})
	return err
}

// dismantle closes the parts that exist, users before what they use. ctx bounds
// how long an admin request may still take.
func (e *Engine) dismantle(ctx context.Context) {
	if e.cancel != nil {
		e.cancel()
	}
	e.tasks.Wait()
	if e.l4 != nil {
		e.l4.Close()
	}
	if e.procs > 0 {
		runtime.GOMAXPROCS(e.procs)
	}
	if e.l7 != nil {
		e.l7.Close()
	}
	if e.backends != nil {
		e.backends.Close()
	}
	if e.admin != nil {
		e.tell(e.admin.Close(ctx))
	}
	if err := e.access.Close(); err != nil {
		e.log.Error("access log cut short", "error", err)
	}
}
