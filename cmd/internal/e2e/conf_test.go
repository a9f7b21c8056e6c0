package e2e

import (
	"fmt"
	"strings"
)

// pool is a [pool.NAME] table. Idle connections to its servers are given up soon, so
// that Weir can be seen to hold nothing when a test ends.
func pool(name string, servers ...string) string {
	for i, s := range servers {
		servers[i] = fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf(`
[pool.%[1]s]
servers = [%[2]s]
[pool.%[1]s.keepalive]
idle_timeout = "1s"
`, name, strings.Join(servers, ", "))
}

// web is an [[l7]] table that sends everything to one pool. Lines of its own go to
// the route.
func web(listen, pool string, route ...string) string {
	return fmt.Sprintf(`
[[l7]]
name = "web"
listen = [%q]
[[l7.route]]
pool = %q
%s
`, listen, pool, strings.Join(route, "\n"))
}

// tcp is an [[l4]] table that passes everything through to one pool.
func tcp(listen, pool string, lines ...string) string {
	return fmt.Sprintf(`
[[l4]]
name = "tcp"
listen = [%q]
pool = %q
%s
`, listen, pool, strings.Join(lines, "\n"))
}
