// Package engine is the process: it builds everything a configuration asks for,
// starts it, exchanges it on a reload, drains and stops it. It is the one package
// that knows all the others.
//
// A reload has two halves. The first prepares all that can fail: the file is read
// and checked, names are resolved, certificates loaded, new addresses bound. Any
// error there undoes what was prepared, and nothing has changed. The second half
// only swaps pointers and cannot fail. Start is a reload of nothing.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"weir/cmd/internal/admin"
	"weir/conf"
	"weir/l4"
	"weir/l7"
	"weir/pool/accesslog"
	"weir/pool/backend"
	"weir/pool/limit"
	"weir/pool/metric"
)

// Options say what to run. Exactly one of File and Config is set.
type Options struct {
	File   string       // read at the start and again at each reload
	Config *conf.Config // used at each reload again; its certificates are read anew
	Watch  bool         // reload when File or a certificate changes
	Stderr io.Writer    // where the process log goes; nil: os.Stderr
}

// phase is where the engine is in its life; it only goes forward:
//
//	starting -> serving -> stopping
type phase int32

const (
	starting phase = iota
	serving
	stopping
)

// Engine is a running Weir. All methods may be called from any goroutine.
type Engine struct {
	opts   Options
	log    *slog.Logger
	level  *slog.LevelVar
	out    *logQueue // behind log
	notify notifier
	nofile int // how many descriptors the process may have
	loops  int
	procs  int // GOMAXPROCS as it was before the loops were added
	memory memoryLimit
	rest   *rest // of those who watch while nothing happens

	metrics  *metric.Registry
	access   *accesslog.Log
	conns    *limit.Conns
	backends *backend.Registry
	l7       *l7.Server
	l4       *l4.Server
	admin    *admin.Server

	// turn holds one token. Who has it may change the configuration or end the
	// engine; unlike a mutex it can be waited for with a context. life ends, by
	// quit, when nobody but Stop is to have it any more.
	turn    chan struct{}
	life    context.Context
	quit    context.CancelFunc
	current atomic.Pointer[state]
	phase   atomic.Int32

	seen   []fileState        // of the configuration file, before it was read first
	cancel context.CancelFunc // ends the tasks
	tasks  sync.WaitGroup
}

// state is a configuration in force.
type state struct {
	admin.Running
	backends *backend.Snapshot
}

// Start builds everything and begins to serve. All listeners are bound before the
// first connection is accepted. An error leaves nothing behind, and conf.Problems
// among errors means that the file is to blame. ctx bounds the start only. Whoever
// gets an Engine must Stop it.
func Start(ctx context.Context, o Options) (*Engine, error) {
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
	e := &Engine{opts: o, notify: newNotifier(), rest: newRest(), turn: make(chan struct{}, 1)}
	e.life, e.quit = context.WithCancel(context.Background())
	e.turn <- struct{}{}
	if o.File != "" {
		e.seen = statFiles([]string{o.File})
	}
	cfg, err := e.load()
	if err != nil {
		return nil, err
	}
	e.log, e.level, e.out = newLogger(cfg.Log, o.Stderr)
	if e.memory = limitMemory(int64(cfg.Process.MemoryLimit)); e.memory.bytes > 0 {
		e.log.Info("memory is limited", "bytes", e.memory.bytes, "by", e.memory.source)
	}
	if err := e.assemble(cfg); err != nil {
		e.dismantle(context.Background())
		e.out.flush()
		return nil, err
	}
	if err := e.start(ctx, cfg); err != nil {
		e.dismantle(context.Background())
		e.out.flush()
		return nil, err
	}
	return e, nil
}

// start applies the first configuration.
func (e *Engine) start(ctx context.Context, cfg *conf.Config) error {
	c, err := e.prepare(ctx, cfg)
	if err != nil {
		return err
	}
	// After the traffic's own addresses, so that a second Weir on one file is
	// told of those.
	e.admin, err = admin.Listen(admin.Options{
		Config: cfg, Process: e, Metrics: e.metrics, Log: e.log, Build: ReadBuild(),
	})
	if err != nil {
		c.abort()
		return err
	}
	e.commit(c)
	e.admin.Start()
	e.phase.Store(int32(serving))
	e.log.Info("started", "descriptors", e.nofile, "max_conns", e.limits(cfg).Max)

	var tasks context.Context
	tasks, e.cancel = context.WithCancel(context.Background())
	e.tasks.Go(func() { e.watchLoops(tasks) })
	e.tasks.Go(func() { e.guardMemory(tasks) })
	if e.opts.Watch {
		e.tasks.Go(func() { e.watch(tasks) })
	}
	return nil
}

