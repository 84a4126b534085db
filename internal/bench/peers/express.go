package peers

import (
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed express/server.mjs express/package.json express/package-lock.json
var expressFiles embed.FS

// Express puts the server into a directory, with what it needs: server.mjs is to be run
// with node.
func Express(dir string) error {
	for _, name := range []string{"server.mjs", "package.json", "package-lock.json"} {
		b, err := expressFiles.ReadFile("express/" + name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return err
		}
	}
	npm := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return nil
}
