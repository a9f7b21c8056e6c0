package engine

import (
	"testing"
	"testing/fstest"
)

func TestMemoryGroup(t *testing.T) {
	f := func(want int64, files map[string]string) {
		t.Helper()
		root := fstest.MapFS{}
		for name, text := range files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := memoryGroup(root).limit; got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	}
	const self, top = "proc/self/cgroup", "sys/fs/cgroup/"
	f(0, nil)
	f(0, map[string]string{self: "0::/\n"})
	f(5000, map[string]string{self: "0::/\n", top + "memory.max": "5000\n"})
	f(0, map[string]string{self: "0::/a\n", top + "a/memory.max": "max\n"})
	f(7000, map[string]string{self: "0::/a/b\n", top + "a/b/memory.max": "7000\n"})
	f(6000, map[string]string{self: "0::/a/b\n", top + "a/b/memory.max": "7000\n", top + "a/memory.max": "6000\n"})
	f(6000, map[string]string{self: "0::/a/b\n", top + "a/b/memory.max": "max\n", top + "a/memory.max": "6000\n"})
	f(4000, map[string]string{self: "0::/a\n", top + "memory.max": "4000\n", top + "a/memory.max": "junk\n"})
	f(8000, map[string]string{self: "1:name=systemd:/x\n0::/y\n", top + "y/memory.max": "8000\n"})
	f(4000, map[string]string{self: "0::/../x\n", top + "memory.max": "4000\n"}) // seen from another namespace
	f(0, map[string]string{self: "9:memory:/v1\n"})

	const v1 = top + "memory/"
	f(3000, map[string]string{self: "9:memory:/v1\n", v1 + "v1/memory.limit_in_bytes": "3000\n"})
	f(3000, map[string]string{self: "9:cpu,memory:/x/y\n", v1 + "memory.limit_in_bytes": "3000\n"}) // in a container
	f(0, map[string]string{self: "9:memory:/\n", v1 + "memory.limit_in_bytes": "9223372036854771712\n"})
	f(0, map[string]string{self: "9:memory2:/\n", v1 + "memory.limit_in_bytes": "3000\n"})
	f(2000, map[string]string{
		self: "9:memory:/a\n0::/b\n", v1 + "a/memory.limit_in_bytes": "3000\n", top + "b/memory.max": "2000\n",
	})
}
