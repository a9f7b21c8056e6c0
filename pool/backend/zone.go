package backend

// preferZone moves the primaries of Weir's own zone into a tier of their own, as long
// as enough of the zone takes work. A member counts with what slow start lets it
// have, so that one that has just come back does not get the work of a whole zone.
// Registry.mu is held.
func (g *Group) preferZone(slots *[tierCount][]slot) {
	if g.pool.Zone == "" {
		return
	}
	whole := 0
	for _, m := range g.members {
		if m.inService() && !m.entry.backup && g.isLocal(m) {
			whole += m.weight() * rampScale
		}
	}
	var local, remote []slot
	up := 0
	for _, s := range slots[tierPrimary] {
		if g.isLocal(s.m) {
			up += int(s.weight)
			local = append(local, s)
		} else {
			remote = append(remote, s)
		}
	}
	if len(local) == 0 || len(remote) == 0 || up*100 < whole*g.pool.ZoneMin {
		return
	}
	slots[tierZone], slots[tierPrimary] = local, remote
}

// isLocal reports whether m runs where this Weir does.
func (g *Group) isLocal(m *Member) bool { return m.entry.zone == g.pool.Zone }
