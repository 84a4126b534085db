package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRefused breaks one precondition after the other. Each is named, and leaves the
// repository as it was.
func TestRefused(t *testing.T) {
	repo := clone(t)
	for _, c := range []struct {
		name, version, want string
		breaks              func(t *testing.T)
	}{
		{"no version", "1.2.3", `"1.2.3" is no version`, nil},
		{"half a version", "v1.2", `"v1.2" is no version`, nil},
		{"leading zero", "v1.02.3", "is no version", nil},
		{"build metadata", "v1.2.3+linux", "is no version", nil},
		{"an option", "--force", "is no version", nil},
		{"major version 2", "v2.0.0", "go.mod, every import and the connectors have to say github.com/pagebeacon/beacon/v2 first", nil},
		{"major version 2, before it is out", "v2.0.0-rc.1", "beacon/v2 first", nil},
		{"untracked file", "v1.0.0", "not everything is committed:\n?? draft.go", func(t *testing.T) { edit(t, repo, "draft.go", "", "package beacon\n") }},
		{"changed file", "v1.0.0", "not everything is committed:\nM README.md", func(t *testing.T) { edit(t, repo, "README.md", "# beacon", "# Beacon") }},
		{"another branch", "v1.0.0", "this is next: releases are made from main", func(t *testing.T) { mustGit(t, repo, "checkout", "-q", "-b", "next") }},
		{"no branch", "v1.0.0", "releases are made from main", func(t *testing.T) { mustGit(t, repo, "checkout", "-q", "--detach") }},
		{"tag of the root", "v1.0.0", "the tag v1.0.0 is there already", func(t *testing.T) { mustGit(t, repo, "tag", "v1.0.0") }},
		{"tag of a module", "v1.0.0", "the tag connect/nats/v1.0.0 is there already", func(t *testing.T) { mustGit(t, repo, "tag", "connect/nats/v1.0.0") }},
		{"older than a release", "v1.1.1", "v1.1.1 is older than v1.2.0", func(t *testing.T) { mustGit(t, repo, "tag", "v1.2.0") }},
		{"older than a pre-release", "v1.0.0-beta.1", "is older than v1.0.0-rc.1", func(t *testing.T) { mustGit(t, repo, "tag", "v1.0.0-rc.1") }},
		{"versions left out", "v1.3.1", "v1.3.1 does not follow v1.2.0", func(t *testing.T) { mustGit(t, repo, "tag", "v1.2.0") }},
		{"released by somebody else", "v1.0.0", "the tag v1.0.0 is there already", func(t *testing.T) {
			mustGit(t, repo, "remote", "set-url", "origin", ahead(t, repo, "tag", "v1.0.0"))
		}},
		{"behind origin", "v1.0.0", "is not in main here", func(t *testing.T) {
			mustGit(t, repo, "remote", "set-url", "origin", ahead(t, repo, "commit", "-q", "--allow-empty", "-m", "More"))
		}},
		{"no origin", "v1.0.0", "what was released before is not known", func(t *testing.T) { mustGit(t, repo, "remote", "set-url", "origin", repo+"x") }},
		{"nothing to say", "v1.0.0", "nothing under Unreleased", func(t *testing.T) {
			edit(t, repo, "CHANGELOG.md", "", "# Changelog\n\n## Unreleased\n")
			mustGit(t, repo, "commit", "-q", "-a", "-m", "Nothing")
		}},
		{"an entry without a date", "v1.0.0", "the heading of 1.0.0 has no date", func(t *testing.T) {
			edit(t, repo, "CHANGELOG.md", "", "# Changelog\n\n## 1.0.0\n\n- All.\n")
			mustGit(t, repo, "commit", "-q", "-a", "-m", "No date")
		}},
		{"an entry, and more unreleased", "v1.0.0", "it belongs to one of them", func(t *testing.T) {
			edit(t, repo, "CHANGELOG.md", "", "# Changelog\n\n## Unreleased\n\n- More.\n\n## 1.0.0 - 2026-01-01\n\n- All.\n")
			mustGit(t, repo, "commit", "-q", "-a", "-m", "Both")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			head := mustGit(t, repo, "rev-parse", "main")
			if c.breaks != nil {
				c.breaks(t)
			}
			before := state(t, repo)
			err := run(repo, c.version, false)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v\nwanted: %s", err, c.want)
			}
			if after := state(t, repo); after != before {
				t.Errorf("left behind:\n%s\ninstead of:\n%s", after, before)
			}
			mustGit(t, repo, "checkout", "-q", "--force", "-B", "main", head)
			mustGit(t, repo, "clean", "-qfd")
			mustGit(t, repo, "remote", "set-url", "origin", repo)
			for tag := range strings.FieldsSeq(mustGit(t, repo, "tag", "--list")) {
				mustGit(t, repo, "tag", "-d", tag)
			}
		})
	}
}

