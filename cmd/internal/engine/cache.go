package engine

import "weir/l7"

// CacheStatus says what L7 has stored, see [l7.Server.CacheStatus].
func (e *Engine) CacheStatus() l7.CacheStatus { return e.l7.CacheStatus() }

// PurgeCache drops stored responses, see [l7.Server.PurgeCache].
func (e *Engine) PurgeCache(p l7.Purge) (int, error) { return e.l7.PurgeCache(p) }
