package admin

import (
	"crypto/x509"
	"net"
	"net/http"
	"strings"
)

// check decides whether a request may use a path that is not open: 0, or the
// status to answer with and the reason.
//
// A web page that the operator happens to look at can send requests to loopback.
// It cannot know the token, and for the case that it does: its own name in Host
// (DNS rebinding) and its own Origin are refused.
func (g *guard) check(r *http.Request) (status int, reason string) {
	if !g.socket && !g.isOwnHost(r.Host) {
		return http.StatusForbidden, "Host is not an address of this server"
	}
	if !g.isOwnOrigin(r) {
		return http.StatusForbidden, "Origin is not this server"
	}
	if g.socket {
		return 0, ""
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || !sameToken(token, g.token) {
		return http.StatusUnauthorized, "the token is missing or wrong: send Authorization: Bearer TOKEN"
	}
	return 0, ""
}

// isOwnHost compares without the port, which a forwarded port changes.
func (g *guard) isOwnHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	return host != "" && (isLoopback(host) || host == g.host || g.certified(host))
}

// certified reports whether the server's certificate is for host.
func (g *guard) certified(host string) bool {
	if g.leaf == nil || len(g.leaf.Certificate) == 0 {
		return false
	}
	leaf := g.leaf.Leaf
	if leaf == nil {
		var err error
		if leaf, err = x509.ParseCertificate(g.leaf.Certificate[0]); err != nil {
			return false
		}
	}
	return leaf.VerifyHostname(host) == nil
}

// isOwnOrigin accepts requests without Origin, which is what programs send.
func (g *guard) isOwnOrigin(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	return !g.socket && len(origins) == 1 && strings.EqualFold(origins[0], scheme+r.Host)
}