// ahead returns a clone in which one git command more was run.
func ahead(t *testing.T, repo string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	mustGit(t, dir, "clone", "-q", "--shared", repo, ".")
	mustGit(t, dir, append([]string{"-c", "user.name=Other", "-c", "user.email=other@example.org"}, args...)...)
	return dir
}

// TestBroken has main in a state in which the release begins, and cannot end.
func TestBroken(t *testing.T) {
	t.Run("a module that does not compile", func(t *testing.T) {
		repo := clone(t)
		// What is in the directory of another module is on main, and in no release of the root.
		edit(t, repo, "connect/kafka/later.go", "", "package kafka\n\nvar _ = beacon.NotReleasedYet\n")
		edit(t, repo, "connect/kafka/later.go", "package kafka\n", "package kafka\n\nimport \"github.com/pagebeacon/beacon\"\n")
		mustGit(t, repo, "add", "--all")
		mustGit(t, repo, "commit", "-q", "-m", "Too early")
		before := state(t, repo)
		version := next()
		err := run(repo, version, false)
		if err == nil || !strings.Contains(err.Error(), "connect/kafka does not compile with "+version) || !strings.Contains(err.Error(), "NotReleasedYet") {
			t.Error(err)
		}
		if after := state(t, repo); after != before {
			t.Errorf("left behind:\n%s\ninstead of:\n%s", after, before)
		}
	})
	t.Run("an API that lost something", func(t *testing.T) {
		repo := clone(t)
		edit(t, repo, "limit/extra.go", "", "package limit\n\n// Extra was promised.\nfunc Extra() {}\n")
		mustGit(t, repo, "add", "--all")
		mustGit(t, repo, "commit", "-q", "-m", "A promise")
		mustGit(t, repo, "tag", "v1.9.0")
		mustGit(t, repo, "rm", "-q", "limit/extra.go")
		mustGit(t, repo, "commit", "-q", "-m", "Forgotten")
		before := state(t, repo)
		err := run(repo, "v1.10.0", false)
		if err == nil || !strings.Contains(err.Error(), "v1.10.0 breaks what v1.9.0 promised") || !strings.Contains(err.Error(), "Extra: removed") {
			t.Error(err)
		}
		if after := state(t, repo); after != before {
			t.Errorf("left behind:\n%s\ninstead of:\n%s", after, before)
		}
	})
	t.Run("a tag that comes at the last moment", func(t *testing.T) {
		repo := clone(t)
		r := release{root: repo, tmp: t.TempDir(), version: "v1.0.0", head: mustGit(t, repo, "rev-parse", "main"), tags: []string{"v1.0.0", "connect/nats/v1.0.0"}}
		mustGit(t, "", "clone", "-q", "--shared", repo, r.repo())
		mustGit(t, r.repo(), "-c", "user.name=Test", "-c", "user.email=test@example.org", "commit", "-q", "--allow-empty", "-m", "Release")
		for _, tag := range r.tags {
			mustGit(t, r.repo(), "tag", tag)
		}
		mustGit(t, repo, "tag", "connect/nats/v1.0.0")
		before := state(t, repo)
		if err := r.publish(); err == nil {
			t.Error("a tag was overwritten")
		}
		if after := state(t, repo); after != before {
			t.Errorf("left behind:\n%s\ninstead of:\n%s", after, before)
		}
	})
}

