package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/mod/semver"
)

// root is the path of the module in the directory that the tags without a prefix are of.
const rootModule = "github.com/pagebeacon/beacon"

type release struct {
	root    string // the repository
	tmp     string // of this run, with the clone in repo and what [fetch] got from it in mod
	version string
	today   string
	head    string   // main, before
	tags    []string // in the order in which they were made
	before  string   // the last release of the same major version, or empty
	cache   string   // the module cache
	tarball string
}

func (r *release) repo() string { return filepath.Join(r.tmp, "repo") }

// open clones the repository to where the release is made.
func (r *release) open() error {
	say("a clone of main")
	if _, err := git(r.tmp, "clone", "-q", "--shared", "--branch", "main", r.root, r.repo()); err != nil {
		return err
	}
	for _, key := range []string{"user.name", "user.email"} {
		value, err := git(r.root, "config", key)
		if err != nil {
			return fmt.Errorf("git has no %s, and the release has commits", key)
		}
		if _, err := git(r.repo(), "config", key, value); err != nil {
			return err
		}
	}
	var err error
	r.cache, err = command(r.tmp, nil, "go", "env", "GOMODCACHE")
	return err
}

// changelog brings CHANGELOG.md and the npm package to the version, if they are not.
func (r *release) changelog() error {
	path := filepath.Join(r.repo(), "CHANGELOG.md")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	moved, what, err := changelog(string(text), strings.TrimPrefix(r.version, "v"), r.today)
	if err != nil {
		return err
	}
	say("CHANGELOG.md: %s", what)
	if err := os.WriteFile(path, []byte(moved), 0o666); err != nil {
		return err
	}
	path = filepath.Join(r.repo(), "client", "package.json")
	text, err = os.ReadFile(path)
	if err != nil {
		return err
	}
	line := regexp.MustCompile(`(?m)^  "version": "[^"]*"`)
	if len(line.FindAll(text, -1)) != 1 {
		return fmt.Errorf("client/package.json has no line with the version")
	}
	text = line.ReplaceAll(text, []byte(`  "version": "`+strings.TrimPrefix(r.version, "v")+`"`))
	if err := os.WriteFile(path, text, 0o666); err != nil {
		return err
	}
	return r.commit("Release " + r.version)
}

// commit commits what was changed in the clone, if anything was.
func (r *release) commit(message string) error {
	changed, err := git(r.repo(), "status", "--porcelain")
	if err != nil || changed == "" {
		return err
	}
	// Also what is new, as the go.sum of a module that needed none.
	if _, err := git(r.repo(), "add", "--all"); err != nil {
		return err
	}
	_, err = git(r.repo(), "commit", "-q", "-m", message)
	return err
}

// tagRoot tags the root module on main.
func (r *release) tagRoot() error {
	say("vet and tidy of the root")
	if _, err := command(r.root, nil, "go", "mod", "tidy", "-diff"); err != nil {
		return err
	}
	if _, err := command(r.root, nil, "go", "vet", "./..."); err != nil {
		return err
	}
	return r.tag(module{path: rootModule, dir: "."})
}

// tag tags what is committed in the clone, and has go fetch it by that tag.
func (r *release) tag(m module) error {
	tag := m.tag(r.version)
	if _, err := git(r.repo(), "tag", "-a", "-m", tag, tag); err != nil {
		return err
	}
	z, err := fetch(r.tmp, r.repo(), m.path, r.version)
	if err != nil {
		return err
	}
	r.tags = append(r.tags, tag)
	say("%s: %d KB, %s", tag, z.size/1000, z.Sum)
	return nil
}

// pack makes the tarball of the npm package.
func (r *release) pack() error {
	dir, err := filepath.Abs(filepath.Join(r.root, ".cache", "release", r.version))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	out, err := command(filepath.Join(r.repo(), "client"), nil, "npm", "pack", "--json", "--silent", "--pack-destination", dir)
	if err != nil {
		return err
	}
	var packed []struct{ Filename, Version string }
	if err := json.Unmarshal([]byte(out), &packed); err != nil || len(packed) != 1 {
		return fmt.Errorf("npm pack: %v %s", err, out)
	}
	if packed[0].Version != strings.TrimPrefix(r.version, "v") {
		return fmt.Errorf("npm packed version %s", packed[0].Version)
	}
	r.tarball = filepath.Join(dir, packed[0].Filename)
	say("%s", r.tarball)
	return nil
}

// publish takes main and the tags from the clone, and says what to push.
func (r *release) publish() error {
	if _, err := git(r.root, "fetch", "-q", "--no-tags", r.repo(), "refs/heads/main"); err != nil {
		return err
	}
	if _, err := git(r.root, "merge", "-q", "--ff-only", "FETCH_HEAD"); err != nil {
		return err
	}
	fetch := []string{"fetch", "-q", "--no-tags", "--atomic", r.repo()}
	for _, tag := range r.tags {
		fetch = append(fetch, "refs/tags/"+tag+":refs/tags/"+tag)
	}
	if _, err := git(r.root, fetch...); err != nil {
		if _, undo := git(r.root, "reset", "-q", "--keep", r.head); undo != nil {
			return fmt.Errorf("%w; and main has the commit of the release: %w", err, undo)
		}
		return err
	}
	npm := ""
	if semver.Prerelease(r.version) != "" {
		npm = " --tag next"
	}
	fmt.Printf(`
Nothing is pushed yet. If CI passes for main as it is now:

  git push --atomic origin main %s
  npm publish --access public%s %s

and to take it back until then:

  git tag -d %[1]s
  git reset --keep %[4]s
`, strings.Join(r.tags, " "), npm, r.tarball, r.head)
	return nil
}
