package backend

import (
	"strings"
	"testing"
	"time"

	"weir/conf"
)

// withRole makes p a pool of databases of which it uses those with this role.
func withRole(p conf.Pool, role string, maxLag time.Duration) conf.Pool {
	p = withHealth(p)
	p.Health.Type, p.Health.Role, p.Health.MaxLag = checkPostgres, role, maxLag
	return p
}

// says sets what checks find at 10.0.0.N:1, for each N.
func (s *sim) says(found ...finding) {
	s.fakeProber.mu.Lock()
	defer s.fakeProber.mu.Unlock()
	s.found = map[string]finding{}
	for i, f := range found {
		s.found["10.0.0."+string(rune('1'+i))+":1"] = f
	}
}

var (
	primary = finding{role: RolePrimary}
	replica = finding{role: RoleReplica, lag: lagUnknown}
)

func behind(d time.Duration) finding { return finding{role: RoleReplica, lag: d} }

// Three pools of the same servers share their checks; each sees its own part.
func TestRoles(t *testing.T) {
	simulate(t, func(s *sim) {
		s.says(primary, behind(0), replica)
		list := servers(1, 1, 1)
		snap := commit(t, s.r, withRole(testPool("w", "", list), wantPrimary, 0),
			withRole(testPool("r", "", list), wantReplica, 0), withRole(testPool("a", "", list), "any", 0),
			withRole(testPool("f", "", list), "any", time.Second))
		w, r, a, f := snap.Group("w"), snap.Group("r"), snap.Group("a"), snap.Group("f")
		if got := usable(w) + usable(r); got != "" {
			t.Errorf("%q are used before a check has seen their roles", got)
		}
		s.wait(time.Second)
		s.expect(w, "1", "the primary")
		s.expect(r, "23", "the replicas")
		s.expect(a, "123", "any")
		s.expect(f, "12", "the third cannot say how far it is behind")
		if w.Members()[0].Endpoint() != a.Members()[0].Endpoint() {
			t.Error("the wish of a pool is part of the check")
		}
		m := w.Status().Members[1]
		if m.State != "healthy" || m.Role != wantReplica || m.InRotation || *m.ReplayLag != 0 ||
			m.Reason != "it is a replica, the pool wants primary" {
			t.Errorf("status of a replica: %+v", m)
		}
		if m := f.Status().Members[2]; m.ReplayLag != nil || !strings.Contains(m.Reason, "not known") {
			t.Errorf("status of a replica that cannot say: %+v", m)
		}

		s.says(primary, behind(2*time.Second), behind(time.Second))
		s.wait(3 * time.Second)
		s.expect(f, "13", "the second is too far behind, the third is not any more")
		s.expect(r, "23", "this pool has no limit")
		if m := f.Status().Members[1]; m.Reason != "it is 2s behind, max_lag is 1s" {
			t.Errorf("reason: %s", m.Reason)
		}
		if len(s.downs) != 0 {
			t.Errorf("a role or a lag is not a failure, but down are %v", s.downs)
		}
	})
}

// A failover is followed at the next check, which comes soon when the primary is gone.
func TestFailover(t *testing.T) {
	simulate(t, func(s *sim) {
		s.says(primary, replica, replica)
		p := withRole(testPool("w", "", servers(1, 1, 1)), wantPrimary, 0)
		p.Health.Interval, p.Health.Fall = time.Minute, 1
		g := commit(t, s.r, p).Group("w")
		s.wait(time.Second)
		s.expect(g, "1", "the primary")

		s.set("10.0.0.1:1", true)
		s.after(g, "", 70*time.Second)
		s.wait(10 * time.Second)
		s.says(primary, primary, replica)
		s.between("following a failover", s.after(g, "2", time.Minute), 0, 600*time.Millisecond)

		s.set("10.0.0.1:1", false)
		s.says(replica, primary, replica)
		s.wait(2 * time.Minute)
		s.expect(g, "2", "the old primary came back as a replica")
		s.says(primary, replica, replica)
		s.after(g, "1", 70*time.Second)
		s.says(finding{}, replica, replica)
		s.after(g, "", 70*time.Second)
	})
}

// Live traffic takes neither the last server of the role nor counts the others.
func TestRoleAndEjection(t *testing.T) {
	simulate(t, func(s *sim) {
		s.says(primary, replica, replica, replica)
		g := commit(t, s.r, withRole(testPool("w", "", servers(1, 1, 1, 1)), wantPrimary, 0)).Group("w")
		s.wait(time.Second)
		g.Members()[0].Report(Refused)
		s.expect(g, "1", "there is no other primary to go to")
	})
}

// A reload that changes the check, the password even, does not forget the roles.
func TestRoleOutlivesReload(t *testing.T) {
	simulate(t, func(s *sim) {
		s.says(primary, replica)
		p := withRole(testPool("w", "", servers(1, 1)), wantPrimary, 0)
		g := commit(t, s.r, p).Group("w")
		s.wait(time.Second)
		e := g.Members()[0].Endpoint()
		for _, change := range []func(){
			func() { p.Health.Interval = time.Second },
			func() { p.Health.Password = conf.NewSecret("a") },
			func() { p.Health.Password = conf.NewSecret("b") },
		} {
			change()
			commit(t, s.r, p)
			if got := usable(g); got != "1" {
				t.Errorf("in rotation after a reload are %q, want 1", got)
			}
			if now := g.Members()[0].Endpoint(); now == e {
				t.Error("the endpoint still has the old check")
			} else {
				e = now
			}
		}
		p.Health.Role = wantReplica
		commit(t, s.r, p)
		s.expect(g, "2", "another wish needs no new check")
		if g.Members()[0].Endpoint() != e {
			t.Error("another wish made another endpoint")
		}
		if key := healthKey(&p.Health); strings.Contains(key, `"b"`) {
			t.Errorf("the key holds the password: %s", key)
		}
	})
}
