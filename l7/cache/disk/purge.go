package disk

// mostPending is how many purges are kept in mind while the directory is another
// process's. With more everything will be purged.
const mostPending = 4096

// Purge takes a ban into force: no Get that begins after it returns an object that it
// hits, nor is one stored that was begun before it. It survives a restart and a kill of
// the process when Purge returns, and a loss of power within about a second. While
// another process has the directory it is kept in mind. An error says that it may
// not survive a restart.
func (t *Tier) Purge(ban Ban) error {
	if ban.Prefix && len(ban.Label) > maxPrefix {
		return ErrLabel
	}
	t.purging.Lock()
	defer t.purging.Unlock()
	switch state(t.state.Load()) {
	case closed:
		return ErrClosed
	case waiting:
		t.keepInMind(ban)
		return nil
	case ready:
	}
	mark := t.next()
	if t.bans.add(ban, mark) {
		t.keeper.sweep()
	}
	if ban.All && !ban.Soft {
		t.appending.Lock()
		t.seal() // what comes from now on is not to go with the rest
		t.appending.Unlock()
		t.keeper.clearUpTo(mark)
	}
	failed, err := t.journal.add(t.fs, t.dir, appendBan(nil, ban, mark))
	if failed != nil {
		t.trouble.met("write a purge down", failed)
		t.keeper.wake()
	}
	return err
}

// keepInMind keeps a ban until the directory is ours. The caller has the purging lock.
func (t *Tier) keepInMind(ban Ban) {
	ban.Label = append([]byte(nil), ban.Label...)
	if len(t.pending) >= mostPending {
		t.pending = t.pending[:0]
		ban = Ban{All: true}
	}
	t.pending = append(t.pending, ban)
}
