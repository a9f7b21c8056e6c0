package conf

import (
	"strings"
	"testing"
)

// TestUDPKeys: every key of an [[l4]] and what is in it does on a listener for
// datagrams what its documentation says, or is refused. A new key must be added here.
func TestUDPKeys(t *testing.T) {
	const works = ""
	// looksAtBytes makes first bytes matter.
	const looksAtBytes = "protocol = \"quic\"\nroute = [{ sni = [\"a.example\"], pool = \"p\" }]"
	tables := []struct {
		keys []keyInfo
		rows map[string]struct{ line, why string } // of the file, and the problem
		file func(line string) string
	}{{
		l4Table().info().keys,
		map[string]struct{ line, why string }{
			"name":                     {"", works},
			"listen":                   {"", works},
			"pool":                     {"", works},
			"protocol":                 {`protocol = "auto"`, works},
			"server_version":           {`server_version = "8.0.11"`, "server_version: only with"},
			"proxy_protocol":           {`proxy_protocol = ["10.0.0.0/8"]`, "proxy_protocol: a datagram"},
			"tls":                      {`tls = { certs = [{ cert = "www.pem", key = "www.key" }] }`, "[l4.tls]: datagrams"},
			"mode":                     {`mode = "terminate"`, "mode: Weir does not end QUIC"},
			"route":                    {`route = [{ sni = ["a.example.com"], pool = "p" }]`, works},
			"max_conns":                {"max_conns = 9", works},
			"max_conns_per_source":     {"max_conns_per_source = 9", works},
			"max_conn_rate":            {"max_conn_rate = 9", works},
			"max_conn_rate_per_source": {"max_conn_rate_per_source = 9", works},
			"sniff_timeout":            {`sniff_timeout = "1s"` + "\n" + looksAtBytes, works},
			"sniff_max":                {`sniff_max = "8KiB"` + "\n" + looksAtBytes, works},
			"server_first_wait":        {`server_first_wait = "1s"`, "server_first_wait: a server cannot"},
			"idle_timeout":             {`idle_timeout = "1s"`, "idle_timeout: on UDP it is udp_idle_timeout"},
			"half_closed_timeout":      {`half_closed_timeout = "1s"`, "half_closed_timeout: UDP has no end"},
			"lifetime":                 {`lifetime = "1s"`, "lifetime: it has no effect on UDP"},
			"socket":                   {"socket = {}", works},
			"download_rate":            {`download_rate = "1MiB"`, "download_rate: datagrams cannot wait"},
			"upload_rate":              {`upload_rate = "1MiB"`, "upload_rate: datagrams cannot wait"},
			"listener_download_rate":   {`listener_download_rate = "1MiB"`, "listener_download_rate: datagrams"},
			"listener_upload_rate":     {`listener_upload_rate = "1MiB"`, "listener_upload_rate: datagrams"},
			"udp_idle_timeout":         {`udp_idle_timeout = "1s"`, works},
			"udp_responses":            {"udp_responses = 1", works},
		},
		func(line string) string { return line },
	}, {
		l4RouteTable().info().keys,
		map[string]struct{ line, why string }{
			"name":     {`name = "n", source = ["10.0.0.0/8"], pool = "p"`, works},
			"sni":      {`sni = ["a.example.com"], pool = "p"`, works},
			"alpn":     {`alpn = ["h3"], pool = "p"`, works},
			"protocol": {`protocol = ["tls"], pool = "p"`, "protocol: these are protocols over TCP"},
			"source":   {`source = ["10.0.0.0/8"], pool = "p"`, works},
			"pool":     {`source = ["10.0.0.0/8"], pool = "p"`, works},
			"l7":       {`source = ["10.0.0.0/8"], l7 = "web"`, "l7: HTTP over QUIC"},
			"mode":     {`sni = ["a.example.com"], pool = "p", mode = "terminate"`, "mode: Weir does not end QUIC"},
		},
		func(line string) string { return "route = [{ " + line + " }]" },
	}, {
		listenSocketTable("", "").info().keys,
		map[string]struct{ line, why string }{
			"tcp_nodelay":            {"tcp_nodelay = true", "tcp_nodelay: a UDP socket"},
			"tcp_keepalive":          {`tcp_keepalive = "9s"`, "tcp_keepalive: a UDP socket"},
			"tcp_keepalive_interval": {`tcp_keepalive_interval = "9s"`, "tcp_keepalive_interval: a UDP socket"},
			"tcp_keepalive_count":    {"tcp_keepalive_count = 9", "tcp_keepalive_count: a UDP socket"},
			"tcp_user_timeout":       {`tcp_user_timeout = "9s"`, "tcp_user_timeout: a UDP socket"},
			"tcp_fast_open_queue":    {"tcp_fast_open_queue = 9", "tcp_fast_open_queue: a UDP socket"},
			"mark":                   {"mark = 9", works},
		},
		func(line string) string { return "socket = { " + line + " }" },
	}}
	const head = `[pool.p]
servers = ["127.0.0.1:53"]
[[l7]]
name = "web"
listen = ["127.0.0.1:80"]
route = [{ pool = "p" }]
[[l4]]
name = "udp"
listen = ["udp://127.0.0.1:53"]
pool = "p"
`
	for _, table := range tables {
		for _, k := range table.keys {
			row, known := table.rows[k.name]
			if !known {
				t.Errorf("%s: nobody says what this key does on UDP", k.name)
				continue
			}
			line := row.line
			if line != "" {
				line = table.file(line)
			}
			_, err := Parse("udp.toml", []byte(head+line+"\n"))
			switch {
			case row.why == works && err != nil:
				t.Errorf("%s: refused: %v", line, err)
			case row.why != works && (err == nil || !strings.Contains(err.Error(), row.why)):
				t.Errorf("%s: got %v, want %q", line, err, row.why)
			}
		}
	}
}
