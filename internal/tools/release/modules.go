package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// A module is one below the root that is released with it.
type module struct {
	path  string
	dir   string   // in the repository, with slashes
	needs []string // the other modules of this repository that it requires
}

func (m module) tag(version string) string { return path.Join(m.dir, version) }

// modules returns the modules below dir that are released, each after those that it
// needs. Those in internal are not: they are tests and tools.
func modules(dir string) ([]module, error) {
	files, err := git(dir, "ls-files", "--", "go.mod", "**/go.mod")
	if err != nil {
		return nil, err
	}
	var found []module
	for name := range strings.FieldsSeq(files) {
		m := module{dir: path.Dir(name)}
		if m.dir == "." || slices.Contains(strings.Split(m.dir, "/"), "internal") {
			continue
		}
		file, err := readModfile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		m.path = file.Module.Mod.Path
		if want := rootModule + "/" + m.dir; m.path != want {
			return nil, fmt.Errorf("%s: module %s, but what is in this directory is %s", name, m.path, want)
		}
		for _, r := range file.Require {
			if ours(r.Mod.Path) && r.Mod.Path != rootModule {
				m.needs = append(m.needs, r.Mod.Path)
			}
		}
		found = append(found, m)
	}
	return inOrder(found)
}

func inOrder(left []module) ([]module, error) {
	var sorted []module
	done := func(path string) bool {
		return slices.ContainsFunc(sorted, func(m module) bool { return m.path == path })
	}
	for len(left) > 0 {
		next := slices.IndexFunc(left, func(m module) bool {
			return !slices.ContainsFunc(m.needs, func(path string) bool { return !done(path) })
		})
		if next < 0 {
			return nil, fmt.Errorf("%s requires %s, which is not released before it", left[0].path, strings.Join(left[0].needs, ", "))
		}
		sorted = append(sorted, left[next])
		left = slices.Delete(left, next, next+1)
	}
	return sorted, nil
}

func ours(path string) bool { return path == rootModule || strings.HasPrefix(path, rootModule+"/") }

func readModfile(name string) (*modfile.File, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return modfile.Parse(name, text, nil)
}

// pin requires our own modules in the version, and replaces them no more.
func pin(name, version string) error {
	file, err := readModfile(name)
	if err != nil {
		return err
	}
	for _, r := range slices.Clone(file.Replace) {
		if !ours(r.Old.Path) {
			return fmt.Errorf("%s replaces %s: nobody else would get that", name, r.Old.Path)
		}
		if err := file.DropReplace(r.Old.Path, r.Old.Version); err != nil {
			return err
		}
	}
	for _, r := range slices.Clone(file.Require) {
		if ours(r.Mod.Path) {
			if err := file.AddRequire(r.Mod.Path, version); err != nil {
				return err
			}
		}
	}
	file.Cleanup()
	text, err := file.Format()
	if err != nil {
		return err
	}
	return os.WriteFile(name, text, 0o666)
}

// tagModules makes a commit and a tag for each module below the root.
func (r *release) tagModules() error {
	list, err := modules(r.repo())
	if err != nil {
		return err
	}
	env, err := proxyEnv(r.tmp)
	if err != nil {
		return err
	}
	if _, err := git(r.repo(), "checkout", "-q", "--detach", "main"); err != nil {
		return err
	}
	for _, m := range list {
		dir := filepath.Join(r.repo(), filepath.FromSlash(m.dir))
		if err := pin(filepath.Join(dir, "go.mod"), r.version); err != nil {
			return err
		}
		if _, err := command(dir, env, "go", "mod", "tidy"); err != nil {
			return fmt.Errorf("%s: %w", m.path, err)
		}
		if _, err := command(dir, env, "go", "vet", "./..."); err != nil {
			return fmt.Errorf("%s does not compile with %s of what it needs: %w", m.path, r.version, err)
		}
		imports, err := command(dir, env, "go", "list", "-f", `{{join .Imports "\n"}}`, "./...")
		if err != nil {
			return err
		}
		if err := m.alone(strings.Fields(imports)); err != nil {
			return err
		}
		if err := r.commit("Release " + m.tag(r.version)); err != nil {
			return err
		}
		if err := r.tag(m); err != nil {
			return err
		}
	}
	return nil
}

// alone refuses a module that imports internal packages of another: a host may have
// another version of that one, in which they have changed. Examples are no part of a host.
func (m module) alone(imports []string) error {
	for _, i := range imports {
		if ours(i) && strings.Contains(i, "/internal/") && !strings.HasPrefix(i, m.path+"/") && !strings.HasPrefix(m.dir, "examples/") {
			return fmt.Errorf("%s uses %s: with another version of that, a host would not compile", m.path, i)
		}
	}
	return nil
}
