package curves

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of docs/speed.md anew, by docs/images/speed.json")

// TestDocs: the pictures and the tables of the docs are those of one run.
func TestDocs(t *testing.T) {
	const (
		page   = "../../../docs/speed.md"
		images = "../../../docs/images"
		begin  = "<!-- what go run . -table curves printed -->\n\n"
		end    = "\n<!-- the end of it -->"
	)
	dir := t.TempDir()
	b, err := os.ReadFile(filepath.Join(images, file))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, file), b, 0o644); err != nil {
		t.Fatal(err)
	}
	var tables strings.Builder
	if err := Tables(&tables, Options{Dir: dir, Draw: true}); err != nil {
		t.Fatal(err)
	}
	for name, want := range read(t, dir) {
		got, err := os.ReadFile(filepath.Join(images, filepath.Base(name)))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what is drawn of %s (%v): go run . -table curves -draw -o ../../docs/images", filepath.Base(name), file, err)
		}
		if len(want) > 30_000 {
			t.Errorf("%s has %d bytes", filepath.Base(name), len(want))
		}
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the tables", page)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+tables.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if got != tables.String() {
		t.Errorf("the tables of %s are not those of %s: go test -update", page, file)
	}
	var r Results
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	if n := len(r.Connections[0].Points); n != 7 {
		t.Errorf("%s is of %d numbers of connections: a quick run is not for the docs", file, n)
	}
}
