// Command gen builds the files of client/dist from the browser client's source, each
// also compressed as it is served. Run it in its own directory, or give it the path of
// the client:
//
//	go run . [../../client]
//
// After a change that is to stay, names that compress better can be searched for, which
// takes minutes, and are then in names.json for the next build. It goes on from those that
// are there; without them it begins anew, which after large changes is better:
//
//	echo '{}' >names.json && go run . -search && go run .
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/evanw/esbuild/pkg/api"
)

// An output is a built file.
type output struct {
	name   string
	source string
	format api.Format

	// instead names a module, and what stands in its place in this file.
	instead [2]string

	inline bool // in pages, which are compressed as a whole
}

func outputs() []output {
	alone, light := [2]string{"plug.js", "alone.js"}, [2]string{"store.js", "nostore.js"}
	return []output{
		{name: "beacon.min.mjs", source: "beacon.js", format: api.FormatESModule},
		{name: "beacon.min.js", source: "src/classic.js", format: api.FormatIIFE},
		{name: "beacon.light.min.mjs", source: "beacon.js", format: api.FormatESModule, instead: light},
		{name: "beacon.light.min.js", source: "src/classic.js", format: api.FormatIIFE, instead: light},
		{name: "core.min.mjs", source: "src/core.entry.js", format: api.FormatESModule, instead: alone},
		{name: "auto.min.mjs", source: "src/auto.entry.js", format: api.FormatESModule},
		{name: "auto.min.js", source: "src/auto.classic.js", format: api.FormatIIFE},
		{name: "debug.min.mjs", source: "src/debug.js", format: api.FormatESModule},
		{name: "stub.js", source: "src/stub.js", inline: true},
	}
}

// plugins puts a module in the place of another: of functions that do nothing, so that
// the calls are left out.
func (o output) plugins() []api.Plugin {
	from, to := o.instead[0], o.instead[1]
	if from == "" {
		return nil
	}
	return []api.Plugin{{Name: to, Setup: func(b api.PluginBuild) {
		b.OnResolve(api.OnResolveOptions{Filter: "/" + regexp.QuoteMeta(from) + "$"}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
			return api.OnResolveResult{Path: filepath.Join(a.ResolveDir, to)}, nil
		})
	}}}
}

// bundle returns o made of the source in dir: but for what is inline with the source's
// own names, and properties called as in cache, to which new ones are added.
func bundle(dir string, o output, cache map[string]any) ([]byte, map[string]any, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, nil, err
	}
	options := api.BuildOptions{
		AbsWorkingDir:     dir,
		EntryPoints:       []string{o.source},
		Outfile:           o.name,
		Bundle:            true,
		Format:            o.format,
		Target:            api.ES2022,
		Charset:           api.CharsetUTF8,
		MinifyWhitespace:  true,
		MinifyIdentifiers: o.inline,
		MinifySyntax:      true,
		MangleProps:       "^_[a-z]", // what the source marks as its own: not __proto__ and the like
		MangleCache:       cache,
		Plugins:           o.plugins(),
	}
	if o.inline {
		// It is a scope of its own, and for browsers that cannot read the rest.
		options.Bundle, options.Target = false, api.ES5
	}
	r := api.Build(options)
	if len(r.Errors) > 0 {
		return nil, nil, errors.New(api.FormatMessages(r.Errors, api.FormatMessagesOptions{})[0])
	}
	return r.OutputFiles[0].Contents, r.MangleCache, nil
}

// open returns o with its names still to be chosen, and with names of esbuild's.
func open(dir string, o output) (t *template, original []byte, err error) {
	_, cache, err := bundle(dir, o, map[string]any{})
	if err != nil {
		return nil, nil, err
	}
	properties := slices.Sorted(maps.Keys(cache))
	for i, p := range properties {
		cache[p] = fmt.Sprintf(propMark, i)
	}
	original, _, err = bundle(dir, o, cache)
	if err != nil {
		return nil, nil, err
	}
	return newTemplate(original, properties)
}

// build returns the content of o, made from the source in dir.
func build(dir string, o output) ([]byte, error) {
	if o.inline {
		js, _, err := bundle(dir, o, nil)
		return bytes.TrimRight(js, ";\n"), err // the end of the element ends it
	}
	known, err := foundNames()
	if err != nil {
		return nil, err
	}
	t, original, err := open(dir, o)
	if err != nil {
		return nil, err
	}
	chosen := t.choose(known[o.name])
	if err := t.check(chosen, original); err != nil {
		return nil, fmt.Errorf("%s: %w", o.name, err)
	}
	return bytes.TrimRight(t.render(chosen), "\n"), nil
}

// files returns what dist is to hold, by name.
func files(dir string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, o := range outputs() {
		js, err := build(dir, o)
		if err != nil {
			return nil, err
		}
		files[o.name] = js
		if o.inline {
			continue
		}
		for ending, compress := range compressors {
			if files[o.name+ending], err = compress(js); err != nil {
				return nil, err
			}
		}
	}
	return files, nil
}

func run(dir string) error {
	files, err := files(dir)
	if err != nil {
		return err
	}
	dist := filepath.Join(dir, "dist")
	if err := os.RemoveAll(dist); err != nil {
		return err
	}
	if err := os.MkdirAll(dist, 0o755); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dist, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	seek := flag.Bool("search", false, "search for names that compress better, and write them to names.json")
	long := flag.Duration("long", 200*time.Second, "how long to search, on two processors")
	flag.Parse()
	dir := "../../client"
	if flag.NArg() > 0 {
		dir = flag.Arg(0)
	}
	do := run
	if *seek {
		do = func(dir string) error { return searchAll(dir, "names.json", *long) }
	}
	if err := do(dir); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}
