package conf

import (
	"bytes"
	"fmt"
	"time"
)

// maxHold bounds idle connections: what one source address can have to one port.
const maxHold = 60_000

// scenarioHead stands for the keys outside of any table.
const scenarioHead = "the scenario"

func scenarioTable() table[Scenario] {
	keys := scenarioKeys()
	keys = append(keys, scenarioLoadKeys()...)
	keys = append(keys, scenarioPartKeys()...)
	return table[Scenario]{head: scenarioHead, doc: "What is measured.", keys: keys}
}

// scenarioKeys say what is measured, and whose.
func scenarioKeys() []key[Scenario] {
	return []key[Scenario]{
		{
			name: "name", required: true,
			value: one(func(s *Scenario) *string { return &s.Name }, nameOf()),
			doc:   "Its name on the command line and in reports.",
		},
		{
			name: "shows", required: true,
			value: one(func(s *Scenario) *string { return &s.Shows }, plain(400)),
			doc:   "What a reader learns from it.",
		},
		{
			name: "front", required: true,
			value: one(func(s *Scenario) *string { return &s.Front },
				choice("http", "https", "cache", "gzip", "files", "tcp", "udp", "sni")),
			doc: "What the proxies are set up as: `http` and `https` proxy HTTP/1.1, the latter ends TLS; " +
				"`cache` is `http` with answers kept and served from there; `gzip` is `http` with answers " +
				"compressed; `files` serves a file of the length of the origin's `body`, and asks no origin; " +
				"`tcp` passes bytes on; `udp` datagrams; `sni` passes TLS on by its server name.",
		},
		{
			name: "peers", none: "all that can do the job and are found",
			value: some(func(s *Scenario) *[]string { return &s.Peers },
				choice("weir", "nginx", "haproxy", "caddy", "traefik", "varnish")),
			doc: "Which proxies are compared.",
		},
	}
}

// scenarioLoadKeys say how much load there is, and for how long.
func scenarioLoadKeys() []key[Scenario] {
	return []key[Scenario]{
		{
			name: "connections", def: "1", unit: "client connections",
			value: one(func(s *Scenario) *int { return &s.Connections }, count(1, maxHold)),
			doc:   "How many connections the generator has.",
		},
		{
			name: "rate", def: "0", unit: "requests per second",
			value: one(func(s *Scenario) *int { return &s.Rate }, count(0, 10_000_000)),
			doc: "Requests that are due whatever the proxy does, and latency counts from when they were due " +
				"(an open loop). 0: each connection sends when its last request was answered (a closed loop).",
		},
		{
			name: "open", none: "no such runs", unit: "percent",
			value: some(func(s *Scenario) *[]int { return &s.Open }, count(1, 100)),
			doc: "Also run all proxies in an open loop, in each round, at these shares of the best round of the " +
				"slowest one: latency at a load that each can carry.",
		},
		{
			name: "curve", none: "no such runs", unit: "percent",
			value: some(func(s *Scenario) *[]int { return &s.Curve }, count(1, 100)),
			doc: "Also run each proxy once in an open loop at each of these shares of its own best round: " +
				"the plot of throughput against latency.",
		},
		{
			name: "scale", def: "0", unit: "CPUs",
			value: one(func(s *Scenario) *int { return &s.Scale }, count(0, 1024)),
			doc: "Repeat the rounds with the proxies on so many CPUs, the last ones. " +
				"0, or what the machine does not have: not done.",
		},
		{
			name: "duration", def: `"5s"`,
			value: one(func(s *Scenario) *time.Duration { return &s.Duration },
				duration(100*time.Millisecond, time.Hour)),
			doc: "How long each proxy is measured in each round.",
		},
		{
			name: "warmup", def: `"1s"`,
			value: one(func(s *Scenario) *time.Duration { return &s.Warmup }, duration(0, time.Hour)),
			doc:   "Load before the measurement, not counted.",
		},
	}
}

// scenarioPartKeys are the tables of the scenario.
func scenarioPartKeys() []key[Scenario] {
	return []key[Scenario]{
		{
			name: "workload", required: true,
			value: sub(func(s *Scenario) *ScenarioWorkload { return &s.Workload }, scenarioWorkloadTable()),
			doc:   "What is done on each connection.",
		},
		{
			name: "origin", required: true,
			value: sub(func(s *Scenario) *ScenarioOrigin { return &s.Origin }, scenarioOriginTable()),
			doc:   "The server behind the proxies.",
		},
		{
			name:  "cores",
			value: sub(func(s *Scenario) *ScenarioCores { return &s.Cores }, scenarioCoresTable()),
			doc:   "Which CPUs each part may use.",
		},
		{
			name:  "objective",
			value: sub(func(s *Scenario) *ScenarioObjective { return &s.Objective }, scenarioObjectiveTable()),
			doc:   "When a run counts as good.",
		},
	}
}

