package accesslog

import (
	"net/netip"
	"strconv"
	"time"
)

// Masks of client_ip = "masked": wide enough that an address means many clients.
const (
	maskBits4 = 24
	maskBits6 = 48
)

// lineOverhead bounds everything in a line that is not a string value: keys,
// punctuation, numbers, addresses and times.
const lineOverhead = 1 << 10

type clientIP uint8

const (
	clientFull clientIP = iota
	clientMasked
	clientNone
)

// encoder appends one line to b.
type encoder struct {
	b      []byte
	json   bool
	query  bool
	client clientIP
}

func (e *encoder) l7(r *L7Record) {
	e.begin(r.Start, "l7")
	str(e, "listener", r.Listener)
	str(e, "route", r.Route)
	str(e, "pool", r.Pool)
	str(e, "backend", r.Backend)
	e.peer(r.Client)
	str(e, "sni", r.SNI)
	str(e, "proto", r.Proto)
	str(e, "method", r.Method)
	str(e, "host", r.Host)
	str(e, "path", r.Path)
	if e.query {
		str(e, "query", r.Query)
	}
	e.num("status", int64(r.Status))
	e.num("bytes_in", r.BytesIn)
	e.num("bytes_out", r.BytesOut)
	e.seconds("duration_seconds", r.Duration)
	str(e, "side", r.Side)
	str(e, "reason", r.Reason)
	str(e, "request_id", r.RequestID)
	str(e, "cache", r.Cache)
	str(e, "cache_reason", r.CacheReason)
	str(e, "cache_store", r.CacheStore)
	str(e, "coding", r.Coding)
	str(e, "uncoded", r.Uncoded)
	e.retries(r.Retries)
	e.stages(&r.Stages)
	e.end()
}

func (e *encoder) l4(r *L4Record) {
	e.begin(r.Start, "l4")
	str(e, "listener", r.Listener)
	str(e, "route", r.Route)
	str(e, "pool", r.Pool)
	str(e, "backend", r.Backend)
	e.peer(r.Client)
	str(e, "sni", r.SNI)
	str(e, "alpn_offered", r.Offered)
	str(e, "tls", r.TLS)
	str(e, "alpn", r.ALPN)
	str(e, "client_cert", r.ClientCert)
	e.num("bytes_in", r.BytesIn)
	e.num("bytes_out", r.BytesOut)
	if r.DatagramsIn != 0 || r.DatagramsOut != 0 {
		e.num("datagrams_in", r.DatagramsIn)
		e.num("datagrams_out", r.DatagramsOut)
	}
	e.seconds("duration_seconds", r.Duration)
	str(e, "side", r.Side)
	str(e, "reason", r.Reason)
	str(e, "ended_by", r.EndedBy)
	e.retries(r.Retries)
	e.stages(&r.Stages)
	e.end()
}

// bound returns how long the line of r can be at most.
func (r *L7Record) bound() int {
	return lineOverhead + fieldBound(len(r.Listener)) + fieldBound(len(r.Route)) + fieldBound(len(r.Pool)) +
		fieldBound(len(r.Backend)) + fieldBound(len(r.SNI)) + fieldBound(len(r.Proto)) +
		fieldBound(len(r.Method)) + fieldBound(len(r.Host)) + fieldBound(len(r.Path)) + fieldBound(len(r.Query)) +
		fieldBound(len(r.Side)) + fieldBound(len(r.Reason)) + fieldBound(len(r.RequestID)) +
		fieldBound(len(r.Cache)) + fieldBound(len(r.CacheReason)) + fieldBound(len(r.CacheStore))
}

// bound returns how long the line of r can be at most.
func (r *L4Record) bound() int {
	return lineOverhead + fieldBound(len(r.Listener)) + fieldBound(len(r.Route)) + fieldBound(len(r.Pool)) +
		fieldBound(len(r.Backend)) + fieldBound(len(r.SNI)) + fieldBound(len(r.TLS)) +
		fieldBound(len(r.ALPN)) + fieldBound(len(r.ClientCert)) + fieldBound(len(r.Side)) + fieldBound(len(r.Reason)) +
		fieldBound(len(r.EndedBy)) + fieldBound(len(r.Offered))
}

func fieldBound(n int) int {
	return min(n*len(`\u0000`), maxField+len(cutMark))
}

func (e *encoder) begin(t time.Time, kind string) {
	if e.json {
		e.b = append(e.b, `{"time":"`...)
	} else {
		e.b = append(e.b, "time="...)
	}
	e.b = t.UTC().AppendFormat(e.b, "2006-01-02T15:04:05.000Z")
	if e.json {
		e.b = append(e.b, '"')
	}
	str(e, "kind", kind)
}

func (e *encoder) end() {
	if e.json {
		e.b = append(e.b, '}')
	}
	e.b = append(e.b, '\n')
}

func (e *encoder) key(k string) {
	if e.json {
		e.b = append(e.b, ',', '"')
		e.b = append(e.b, k...)
		e.b = append(e.b, '"', ':')
		return
	}
	e.b = append(e.b, ' ')
	e.b = append(e.b, k...)
	e.b = append(e.b, '=')
}

// str appends a value that may hold any bytes, unless it is empty.
func str[S string | []byte](e *encoder, k string, v S) {
	if len(v) == 0 {
		return
	}
	e.key(k)
	if !e.json && bare(v) {
		e.b = append(e.b, v...)
		return
	}
	e.b = append(e.b, '"')
	e.b = appendEscaped(e.b, v)
	e.b = append(e.b, '"')
}

func (e *encoder) num(k string, v int64) {
	e.key(k)
	e.b = strconv.AppendInt(e.b, v, 10)
}

// seconds appends a duration as decimal seconds with six digits.
func (e *encoder) seconds(k string, d time.Duration) {
	e.key(k)
	us := max(d, 0).Microseconds()
	e.b = strconv.AppendInt(e.b, us/1e6, 10)
	// The leading one keeps the zeros; the point takes its place.
	at := len(e.b)
	e.b = strconv.AppendInt(e.b, 1e6+us%1e6, 10)
	e.b[at] = '.'
}

func (e *encoder) retries(n int) {
	if n > 0 {
		e.num("retries", int64(n))
	}
}

func (e *encoder) stages(s *Stages) {
	for _, st := range [...]struct {
		key string
		d   time.Duration
	}{
		{"sniff_seconds", s.Sniff},
		{"tls_seconds", s.TLS},
		{"route_seconds", s.Route},
		{"queue_seconds", s.Queue},
		{"connect_seconds", s.Connect},
		{"first_byte_seconds", s.FirstByte},
		{"deliver_seconds", s.Deliver},
	} {
		if st.d > 0 {
			e.seconds(st.key, st.d)
		}
	}
}

// peer appends the client's address as the configuration allows.
func (e *encoder) peer(a netip.AddrPort) {
	ip := a.Addr().Unmap().WithZone("")
	if !ip.IsValid() || e.client == clientNone {
		return
	}
	if e.client == clientMasked {
		bits := maskBits6
		if ip.Is4() {
			bits = maskBits4
		}
		if p, err := ip.Prefix(bits); err == nil {
			ip = p.Addr()
		}
	}
	e.key("client")
	if e.json {
		e.b = append(e.b, '"')
	}
	e.b = ip.AppendTo(e.b)
	if e.json {
		e.b = append(e.b, '"')
	}
	if e.client == clientFull {
		e.num("client_port", int64(a.Port()))
	}
}
