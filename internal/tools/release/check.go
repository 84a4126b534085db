package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/semver"
)

// check refuses what can be refused at once.
func (r *release) check() error {
	if err := wellFormed(r.version); err != nil {
		return err
	}
	var err error
	if r.root, err = git(r.root, "rev-parse", "--show-toplevel"); err != nil { // commands run elsewhere, too
		return err
	}
	branch, err := git(r.root, "rev-parse", "--abbrev-ref", "HEAD")
	if err != nil {
		return err
	}
	if branch != "main" {
		return fmt.Errorf("this is %s: releases are made from main", branch)
	}
	dirty, err := git(r.root, "status", "--porcelain")
	if err != nil {
		return err
	}
	if dirty != "" {
		return fmt.Errorf("not everything is committed:\n%s", dirty)
	}
	if r.head, err = git(r.root, "rev-parse", "HEAD"); err != nil {
		return err
	}
	tags, err := git(r.root, "tag", "--list")
	if err != nil {
		return err
	}
	known := strings.Fields(tags)
	remote, err := git(r.root, "ls-remote", "--quiet", "origin", "refs/heads/main", "refs/tags/*")
	if err != nil {
		return fmt.Errorf("what was released before is not known: %w", err)
	}
	for line := range strings.Lines(remote) {
		hash, ref, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if ref == "refs/heads/main" {
			if _, err := git(r.root, "merge-base", "--is-ancestor", hash, r.head); err != nil {
				return fmt.Errorf("main at origin, %.12s, is not in main here: git pull --rebase", hash)
			}
		}
		if tag, ok := strings.CutPrefix(ref, "refs/tags/"); ok {
			known = append(known, strings.TrimSuffix(tag, "^{}"))
		}
	}
	r.before, err = follows(r.version, known)
	return err
}

func wellFormed(version string) error {
	switch {
	case !semver.IsValid(version), semver.Canonical(version) != version:
		return fmt.Errorf("%q is no version: v1.2.3, or v1.2.3-rc.1", version)
	case semver.Compare(version, "v2.0.0-0") >= 0:
		return fmt.Errorf("%s: from v2 on the path of a module ends in its major version, so go.mod, every import and the connectors have to say %s/%s first, and this program with them",
			version, rootModule, semver.Major(version))
	}
	return nil
}

// follows refuses a version that is there already, or does not come next. It returns the
// release before it.
func follows(version string, tags []string) (before string, err error) {
	var last string // also of pre-releases
	for _, tag := range tags {
		of := tag[strings.LastIndex(tag, "/")+1:]
		if of == version {
			return "", fmt.Errorf("the tag %s is there already: what has a version never changes, so take the next", tag)
		}
		if tag != of || !semver.IsValid(tag) {
			continue
		}
		if semver.Compare(tag, last) > 0 {
			last = tag
		}
		if semver.Prerelease(tag) == "" && semver.Compare(tag, before) > 0 {
			before = tag
		}
	}
	if last == "" {
		return "", nil
	}
	if semver.Compare(version, last) < 0 {
		return "", fmt.Errorf("%s is older than %s", version, last)
	}
	if before == "" {
		return "", nil
	}
	major, minor, patch := numbers(before)
	base, _, _ := strings.Cut(version, "-")
	if slices.Contains([]string{
		fmt.Sprintf("v%d.%d.%d", major, minor, patch+1), fmt.Sprintf("v%d.%d.0", major, minor+1), fmt.Sprintf("v%d.0.0", major+1),
	}, base) {
		return before, nil
	}
	return "", fmt.Errorf("%s does not follow %s", version, before)
}

func numbers(version string) (major, minor, patch int) {
	version, _, _ = strings.Cut(version, "-")
	n := make([]int, 3)
	for i, text := range strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3) {
		n[i], _ = strconv.Atoi(text)
	}
	return n[0], n[1], n[2]
}

// api compares the public API with its snapshot, which the gate reviews, and with the
// release before.
func (r *release) api() error {
	apidiff := filepath.Join(r.tmp, "apidiff")
	if _, err := command(filepath.Join(r.root, "internal", "tools"), nil, "go", "build", "-o", apidiff, "golang.org/x/exp/cmd/apidiff"); err != nil {
		return err
	}
	say("the API and its snapshot")
	changed, err := command(r.root, nil, apidiff, "-m", ".ci/api.export", rootModule)
	if err != nil {
		return err
	}
	if changed = changes(changed); changed != "" {
		return fmt.Errorf("the API is not that of its snapshot, so this was not reviewed:\n%s", changed)
	}
	if r.before == "" {
		return nil
	}
	say("the API and that of %s", r.before)
	old := filepath.Join(r.tmp, "before")
	if _, err := git(r.repo(), "worktree", "add", "-q", "--detach", old, r.before); err != nil {
		return fmt.Errorf("%s is not here to compare with: git fetch --tags: %w", r.before, err)
	}
	list, err := modules(r.repo())
	if err != nil {
		return err
	}
	var broken, grown strings.Builder
	for _, m := range append([]module{{path: rootModule, dir: "."}}, list...) {
		was, is := filepath.Join(old, filepath.FromSlash(m.dir)), filepath.Join(r.root, filepath.FromSlash(m.dir))
		if _, err := os.Stat(filepath.Join(was, "go.mod")); err != nil || strings.HasPrefix(m.dir, "examples/") {
			continue // new, or a program
		}
		if same, err := git(r.repo(), "diff", "--name-only", r.before, "--", m.dir, ":!*_test.go", ":!*.md"); err != nil {
			return err
		} else if same == "" {
			continue
		}
		export := filepath.Join(r.tmp, "before.export")
		if _, err := command(was, nil, apidiff, "-m", "-w", export, m.path); err != nil {
			return err
		}
		incompatible, err := command(is, nil, apidiff, "-m", "-incompatible", export, m.path)
		if err != nil {
			return err
		}
		all, err := command(is, nil, apidiff, "-m", export, m.path)
		if err != nil {
			return err
		}
		broken.WriteString(changes(incompatible))
		grown.WriteString(changes(all))
	}
	return allowed(r.before, r.version, broken.String(), grown.String())
}

// changes returns the changes that apidiff has printed, without those of examples: these
// are programs to be read.
func changes(printed string) string {
	var kept strings.Builder
	for line := range strings.Lines(printed) {
		if strings.HasPrefix(line, "- ") && !strings.Contains(line, "/examples/") {
			kept.WriteString(strings.TrimSpace(line) + "\n")
		}
	}
	return kept.String()
}

// allowed says whether a version may have these changes of the API.
func allowed(before, version, incompatible, all string) error {
	major, minor, _ := numbers(before)
	toMajor, toMinor, _ := numbers(version)
	switch {
	case incompatible != "" && toMajor == major && (major > 0 || toMinor == minor):
		return fmt.Errorf("%s breaks what %s promised:\n%s", version, before, incompatible)
	case all != "" && toMajor == major && toMinor == minor:
		return fmt.Errorf("%s has more than %s, so it is no patch but a minor version:\n%s", version, before, all)
	}
	return nil
}
