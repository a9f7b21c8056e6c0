package backend

import (
	"cmp"
	"slices"
	"time"

	"weir/conf"
)

// rampScale is what full weight is in a table; a slow start goes up to it in
// rampSteps steps. Shorter than rampFloor a step is not worth a new table.
const (
	rampScale = 64
	rampSteps = 16
	rampFloor = 20 * time.Millisecond
)

// rebuild makes and publishes the group's table from the state of its members.
// Registry.mu is held, the group has not been retired.
func (g *Group) rebuild(now time.Time) {
	heldOut := g.heldOut()
	var slots [tierCount][]slot
	g.ramping = false
	for _, m := range g.members {
		rotating := m.inService() && !m.endpoint.down.Load() && m.fits() && !slices.Contains(heldOut, m)
		if rotating && !m.rotating.Load() && g.committed {
			m.ramp = now
		}
		m.rotating.Store(rotating)
		m.effective = 0
		if !rotating {
			continue
		}
		m.effective = g.rampWeight(m, now)
		rank := tierPrimary
		if m.entry.backup {
			rank = tierBackup
		}
		slots[rank] = append(slots[rank], slot{m, m.effective})
	}
	if g.ramping {
		g.nextRamp = now.Add(max(g.pool.SlowStart/rampSteps, rampFloor))
		g.r.wakeKeeper()
	}
	g.preferZone(&slots)
	markDual(g.members, slots)
	t := newTable(g)
	for i := range t.tiers {
		t.tiers[i] = newTier(g.pool.Balance, slots[i], &g.turns[i].n, len(g.members))
	}
	g.pin(t)
	g.table.Store(t)
	g.serveQueue()
	g.seek(g.Usable() > 0)
}

// rampWeight gives the weight of m in units of 1/rampScale: all of it, or the part
// that slow start allows by now.
func (g *Group) rampWeight(m *Member, now time.Time) uint32 {
	full := uint32(m.weight()) * rampScale
	slow := g.pool.SlowStart
	since := now.Sub(m.ramp)
	if slow <= 0 || m.ramp.IsZero() || since >= slow {
		return full
	}
	g.ramping = true
	part := float64(full) * float64(max(since, 0)) / float64(slow)
	return max(uint32(part), full/rampSteps)
}

// heldOut lists the members that are out because their endpoint is ejected: the
// oldest ejections, as many as the group may honour.
func (g *Group) heldOut() []*Member {
	var ejected []*Member
	serving, candidates := 0, 0
	for _, m := range g.members {
		if !m.inService() || !m.fits() {
			continue
		}
		serving++
		if m.endpoint.down.Load() {
			continue
		}
		candidates++
		if m.endpoint.ejected.Load() {
			ejected = append(ejected, m)
		}
	}
	limit := ejectionLimit(&g.pool.Ejection, serving, candidates)
	if len(ejected) <= limit {
		return ejected
	}
	slices.SortStableFunc(ejected, func(a, b *Member) int {
		return cmp.Or(a.endpoint.ejection.since.Compare(b.endpoint.ejection.since), cmp.Compare(a.id, b.id))
	})
	return ejected[:limit]
}

// ejectionLimit says how many ejections a group of serving members honours when
// the active checks leave candidates of them. Below 100 percent one candidate
// always stays: live traffic alone never empties a group.
func ejectionLimit(c *conf.Ejection, serving, candidates int) int {
	if !c.Enabled {
		return 0
	}
	if c.MaxPercent >= 100 {
		return candidates
	}
	return min(serving*c.MaxPercent/100, max(candidates-1, 0))
}
