package main

import (
	"archive/zip"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/modfile"
)

const repository = "../../.."

// clone returns a clone of this repository on main, with something unreleased.
func clone(t *testing.T) string {
	t.Helper()
	from, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	// Always the same directory, so that what was compiled there is compiled once.
	dir := filepath.Join(from, ".cache", "release", "test", "beacon")
	if err := os.RemoveAll(filepath.Dir(dir)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(filepath.Dir(dir)) })
	if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
		t.Fatal(err)
	}
	// Without tags: what is released by now makes no difference.
	mustGit(t, "", "clone", "-q", "--shared", "--no-tags", from, dir)
	mustGit(t, dir, "checkout", "-q", "-B", "main")
	mustGit(t, dir, "remote", "set-url", "origin", dir) // what is released elsewhere is of no concern
	mustGit(t, dir, "config", "user.name", "Test")
	mustGit(t, dir, "config", "user.email", "test@example.org")
	edit(t, dir, "CHANGELOG.md", "## Unreleased\n", "## Unreleased\n\n- A test.\n")
	mustGit(t, dir, "commit", "-q", "--all", "-m", "Something to release")
	return dir
}

// edit replaces the first of a text in a file, or writes the file if old is empty.
func edit(t *testing.T, dir, name, old, is string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if old != "" {
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), old) {
			t.Fatalf("%s has no %q: %v", name, old, err)
		}
		is = strings.Replace(string(text), old, is, 1)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(is), 0o666); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, env []string, dir, name string, args ...string) string {
	t.Helper()
	out, err := command(dir, env, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func mustGit(t *testing.T, dir string, args ...string) string {
	t.Helper()
	return must(t, nil, dir, "git", args...)
}

// state is what a release changes of a repository.
func state(t *testing.T, dir string) string {
	t.Helper()
	return mustGit(t, dir, "show-ref", "--head", "-d") + "\n" + mustGit(t, dir, "status", "--porcelain")
}

// next returns a version that nobody else uses: the module cache is shared.
func next() string {
	return "v1.0.0-proof." + strconv.FormatInt(time.Now().UnixNano(), 36) + "x"
}

// TestRelease makes a release with the one command, has the go command build a module
// proxy from its tags, and lets a host outside the tree use all of it by version.
func TestRelease(t *testing.T) {
	repo := clone(t)
	version := next()
	main := mustGit(t, repo, "rev-parse", "main")
	script, err := filepath.Abs(filepath.Join(repository, ".ci", "release"))
	if err != nil {
		t.Fatal(err)
	}
	out := must(t, nil, repo, script, "-C", repo, version)
	t.Log(out)

	list, err := modules(repo)
	if err != nil {
		t.Fatal(err)
	}
	all := append([]module{{path: rootModule, dir: "."}}, list...)
	for _, m := range all {
		if !strings.Contains(out, " "+m.tag(version)) {
			t.Errorf("%s is not to be pushed", m.tag(version))
		}
	}
	if status := mustGit(t, repo, "status", "--porcelain"); status != "" {
		t.Errorf("not committed:\n%s", status)
	}
	if tagged, parent := mustGit(t, repo, "rev-parse", "main", version+"^{}"), mustGit(t, repo, "rev-parse", "main^"); parent != main || len(strings.Fields(tagged)) != 2 ||
		strings.Fields(tagged)[0] != strings.Fields(tagged)[1] {
		t.Errorf("the root is not tagged on main: %s, %s, before %s", tagged, parent, main)
	}
	if changelog := mustGit(t, repo, "show", version+":CHANGELOG.md"); !strings.Contains(changelog, "\n## Unreleased\n\n## "+version[1:]+" - ") {
		t.Error("CHANGELOG.md is without an entry")
	}

	// A proxy in a folder, from the tags alone.
	dir := t.TempDir()
	for _, m := range all {
		z, err := fetch(dir, repo, m.path, version)
		if err != nil {
			t.Fatal(err)
		}
		sane(t, m, z)
	}
	env, err := proxyEnv(dir)
	if err != nil {
		t.Fatal(err)
	}
	cache := must(t, nil, dir, "go", "env", "GOMODCACHE")
	t.Cleanup(func() { forget(cache, version) })

	t.Run("tags", func(t *testing.T) {
		for _, m := range list {
			mustGit(t, repo, "checkout", "-q", "--detach", m.tag(version))
			at := filepath.Join(repo, filepath.FromSlash(m.dir))
			file, err := readModfile(filepath.Join(at, "go.mod"))
			if err != nil {
				t.Fatal(err)
			}
			if len(file.Replace) > 0 || !requires(file, rootModule, version) {
				t.Errorf("%s: %+v", m.dir, file.Replace)
			}
			must(t, env, at, "go", "mod", "tidy", "-diff")
			must(t, env, at, "go", "build", "-mod=readonly", "-o", os.DevNull, "./...")
		}
	})
	t.Run("host", func(t *testing.T) { host(t, repo, env, list, version) })
	t.Run("programs", func(t *testing.T) {
		bin := t.TempDir()
		for _, m := range list {
			if strings.HasPrefix(m.dir, "examples/") {
				must(t, append(env, "GOBIN="+bin), bin, "go", "install", m.path+"@"+version)
			}
		}
		must(t, append(env, "GOBIN="+bin), bin, "go", "install", rootModule+"/examples/demo@"+version, rootModule+"/spool/cmd/beacon-spool@"+version)
		built, err := os.ReadDir(bin)
		if err != nil || len(built) < 4 {
			t.Errorf("%d programs were built: %v", len(built), err)
		}
	})
	t.Run("npm", func(t *testing.T) {
		tarball := regexp.MustCompile(`(?m)npm publish .* (\S+\.tgz)$`).FindStringSubmatch(out)
		if tarball == nil {
			t.Fatal("no tarball")
		}
		page := t.TempDir()
		edit(t, page, "package.json", "", `{"name": "page", "private": true, "type": "module"}`)
		must(t, nil, page, "npm", "install", "--offline", "--no-fund", "--no-audit", "--silent", tarball[1])
		got := must(t, nil, page, "node", "--input-type=module", "-e", `
			import { log } from "@pagebeacon/beacon";
			import p from "@pagebeacon/beacon/package.json" with { type: "json" };
			console.log(typeof log, p.version);`)
		if want := "function " + version[1:]; got != want {
			t.Errorf("%q instead of %q", got, want)
		}
	})
}

// host takes each module by its version into a module of its own, and builds the README's
// programs and one for each connector there.
func host(t *testing.T, repo string, env []string, list []module, version string) {
	mustGit(t, repo, "checkout", "-q", "main")
	dir := t.TempDir()
	must(t, env, dir, "go", "mod", "init", "host.example")
	readme, err := os.ReadFile(filepath.Join(repo, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	programs := 0
	for _, fragment := range regexp.MustCompile("(?ms)^```go\n(.*?)^```").FindAllSubmatch(readme, -1) {
		if regexp.MustCompile(`(?m)^package main$`).Match(fragment[1]) {
			programs++
			edit(t, dir, fmt.Sprintf("readme%d/main.go", programs), "", string(fragment[1]))
		}
	}
	if programs == 0 {
		t.Error("the README has no program")
	}
	get := []string{rootModule}
	for _, m := range list {
		if strings.HasPrefix(m.dir, "connect/") {
			get = append(get, m.path)
			program, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(m.dir), "main.go"))
			if err != nil {
				t.Fatal(err)
			}
			edit(t, dir, m.dir+"/main.go", "", string(program))
		}
	}
	for _, path := range get {
		must(t, env, dir, "go", "get", path+"@"+version)
	}
	file, err := readModfile(filepath.Join(dir, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range get {
		if !requires(file, path, version) {
			t.Errorf("the host does not require %s %s", path, version)
		}
	}
	must(t, env, dir, "go", "mod", "tidy")
	must(t, env, dir, "go", "build", "-o", os.DevNull, "./...")
}

func requires(file *modfile.File, path, version string) bool {
	for _, r := range file.Require {
		if r.Mod.Path == path && r.Mod.Version == version {
			return true
		}
	}
	return false
}

// sane looks at what everybody has to download.
func sane(t *testing.T, m module, z fetched) {
	t.Helper()
	r, err := zip.OpenReader(z.Zip)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	license, unpacked := false, uint64(0)
	for _, f := range r.File {
		unpacked += f.UncompressedSize64
		if strings.HasSuffix(f.Name, "/LICENSE") {
			license = true
		}
		if f.UncompressedSize64 > 200_000 || regexp.MustCompile(`/(node_modules|\.cache)/`).MatchString(f.Name) {
			t.Errorf("%s, %d bytes: what is it good for to those who use the module?", f.Name, f.UncompressedSize64)
		}
	}
	t.Logf("%s: %d files, %d KB, unpacked %d KB", m.path, len(r.File), z.size/1000, unpacked/1000)
	if !license {
		t.Errorf("%s has no license", m.path)
	}
	if z.size > 4_000_000 {
		t.Errorf("%s has %d bytes", m.path, z.size)
	}
}
