//go:build race

package backend

// raceEnabled: the race detector allocates on its own.
const raceEnabled = true