// load reads the configuration.
func (e *Engine) load() (*conf.Config, error) {
	if e.opts.Config != nil {
		return e.opts.Config, nil
	}
	return conf.Load(e.opts.File)
}

// Output is where the process log goes, for other lines that belong there. Like the
// log it never waits for the reader.
func (e *Engine) Output() io.Writer { return e.out }

// Ready returns nil while new traffic is welcome.
func (e *Engine) Ready() error {
	switch phase(e.phase.Load()) {
	case serving:
		return nil
	case stopping:
		return errors.New("draining")
	}
	return errors.New("starting")
}

// Running returns the configuration in force.
func (e *Engine) Running() admin.Running { return e.current.Load().Running }

// Pools returns the state of all pools, in file order.
func (e *Engine) Pools() []backend.GroupStatus { return e.backends.Status() }

// Pool returns a pool by name, or nil.
func (e *Engine) Pool(name string) *backend.Group { return e.backends.Group(name) }

// Reload reads the configuration again and puts it in force. Reloads run one at a
// time and each reads the file when its turn comes, so the last one wins. An error
// means that nothing changed: conf.Problems for a bad file, admin.ErrStopping once
// the engine drains; a Stop ends a reload that waits for a name server.
func (e *Engine) Reload(ctx context.Context) (admin.Running, error) {
	return e.reloadInTurn(ctx, func() {})
}

// reloadInTurn is Reload; it calls begun before it reads the file.
func (e *Engine) reloadInTurn(ctx context.Context, begun func()) (admin.Running, error) {
	select {
	case <-e.turn:
		defer func() { e.turn <- struct{}{} }()
	case <-e.life.Done():
	case <-ctx.Done():
		return admin.Running{}, fmt.Errorf("cannot reload while another reload runs: %w", context.Cause(ctx))
	}
	if phase(e.phase.Load()) == stopping {
		return admin.Running{}, fmt.Errorf("cannot reload: %w", admin.ErrStopping)
	}
	begun()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.life, cancel)()
	e.tell(e.notify.reloading())
	err := e.guarded("reload", func() error { return e.reload(ctx) })
	if err != nil && e.life.Err() != nil {
		return admin.Running{}, fmt.Errorf("cannot finish the reload: %w", admin.ErrStopping)
	}
	if err != nil {
		e.metrics.Counter(metric.ConfigReloads, "refused").Inc()
		e.metrics.Gauge(metric.ConfigValid).Set(0)
		e.log.Error("reload refused, the running configuration stays", "version", e.Running().Version, "error", err)
	} else {
		e.metrics.Counter(metric.ConfigReloads, "ok").Inc()
	}
	e.tell(e.notify.ready(e.summary()))
	return e.Running(), err
}

// reload is the work of one Reload.
func (e *Engine) reload(ctx context.Context) error {
	cfg, err := e.load()
	if err != nil {
		return err
	}
	old := e.current.Load().Config
	if !listens(cfg) && listens(old) {
		// A file in which nothing has been written yet is a good one, and would end all service.
		return fmt.Errorf("cannot use %q: it has no listener, and what runs now has; stop Weir to end it", cfg.File)
	}
	c, err := e.prepare(ctx, cfg)
	if err != nil {
		return err
	}
	e.commit(c)
	for _, name := range needsRestart(old, cfg) {
		e.log.Warn("a changed setting takes effect at the next start", "setting", name)
	}
	return nil
}

func listens(cfg *conf.Config) bool { return len(cfg.L4)+len(cfg.L7) > 0 }

// watch reloads when a file changes, until ctx ends.
func (e *Engine) watch(ctx context.Context) {
	defer func() {
		if p := recover(); p != nil {
			e.panicked("watch", p)
		}
	}()
	watch(ctx, watchInterval, e.seen, func() []string { return watchedFiles(e.Running().Config) }, func() {
		e.log.Info("a watched file changed")
		ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
		defer cancel()
		_, _ = e.Reload(ctx) // logs what was wrong
	})
}

// tell logs what went wrong with the service manager; nothing depends on it.
func (e *Engine) tell(err error) {
	if err != nil {
		e.log.Warn(err.Error())
	}
}

func (e *Engine) panicked(where string, p any) {
	e.metrics.Counter(metric.Panics, "engine").Inc()
	e.log.Error("panic in the engine", "where", where, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
}

// summary is what the service manager shows.
func (e *Engine) summary() string {
	r := e.Running()
	return fmt.Sprintf("serving configuration %d of %s", r.Version, r.Since.Format(time.DateTime))
}
