package admin

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"weir/conf"
)

func TestAPI(t *testing.T) {
	s, p := startServer(t, loopback+"token = \"a-secret-of-the-file\"\n")
	f := func(method, path, body string, status int, want ...string) {
		t.Helper()
		resp, answer := request(t, s, method, path, body, "Authorization: Bearer a-secret-of-the-file")
		if resp.StatusCode != status {
			t.Fatalf("got %d %s, want %d", resp.StatusCode, answer, status)
		}
		for _, w := range want {
			if !strings.Contains(answer, w) {
				t.Fatalf("%q is not in %s", w, answer)
			}
		}
		if strings.Contains(answer, "a-secret-of-the-file") {
			t.Fatalf("the token is in %s", answer)
		}
	}
	const member = "/api/v1/pools/app/servers/127.0.0.1:9"
	socket := "/api/v1/pools/app/servers/" + url.PathEscape("unix:/nowhere.sock")

	f("GET", "/api/v1/version", "", 200, `"build": "test build"`, `"config_version": 7`)
	f("GET", "/api/v1/config", "", 200, `"version": 7`, `"name": "web"`, `"token": "(secret)"`)
	f("GET", "/api/v1/pools", "", 200, `"pool": "app"`, `"address": "127.0.0.1:9"`)
	f("GET", "/api/v1/pools/app", "", 200, `"address": "unix:/nowhere.sock"`)
	f("GET", "/api/v1/pools/nil", "", 404, `there is no pool \"nil\"`)
	f("GET", "/metrics", "", 200, "process_")

	f("POST", member+"/drain", "", 200, `"drain": true`)
	f("POST", member+"/undrain", "", 200, `"drain": false`)
	f("POST", member+"/maintenance", `{"on": true}`, 200, `"maintenance": true`)
	f("POST", member+"/maintenance", `{"on": false}`, 200, `"maintenance": false`)
	f("POST", member+"/weight", `{"weight": 42}`, 200, `"weight": 42`)
	f("POST", socket+"/weight", `{"weight": 0}`, 200, `"weight": 0`)

	f("POST", "/api/v1/pools/nil/servers/127.0.0.1:9/drain", "", 404, "there is no pool")
	f("POST", "/api/v1/pools/app/servers/127.0.0.1:8/drain", "", 404, "there is no server")
	f("POST", member+"/maintenance", ``, 400)
	f("POST", member+"/maintenance", `{}`, 400, "the body must be")
	f("POST", member+"/maintenance", `{"on": 1}`, 400)
	f("POST", member+"/weight", `{"weight": -1}`, 400)
	f("POST", member+"/weight", `{"weight": 1000000}`, 400, "N from 0 to ")
	f("POST", member+"/weight", `{"weight": 1.5}`, 400)
	f("POST", member+"/weight", `{"wait": 1}`, 400, "wait")
	f("POST", member+"/weight", `{"weight": 1} x`, 400)
	f("POST", member+"/weight", `{"weight": 1`+strings.Repeat(" ", maxBodyBytes), 413)

	f("GET", "/readyz", "", 200, "ok")
	p.ready = errors.New("draining")
	f("GET", "/readyz", "", 503, "draining")
	f("GET", "/healthz", "", 200, "ok")

	f("POST", "/api/v1/reload", "", 200, `"version": 7`)
	p.reload = errors.New("cannot bind")
	f("POST", "/api/v1/reload", "", 422, `"error": "cannot bind"`)
	p.reload = fmt.Errorf("cannot reload: %w", ErrStopping)
	f("POST", "/api/v1/reload", "", 409, "stopping")
	p.reload = conf.Problems{{File: "weir.toml", Line: 3, Col: 1, Message: "no such key", Suggestion: "listen"}}
	f("POST", "/api/v1/reload", "", 422, "weir.toml:3:1", `"line": 3`, `"suggestion": "listen"`)
}

func TestClient(t *testing.T) {
	f := func(adminTable string) {
		t.Helper()
		_, p := startServer(t, adminTable)
		c, err := Dial(p.config)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := c.Reload(t.Context()); err != nil || v != 7 {
			t.Fatalf("got %d, %v", v, err)
		}
		p.reload = errors.New("cannot bind")
		var refused *Refused
		if _, err := c.Reload(t.Context()); !errors.As(err, &refused) || refused.Message != "cannot bind" {
			t.Fatalf("got %v", err)
		}
	}
	f("")
	f(loopback)
	f(loopback + "token = \"a-secret-of-the-file\"\n")
}

func TestClientWithoutServer(t *testing.T) {
	c := parse(t, testConfig)
	c.Process.RuntimeDir = t.TempDir()
	client, err := Dial(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "is weir running") {
		t.Fatalf("got %v", err)
	}
	c.Admin.Listen = conf.Addr{Network: "tcp", Host: "127.0.0.1", Port: 1}
	c.Process.StateDir = t.TempDir()
	if _, err := Dial(c); err == nil || !strings.Contains(err.Error(), "cannot read the admin token") {
		t.Fatalf("got %v", err)
	}
}