// TestDry does all of it for the root alone, and then forgets it.
func TestDry(t *testing.T) {
	repo := clone(t)
	list, err := modules(repo)
	if err != nil || len(list) < 3 {
		t.Fatal(list, err)
	}
	for _, m := range list {
		mustGit(t, repo, "rm", "-rq", m.dir)
	}
	mustGit(t, repo, "commit", "-q", "-m", "The root alone")
	before := state(t, repo)
	version := next()
	// From wherever in the repository it is called, and however that is written.
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	below, err := filepath.Rel(here, filepath.Join(repo, "client"))
	if err != nil {
		t.Fatal(err)
	}
	if err := run(below, version, true); err != nil {
		t.Error(err)
	}
	if after := state(t, repo); after != before {
		t.Errorf("left behind:\n%s\ninstead of:\n%s", after, before)
	}
	for _, pattern := range []string{rootModule + "@" + version, "cache/download/" + rootModule + "/@v/" + version + "*"} {
		if found, _ := filepath.Glob(filepath.Join(must(t, nil, repo, "go", "env", "GOMODCACHE"), pattern)); len(found) > 0 {
			t.Errorf("still in the module cache: %s", found)
		}
	}
}

// TestCommit: a file that the go command has made is in the release, too.
func TestCommit(t *testing.T) {
	r := release{tmp: t.TempDir()}
	mustGit(t, r.tmp, "init", "-q", "repo")
	mustGit(t, r.repo(), "config", "user.name", "Test")
	mustGit(t, r.repo(), "config", "user.email", "test@example.org")
	edit(t, r.repo(), "connect/new/go.sum", "", "a.example v1.0.0 h1:\n")
	for range 2 { // the second time there is nothing to do
		if err := r.commit("Release"); err != nil {
			t.Fatal(err)
		}
	}
	if got := mustGit(t, r.repo(), "log", "--name-only", "--format="); got != "connect/new/go.sum" {
		t.Errorf("%q is in the commits", got)
	}
}

