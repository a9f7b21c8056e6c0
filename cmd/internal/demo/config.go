package demo

import (
	"fmt"
	"strings"
)

// text is the configuration. Its comments are for a reader who starts from it.
func (d *Demo) text() string {
	r := strings.NewReplacer(
		"{HTTP}", loopback(d.ports.HTTP), "{SNI}", loopback(d.ports.SNI),
		"{TCP}", loopback(d.ports.TCP), "{ADMIN}", loopback(d.ports.Admin),
		"{FAST}", d.addr("fast"), "{SLOW}", d.addr("slow"), "{FLAKY}", d.addr("flaky"),
		"{ECHO}", d.addr("echo"), "{DB}", d.addr("db"),
		"{WEBNAME}", webName, "{DBNAME}", dbName, "{DIR}", d.dir,
	)
	return r.Replace(template)
}

// Example returns the configuration for somebody who wants to start from it.
func (d *Demo) Example() string {
	return fmt.Sprintf("# The configuration of `weir demo`. The servers under [pool.*] and the files in\n"+
		"# %s exist only while the demo runs: put your own there,\n"+
		"# then `weir check FILE` and `weir run -c FILE`.\n\n%s", d.dir, d.Text)
}

const template = `# Metrics, health and the admin API.
[admin]
listen = "{ADMIN}"

[process]
state_dir = "{DIR}/state" # the admin token
drain_timeout = "5s"

[access_log]
path = "{DIR}/access.log"

# Groups of servers, for L4 and L7 alike.
[pool.app]
servers = ["{FAST}", "{SLOW}", "{FLAKY}"]
balance = "least_conn"
[pool.app.health]
type = "http"
path = "/healthz"
interval = "2s"

[pool.slow]
servers = ["{SLOW}"]

[pool.flaky]
servers = ["{FLAKY}"]

[pool.echo]
servers = ["{ECHO}"]

[pool.db]
servers = ["{DB}"]

# TCP, passed on as it comes.
[[l4]]
name = "echo"
listen = ["{TCP}"]
pool = "echo"

# One TLS port, shared by server name: one name is passed through untouched,
# another is handed to an HTTP listener, which has the certificate.
[[l4]]
name = "edge"
listen = ["{SNI}"]
[[l4.route]]
sni = ["{DBNAME}"]
pool = "db"
[[l4.route]]
sni = ["{WEBNAME}"]
l7 = "secure"

# HTTP.
[[l7]]
name = "web"
listen = ["{HTTP}"]
[[l7.route]]
path = "/slow"
pool = "slow"
[[l7.route]]
path = "/flaky"
pool = "flaky"
[[l7.route]]
pool = "app"

# HTTPS, for connections that "edge" hands over.
[[l7]]
name = "secure"
[l7.tls]
certs = [{ cert = "{DIR}/www.pem", key = "{DIR}/www.key" }]
[[l7.route]]
host = ["{WEBNAME}"]
pool = "app"
`
