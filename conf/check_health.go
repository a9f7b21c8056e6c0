package conf

import (
	"slices"
	"strings"
)

// healthKey is a key of a health check that only some types obey.
type healthKey struct {
	name  string
	field any
	types string // words with spaces around each
}

// health checks that every key given has an effect, and that what it needs is there.
func (ck *checker) health(h *Health) {
	if h.Type == "" {
		return
	}
	ck.healthKeys(h)
	ck.healthLogin(h)
	ck.healthRole(h)
	ck.healthScript(h)
}

func (ck *checker) healthKeys(h *Health) {
	const http, expect, login = " http ", " expect ", " postgres mysql redis "
	for _, k := range []healthKey{
		{"path", &h.Path, http},
		{"host", &h.Host, http},
		{"status", &h.Status, http},
		{"body", &h.Body, http},
		{"tls", &h.TLS, login},
		{"ca", &h.CA, login + "tls "},
		{"name", &h.Name, login + "tls "},
		{"user", &h.User, login},
		{"password", &h.Password, login},
		{"database", &h.Database, " postgres "},
		{"role", &h.Role, login},
		{"max_lag", &h.MaxLag, " postgres "},
		{"script", &h.Script, expect},
		{"udp", &h.UDP, expect},
	} {
		if ck.has(k.field) && !strings.Contains(k.types, " "+h.Type+" ") {
			ck.add(ck.at(k.field), "", "%s: it has no effect in a check of type %q", k.name, h.Type)
		}
	}
}

// healthLogin checks what belongs to encryption and login.
func (ck *checker) healthLogin(h *Health) {
	database := h.Type == "postgres" || h.Type == "mysql"
	if !database && h.Type != "redis" {
		return
	}
	if h.Type == "redis" && h.TLS == "prefer" {
		ck.add(ck.at(&h.TLS), "",
			"tls: a Redis connection is encrypted from its first byte or not at all: expected \"off\" or \"require\"")
	}
	if h.TLS != "require" {
		for _, k := range []healthKey{{name: "ca", field: &h.CA}, {name: "name", field: &h.Name}} {
			if ck.has(k.field) {
				ck.add(ck.at(k.field), "", "%s: it needs tls = \"require\"", k.name)
			}
		}
	}
	if user, password := ck.has(&h.User), ck.has(&h.Password); database && password && !user {
		ck.add(ck.at(&h.Password), "", "password: it needs a user")
	} else if h.Type == "redis" && user && !password {
		ck.add(ck.at(&h.User), "", "user: it needs a password")
	}
}

// healthRole checks that a wish can be fulfilled.
func (ck *checker) healthRole(h *Health) {
	if !slices.Contains([]string{"postgres", "mysql"}, h.Type) {
		return
	}
	if ck.has(&h.Role) && h.Role != "any" && !ck.has(&h.User) {
		ck.add(ck.at(&h.Role), "", "role: it needs a user: only who is logged in can ask for it")
	}
	if h.Type != "postgres" || !ck.has(&h.MaxLag) {
		return
	}
	switch {
	case !ck.has(&h.User):
		ck.add(ck.at(&h.MaxLag), "", "max_lag: it needs a user: only who is logged in can ask for it")
	case h.Role == "primary":
		ck.add(ck.at(&h.MaxLag), "", "max_lag: it has no effect with role = \"primary\"")
	}
}

func (ck *checker) healthScript(h *Health) {
	if h.Type != "expect" {
		return
	}
	if !ck.has(&h.Script) {
		ck.add(ck.at(&h.Type), "", "type: a check of type \"expect\" needs a script")
	}
	waits := false
	for i := range h.Script {
		s := &h.Script[i]
		waits = waits || s.Expect != "" || ck.has(&s.Expect)
		if !ck.has(&s.Send) && !ck.has(&s.Expect) {
			ck.add(ck.at(s, &h.Script), "", "script: step %d neither sends nor expects anything", i+1)
		}
	}
	if len(h.Script) > 0 && !waits {
		ck.add(ck.at(&h.Script), "", "script: no step expects anything")
	}
}
