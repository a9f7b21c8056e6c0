// Package admin is the administrator's side of a running Weir: metrics, health
// of the process itself, and a JSON API for configuration and backends, over
// HTTP on loopback TCP or on a unix socket.
//
// /metrics, /healthz and /readyz are open to whoever can connect. Every other
// path is for the administrator:
//
//   - On TCP it wants "Authorization: Bearer TOKEN". The token is that of [admin],
//     or one made at the first start in the state directory, mode 0600.
//   - On a unix socket the mode 0600 of the socket is the permission, and no token
//     is asked for: whoever may open the socket could read the token file too.
//   - The Host and, where there is one, the Origin of a request must be the
//     server's own, so that no web page reaches the API through a browser.
//   - A TCP address beyond loopback is refused unless [admin] has a certificate
//     and a token.
//
// Paths match exactly and in one spelling; everything else is 404.
package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"weir/conf"
	"weir/l4"
	"weir/l7"
	"weir/pool/backend"
	"weir/pool/metric"
)

// Limits of the HTTP server. The write timeout is long enough for a reload that
// waits for names to resolve.
const (
	headerTimeout  = 5 * time.Second
	readTimeout    = 10 * time.Second
	writeTimeout   = 2 * time.Minute
	idleTimeout    = time.Minute
	maxHeaderBytes = 16 << 10
	maxBodyBytes   = 64 << 10
)

// ErrStopping is what Process.Reload returns, wrapped or not, once the process
// drains: the API answers 409.
var ErrStopping = errors.New("the process is stopping")

// Running is the configuration in force.
type Running struct {
	Config  *conf.Config
	Version uint64    // 1 at start, one more at each reload that took effect
	Since   time.Time // when it took effect
}

// Process is what the admin side needs of the process it belongs to. All methods
// may be called from any goroutine.
type Process interface {
	// Ready returns nil when new traffic is welcome, else the reason why not.
	Ready() error
	// Running returns the configuration in force.
	Running() Running
	// Reload reads the configuration again and returns what is in force after
	// it. An error, conf.Problems for a bad file, means that nothing changed.
	Reload(ctx context.Context) (Running, error)
	// Pools returns the state of all pools, in file order.
	Pools() []backend.GroupStatus
	// Pool returns a pool by name, or nil.
	Pool(name string) *backend.Group
	// Sessions lists L4 sessions, see [l4.Server.List].
	Sessions(ctx context.Context, f l4.Filter, after uint64, limit int) (l4.Page, error)
	// EndSessions resets L4 sessions and returns how many, see [l4.Server.End].
	EndSessions(ctx context.Context, f l4.Filter) (int, error)
	// CacheStatus says what is stored, see [l7.Server.CacheStatus].
	CacheStatus() l7.CacheStatus
	// PurgeCache drops stored responses, see [l7.Server.PurgeCache].
	PurgeCache(p l7.Purge) (int, error)
}

// Options are what a Server is made of.
type Options struct {
	Config  *conf.Config // [admin] and [process] are read, once
	Process Process
	Metrics *metric.Registry
	Log     *slog.Logger
	Build   any // answered by /api/v1/version, as JSON
}

// Server is the listening admin side. It is made by Listen, serves after Start
// and ends with Close.
type Server struct {
	opts    Options
	guard   guard
	l       net.Listener
	http    *http.Server
	started time.Time
	done    chan struct{}
}

// Listen binds the admin address and makes the token where one is needed. Until
// Start, connections wait in the kernel. Whoever gets a Server must Close it.
func Listen(o Options) (*Server, error) {
	l, g, err := listen(o.Config)
	if err != nil {
		return nil, err
	}
	limited := limitConns(l)
	s := &Server{opts: o, guard: g, l: limited, started: time.Now()}
	if g.leaf != nil {
		s.l = tls.NewListener(limited, &tls.Config{
			MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*g.leaf},
		})
	}
	s.http = &http.Server{
		ConnState:         limited.track,
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
	}
	return s, nil
}

// Addr returns where the server listens, with the real port.
func (s *Server) Addr() conf.Addr {
	switch a := s.l.Addr().(type) {
	case *net.TCPAddr:
		return conf.Addr{Network: "tcp", Host: a.IP.String(), Port: uint16(a.Port)}
	default:
		return conf.Addr{Network: "unix", Path: a.String()}
	}
}

// TLS reports whether the server speaks TLS.
func (s *Server) TLS() bool { return s.guard.leaf != nil }

// Token returns what a client must send, "" over a unix socket.
func (s *Server) Token() string { return s.guard.token }

// Start begins to serve and returns at once. It is called at most once.
func (s *Server) Start() {
	s.done = make(chan struct{})
	go s.run()
}

func (s *Server) run() {
	defer close(s.done)
	defer func() {
		if p := recover(); p != nil {
			s.panicked(p)
		}
	}()
	if err := s.http.Serve(s.l); !errors.Is(err, http.ErrServerClosed) {
		s.opts.Log.Error("admin server ended", "error", err)
	}
}

func (s *Server) panicked(p any) {
	s.opts.Metrics.Counter(metric.Panics, "admin").Inc()
	s.opts.Log.Error("panic in the admin server", "panic", fmt.Sprint(p), "stack", stack())
}

// Close stops listening, waits for the requests in progress until ctx ends and
// closes what is left. It returns when the server's goroutine has ended.
func (s *Server) Close(ctx context.Context) error {
	if s.done == nil {
		return s.l.Close()
	}
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("cannot finish the admin requests in time: %w", err), s.http.Close())
	}
	<-s.done
	return err
}
