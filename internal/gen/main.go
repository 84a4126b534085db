// Command gen builds the files of client/dist from the browser client's source.
// Run it in its own directory, or give it the path of the client:
//
//	go run . [../../client]
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/evanw/esbuild/pkg/api"
)

// An output is a built file.
type output struct {
	name   string
	source string
	format api.Format
}

func outputs() []output {
	return []output{
		{"beacon.min.mjs", "beacon.js", api.FormatESModule},
		{"beacon.min.js", "src/classic.js", api.FormatIIFE},
		{"core.min.mjs", "src/core.entry.js", api.FormatESModule},
	}
}

// plugins puts src/alone.js in the place of the store and the session for the beacons
// alone.
func (o output) plugins() []api.Plugin {
	if o.source != "src/core.entry.js" {
		return nil
	}
	return []api.Plugin{{Name: "alone", Setup: func(b api.PluginBuild) {
		b.OnResolve(api.OnResolveOptions{Filter: `/plug\.js$`}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
			return api.OnResolveResult{Path: filepath.Join(a.ResolveDir, "alone.js")}, nil
		})
	}}}
}

// build returns the content of o, made from the source in dir.
func build(dir string, o output) ([]byte, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	r := api.Build(api.BuildOptions{
		AbsWorkingDir:     dir,
		EntryPoints:       []string{o.source},
		Outfile:           o.name,
		Bundle:            true,
		Format:            o.format,
		Target:            api.ES2022,
		Charset:           api.CharsetUTF8,
		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		MinifySyntax:      true,
		MangleProps:       "^_", // what the source marks as its own
		Plugins:           o.plugins(),
	})
	if len(r.Errors) > 0 {
		return nil, errors.New(api.FormatMessages(r.Errors, api.FormatMessagesOptions{})[0])
	}
	return r.OutputFiles[0].Contents, nil
}

func run(dir string) error {
	for _, o := range outputs() {
		js, err := build(dir, o)
		if err != nil {
			return err
		}
		path := filepath.Join(dir, "dist", o.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, js, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	dir := "../../client"
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	if err := run(dir); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}
