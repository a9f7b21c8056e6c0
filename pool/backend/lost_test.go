package backend

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/conf"
)

// losing is a pool that wants this of the sessions of lost servers.
func losing(p conf.Pool, down, removed, role string) conf.Pool {
	p.Sessions = conf.Sessions{OnDown: down, OnRemoved: removed, OnRoleLost: role, DrainTimeout: time.Minute}
	return p
}

// told returns what the owner of sessions was told since it was asked last:
// "w 10.0.0.1 role_lost".
func (s *sim) told() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, l := range s.losts {
		all = append(all, fmt.Sprintf("%s %s %s", l.Pool, strings.TrimSuffix(l.Backend, ":1"), l.Why))
	}
	s.losts = nil
	return strings.Join(all, ", ")
}

func (s *sim) wantTold(want, why string) {
	s.Helper()
	s.wait(0)
	if got := s.told(); got != want {
		s.Errorf("after %v: told %q, want %q: %s", time.Since(s.start), got, want, why)
	}
}

func TestLostByCheck(t *testing.T) {
	simulate(t, func(s *sim) {
		list := servers(1, 1)
		commit(t, s.r, losing(withHealth(testPool("c", "", list)), "close", "", ""),
			losing(withHealth(testPool("d", "", list)), "drain", "", ""),
			losing(withHealth(testPool("k", "", list)), "keep", "close", "close"))
		s.wait(10 * time.Second)
		s.wantTold("", "all is well")
		s.set("10.0.0.1:1", true)
		s.wait(10 * time.Second)
		s.wantTold("c 10.0.0.1 down", "only one pool closes at once")
		s.wait(30 * time.Second)
		s.wantTold("", "the drain has not ended")
		s.wait(30 * time.Second)
		s.wantTold("d 10.0.0.1 down", "the drain has ended")

		// A server that comes back in time keeps its sessions.
		s.set("10.0.0.2:1", true)
		s.wait(10 * time.Second)
		s.wantTold("c 10.0.0.2 down", "down")
		s.set("10.0.0.2:1", false)
		s.wait(5 * time.Minute)
		s.wantTold("", "it came back while it drained")
	})
}

func TestLostByRemoval(t *testing.T) {
	simulate(t, func(s *sim) {
		pool := func(n int, down string) conf.Pool {
			return losing(withHealth(testPool("p", "", servers(1, 1, 1)[:n])), down, "close", "")
		}
		commit(t, s.r, pool(3, "keep"))
		commit(t, s.r, pool(2, "keep"))
		s.wantTold("p 10.0.0.3 removed", "it left the pool")
		checked := pool(2, "keep")
		checked.Health.Interval = time.Hour
		commit(t, s.r, checked)
		s.wantTold("", "other check settings are no loss")
		other := losing(testPool("q", "", servers(1)), "", "drain", "")
		commit(t, s.r, other)
		s.wantTold("p 10.0.0.1 removed, p 10.0.0.2 removed", "the pool is gone")
		commit(t, s.r)
		s.wait(59 * time.Second)
		commit(t, s.r, other)
		s.wait(time.Minute)
		s.wantTold("", "the pool came back in time")
		commit(t, s.r)
		s.wait(2 * time.Minute)
		s.wantTold("q 10.0.0.1 removed", "the pool stayed away")
	})
}

func TestLostByRole(t *testing.T) {
	simulate(t, func(s *sim) {
		s.says(primary, replica)
		list := servers(1, 1)
		lag := withRole(testPool("lag", "", list), "any", time.Second)
		commit(t, s.r, losing(withRole(testPool("w", "", list), wantPrimary, 0), "", "", "close"),
			losing(withRole(testPool("r", "", list), wantReplica, 0), "", "", "close"), losing(lag, "close", "close", "close"))
		s.wait(5 * time.Second)
		s.told() // who never had the role has no sessions; closing none is harmless
		s.says(replica, primary)
		s.wait(3 * time.Second)
		got := s.told()
		if want := "r 10.0.0.2 role_lost"; !strings.Contains(got, want) || !strings.Contains(got, "w 10.0.0.1 role_lost") ||
			strings.Contains(got, "lag") {
			t.Errorf("told %q, want that both lost what their pools want", got)
		}
		s.says(behind(time.Hour), primary)
		s.wait(3 * time.Second)
		s.wantTold("", "to be behind is to get no new sessions, not to lose those that are")
		s.says(finding{}, primary)
		s.wait(3 * time.Second)
		s.wantTold("", "a role that is not known is not another one")
	})
}
