package engine

import (
	"io"
	"log/slog"

	"weir/conf"
)

// newLogger makes the process log, which never waits for w. Its level can be
// changed while it is in use.
func newLogger(c conf.Log, w io.Writer) (*slog.Logger, *slog.LevelVar, *logQueue) {
	level := new(slog.LevelVar)
	level.Set(logLevel(c))
	opts := &slog.HandlerOptions{Level: level}
	q := newLogQueue(w)
	if c.Format == "json" {
		q.log = slog.New(slog.NewJSONHandler(q, opts))
	} else {
		q.log = slog.New(slog.NewTextHandler(q, opts))
	}
	return q.log, level, q
}

func logLevel(c conf.Log) slog.Level {
	switch c.Level {
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	return slog.LevelInfo
}
