package engine

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Files are real, time is not.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	a, b, link := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "link")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	swap := func(target string) {
		t.Helper()
		if err := os.Symlink(target, link+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link+".new", link); err != nil {
			t.Fatal(err)
		}
	}
	write(a, "1")
	write(b, "1")
	swap(a)

	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var calls atomic.Int32
		var files atomic.Pointer[[]string]
		files.Store(&[]string{link})
		go watch(ctx, time.Second, statFiles([]string{link}), func() []string { return *files.Load() },
			func() { calls.Add(1) })
		f := func(want int32, change func()) {
			t.Helper()
			change()
			time.Sleep(5 * time.Second)
			synctest.Wait()
			if got := calls.Load(); got != want {
				t.Fatalf("got %d calls, want %d", got, want)
			}
		}
		f(0, func() {})
		f(1, func() { write(a, "12") })                  // through the link
		f(2, func() { swap(b) })                         // the link itself
		f(2, func() { write(a, "123") })                 // no longer watched
		f(3, func() { os.Rename(a, b) })                 // atomic rename
		f(4, func() { os.Remove(link) })                 // gone
		f(5, func() { swap(b) })                         // and back
		f(5, func() { files.Store(&[]string{link, a}) }) // one more file, not a change
		f(6, func() { write(a, "new") })
		f(7, func() { write(a, "both"); write(b, "both") })
		f(8, func() { // still being written
			for i := range 5 {
				write(a, "part"+string(rune('a'+i))+string(make([]byte, i)))
				time.Sleep(900 * time.Millisecond)
			}
		})
	})
}

// A change between reading a file and watching it is not lost.
func TestWatchFromBefore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a")
	before := statFiles([]string{file})
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var calls atomic.Int32
		go watch(ctx, time.Second, before, func() []string { return []string{file} }, func() { calls.Add(1) })
		time.Sleep(3 * time.Second)
		cancel()
		synctest.Wait()
		if got := calls.Load(); got != 1 {
			t.Fatalf("got %d calls, want 1", got)
		}
	})
}
