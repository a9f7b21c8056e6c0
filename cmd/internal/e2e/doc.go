// Package e2e holds the tests of Weir as a whole: the built binary against real
// servers and scripted misbehaving ones, the import law, the documents, and the
// table of faults. It has no code of its own.
package e2e