func TestAllowed(t *testing.T) {
	for _, c := range []struct {
		before, version, incompatible, all string
		ok                                 bool
	}{
		{"v1.2.3", "v1.2.4", "", "", true},
		{"v1.2.3", "v1.2.4", "", "X: added", false},
		{"v1.2.3", "v1.2.4", "X: removed", "X: removed", false},
		{"v1.2.3", "v1.3.0", "", "X: added", true},
		{"v1.2.3", "v1.3.0-rc.1", "X: removed", "X: removed", false},
		{"v0.2.3", "v0.3.0", "X: removed", "X: removed", true},
		{"v0.2.3", "v0.2.4", "X: removed", "X: removed", false},
		{"v0.2.3", "v1.0.0", "X: removed", "X: removed", true},
	} {
		if err := allowed(c.before, c.version, c.incompatible, c.all); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestChanges(t *testing.T) {
	const printed = `Incompatible changes:
- package github.com/pagebeacon/beacon/examples/old: removed
- ./limit.Extra: removed
Compatible changes:
- ./examples/demo.X: added
- ErrFull: added
`
	if got, want := changes(printed), "- ./limit.Extra: removed\n- ErrFull: added\n"; got != want {
		t.Errorf("%q instead of %q", got, want)
	}
}

func TestFollows(t *testing.T) {
	for _, c := range []struct {
		version, tags, before string
		ok                    bool
	}{
		{"v1.0.0", "", "", true},
		{"v1.0.0", "v1.0.0-rc.1 v1.0.0-rc.2", "", true},
		{"v1.0.0-rc.10", "v1.0.0-rc.9", "", true},
		{"v1.10.0", "v1.9.0 connect/nats/v1.9.0 v1.8.3 docs", "v1.9.0", true},
		{"v1.9.1", "v1.9.0 v1.10.0-rc.1", "", false},
		{"v1.10.0", "v1.9.0 v1.10.0-rc.1", "v1.9.0", true},
		{"v1.9.1", "v1.9.0", "v1.9.0", true},
		{"v1.0.0", "v0.4.0", "v0.4.0", true},
		{"v1.9.3", "v1.9.1", "", false},
		{"v1.9.1", "examples/fleet/v1.9.1", "", false},
	} {
		before, err := follows(c.version, strings.Fields(c.tags))
		if (err == nil) != c.ok || c.ok && before != c.before {
			t.Errorf("%+v: %q, %v", c, before, err)
		}
	}
}

func TestChangelog(t *testing.T) {
	const head, older = "# Changelog\n\nHow it is written.\n\n", "## 1.1.0 - 2026-02-03\n\n- Old.\n"
	for _, c := range []struct{ text, want, fails string }{
		{head + "## Unreleased\n\n- New.\n\n" + older, head + "## Unreleased\n\n## 1.2.0 - 2026-03-04\n\n- New.\n\n" + older, ""},
		{head + "## Unreleased\n\n## 1.2.0 - 2026-03-01\n\n- New.\n\n" + older, "", ""},
		{head + "## 1.2.0 - 2026-03-04\n\n- New.\n\n" + older, "", ""},
		{head + "## Unreleased\n\n" + older, "", "nothing under Unreleased"},
		{head + older, "", "nothing under Unreleased"},
		{head + "## 1.2.0 - 2026-03-04\n\n" + older, "", "says nothing about 1.2.0"},
		{head + "## 1.2.0 - 2026-03-05\n\n- New.\n", "", "the date of 1.2.0 is 2026-03-05"},
		{head + "## 1.2.0 - soon\n\n- New.\n", "", "the date of 1.2.0 is soon"},
		{head + "## 1.2.0\n\n- New.\n", "", "has no date"},
		{head + "## Unreleased\n\n- More.\n\n## 1.2.0 - 2026-03-04\n\n- New.\n", "", "belongs to one of them"},
	} {
		got, _, err := changelog(c.text, "1.2.0", "2026-03-04")
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%q: %v", c.text, err)
			}
			continue
		}
		if c.want == "" {
			c.want = c.text
		}
		if err != nil || got != c.want {
			t.Errorf("%q: %v, %q", c.text, err, got)
		}
	}
}

func TestModules(t *testing.T) {
	list, err := inOrder([]module{{path: "c", needs: []string{"b"}}, {path: "a"}, {path: "b", needs: []string{"a"}}})
	if err != nil || list[0].path != "a" || list[1].path != "b" || list[2].path != "c" {
		t.Error(list, err)
	}
	if _, err := inOrder([]module{{path: "a", needs: []string{"a/internal/b"}}}); err == nil {
		t.Error("a module that is not released may be required")
	}
	kafka := module{path: rootModule + "/connect/kafka", dir: "connect/kafka"}
	if err := kafka.alone([]string{rootModule, rootModule + "/connect", rootModule + "/connect/kafka/internal/x", "a.example/internal/x"}); err != nil {
		t.Error(err)
	}
	if err := kafka.alone([]string{rootModule + "/internal/wire"}); err == nil {
		t.Error("a connector may use what is internal to the root")
	}

	name := t.TempDir() + "/go.mod"
	for _, c := range []struct{ text, want string }{
		{"module x\n\nrequire (\n\t" + rootModule + " v0.0.0\n\ta.example v1.0.0\n)\n\nreplace " + rootModule + " => ../..\n",
			"module x\n\nrequire (\n\t" + rootModule + " v1.2.3\n\ta.example v1.0.0\n)\n"},
		{"module x\n\nreplace a.example => ../a\n", ""},
	} {
		if err := os.WriteFile(name, []byte(c.text), 0o666); err != nil {
			t.Fatal(err)
		}
		err := pin(name, "v1.2.3")
		got, _ := os.ReadFile(name)
		if c.want == "" && err == nil || c.want != "" && (err != nil || string(got) != c.want) {
			t.Errorf("%v\n%s", err, got)
		}
	}
}
