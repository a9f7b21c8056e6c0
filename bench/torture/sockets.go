package torture

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// descriptors lists what the descriptors of the process are: sockets with both
// ends, the others by name, alike ones counted. It is what to look at when some
// were not given back.
func (w *child) descriptors() string {
	proc := fmt.Sprintf("/proc/%d", w.cmd.Process.Pid)
	table, err := os.ReadFile(filepath.Join(proc, "net/tcp"))
	if err != nil {
		return err.Error()
	}
	sockets := socketNames(table)
	fds, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		return err.Error()
	}
	count := map[string]int{}
	for _, fd := range fds {
		name, err := os.Readlink(filepath.Join(proc, "fd", fd.Name()))
		if err != nil {
			continue // closed meanwhile
		}
		if s, ok := sockets[name]; ok {
			name = s
		} else if strings.HasPrefix(name, "socket:") {
			name = "a socket that is not connected"
		}
		count[name]++
	}
	lines := make([]string, 0, len(count))
	for name, n := range count {
		lines = append(lines, fmt.Sprintf("  %d x %s", n, name))
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// pipes counts the ends of pipes that the process has open.
func (w *child) pipes() (n int64) {
	proc := fmt.Sprintf("/proc/%d/fd", w.cmd.Process.Pid)
	fds, err := os.ReadDir(proc)
	if err != nil {
		return 0
	}
	for _, fd := range fds {
		if name, err := os.Readlink(filepath.Join(proc, fd.Name())); err == nil && strings.HasPrefix(name, "pipe:") {
			n++
		}
	}
	return n
}

// socketNames reads a table of /proc/net: what descriptors call a socket, and what
// people do.
func socketNames(table []byte) map[string]string {
	states := map[string]string{
		"01": "established", "02": "syn sent", "04": "fin wait 1", "05": "fin wait 2", "06": "time wait",
		"07": "closed", "08": "close wait", "09": "last ack", "0A": "listening", "0B": "closing",
	}
	names := map[string]string{}
	for line := range bytes.Lines(table) {
		f := strings.Fields(string(line))
		if len(f) < 10 || f[0] == "sl" {
			continue
		}
		names["socket:["+f[9]+"]"] = fmt.Sprintf("%s -> %s %s", endpoint(f[1]), endpoint(f[2]), states[f[3]])
	}
	return names
}

// endpoint decodes an IPv4 address and port of /proc/net/tcp, which has the address
// in the byte order of the machine, little endian on all of Weir's.
func endpoint(text string) string {
	host, port, _ := strings.Cut(text, ":")
	b, err1 := hex.DecodeString(host)
	p, err2 := strconv.ParseUint(port, 16, 16)
	if err1 != nil || err2 != nil || len(b) != 4 {
		return text
	}
	return fmt.Sprintf("%d.%d.%d.%d:%d", b[3], b[2], b[1], b[0], p)
}
