package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// CaddyVersion is what BuildCaddy builds.
const CaddyVersion = "v2.11.9"

// BuildCaddy builds Caddy from its Go module, outside of this module, and returns the
// binary, which is kept in the user's cache directory. It needs the go command and
// the module proxy, and takes minutes the first time.
func BuildCaddy(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("cannot build caddy: %w", err)
	}
	dir := filepath.Join(cache, "weir", "caddy-"+CaddyVersion)
	binary := filepath.Join(dir, "caddy")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("cannot build caddy: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "install", "github.com/caddyserver/caddy/v2/cmd/caddy@"+CaddyVersion)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOBIN="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build caddy: %w: %s", err, out)
	}
	return binary, nil
}