func scenarioWorkloadTable() table[ScenarioWorkload] {
	return table[ScenarioWorkload]{
		head: "[workload]",
		doc:  "What is done on each connection, and so what a unit of work is.",
		keys: []key[ScenarioWorkload]{
			{
				name: "kind", required: true,
				value: one(func(w *ScenarioWorkload) *string { return &w.Kind },
					choice("http1", "websocket", "tcp", "udp", "download", "upload", "tls", "idle")),
				doc: "`http1`: a request and its response. `websocket`, `tcp`, `udp`: a message and the same " +
					"bytes back. `download`, `upload`: bytes as fast as they go. `tls`: connect, handshake, close. " +
					"`idle`: connections that say nothing, on `http` after one request.",
			},
			{
				name: "send", none: "no body; 64 bytes for messages",
				value: one(func(w *ScenarioWorkload) *Size { return &w.Send }, size(1, 64<<20)),
				doc:   "Size of a request body, which is then a POST, or of a message.",
			},
			{
				name: "reconnect", def: "false",
				value: one(func(w *ScenarioWorkload) *bool { return &w.Reconnect }, boolean()),
				doc:   "Make a new connection for each request.",
			},
			{
				name: "hold", none: "nothing; the workload `idle` needs it",
				value: some(func(w *ScenarioWorkload) *[]int { return &w.Hold }, count(1, maxHold)),
				doc:   "Numbers of idle connections at which memory is read, growing.",
			},
		},
	}
}

func scenarioOriginTable() table[ScenarioOrigin] {
	return table[ScenarioOrigin]{
		head: "[origin]",
		doc:  "The server behind the proxies: a built-in one, or one that runs elsewhere.",
		keys: []key[ScenarioOrigin]{
			{
				name: "kind", required: true,
				value: one(func(o *ScenarioOrigin) *string { return &o.Kind },
					choice("http", "h2c", "https", "echo", "source", "sink", "udp-echo")),
				doc: "What it does: `http` answers each request with the same body; `h2c` does so too and echoes on " +
					"WebSocket; `https` is `http` over TLS; `echo`, `source` and `sink` are plain TCP; " +
					"`udp-echo` sends datagrams back.",
			},
			{
				name: "body", def: `"128B"`,
				value: one(func(o *ScenarioOrigin) *Size { return &o.Body }, size(0, 1<<30)),
				doc:   "Size of an HTTP response body.",
			},
			{
				name: "content", def: `"bytes"`,
				value: one(func(o *ScenarioOrigin) *string { return &o.Content }, choice("bytes", "json")),
				doc:   "What that body is: `json` can be compressed, `bytes` are not offered for it.",
			},
			{
				name: "max_age", none: "nothing is said of it",
				value: one(func(o *ScenarioOrigin) *time.Duration { return &o.MaxAge },
					duration(time.Second, 24*time.Hour)),
				doc: "How long caches may keep the answer of `http` (Cache-Control: max-age).",
			},
			{
				name: "address", none: "the built-in origin is started",
				value: one(func(o *ScenarioOrigin) *Addr { return &o.Address }, serverAddr()),
				doc:   "Where an origin of that kind listens already, on this machine or another.",
			},
		},
	}
}

func scenarioCoresTable() table[ScenarioCores] {
	const none = "the last CPU for the proxy, the first for the rest"
	cpu := count(0, 1023)
	return table[ScenarioCores]{
		head: "[cores]",
		doc:  "Which CPUs each part may use, by number.",
		keys: []key[ScenarioCores]{
			{
				name: "generator", none: none,
				value: some(func(c *ScenarioCores) *[]int { return &c.Generator }, cpu),
				doc:   "CPUs of the load generator.",
			},
			{
				name: "origin", none: none,
				value: some(func(c *ScenarioCores) *[]int { return &c.Origin }, cpu),
				doc:   "CPUs of the built-in origin.",
			},
			{
				name: "proxy", none: none,
				value: some(func(c *ScenarioCores) *[]int { return &c.Proxy }, cpu),
				doc:   "CPUs of the proxy. The proxies have one worker for each of them.",
			},
		},
	}
}

func scenarioObjectiveTable() table[ScenarioObjective] {
	return table[ScenarioObjective]{
		head: "[objective]",
		doc:  "When a run counts as good. What misses it is reported, and marked.",
		keys: []key[ScenarioObjective]{
			{
				name: "p99", none: "no bound",
				value: one(func(o *ScenarioObjective) *time.Duration { return &o.P99 },
					duration(time.Microsecond, time.Minute)),
				doc: "The 99th percentile of latency is at most this.",
			},
			{
				name: "failed", def: "0", unit: "requests",
				value: one(func(o *ScenarioObjective) *int { return &o.Failed }, count(0, 1_000_000)),
				doc:   "How many requests may fail.",
			},
		},
	}
}

const scenarioIntro = `# Scenarios

Each file here is one measurement: what the proxies do, what is sent through them, where everything runs.
` + "`weir bench compare --scenario FILE`" + ` carries one out; a mistake in a file is shown with its line.

The tables below are written from the schema by a test (go test ./conf -run Scenario -update).

`

// ScenarioReference gives bench/scenarios/README.md: every key of a scenario.
func ScenarioReference() []byte {
	var b bytes.Buffer
	b.WriteString(scenarioIntro)
	scenarioTable().info().walk(func(ti tableInfo) {
		if ti.head != scenarioHead {
			fmt.Fprintf(&b, "\n## `%s`\n\n%s\n\n", ti.head, ti.doc)
		}
		b.WriteString("| Key | Type | Default | Limits | Meaning |\n|---|---|---|---|---|\n")
		for _, k := range ti.keys {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n",
				k.name, k.typeText(), k.defaultText(), cell(k.limits), cell(k.doc))
		}
	})
	return b.Bytes()
}
