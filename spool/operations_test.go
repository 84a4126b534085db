package spool_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/spool"
)

// Every number that the page for operators names is one of Stats, and none is missing there.
// What it says of metrics is for internal/metrics to hold.
func TestOperationsNamesWhatThereIs(t *testing.T) {
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		stats any
		query string // a line of jq
		table string // at the beginning of whose rows there are names
	}{
		{spool.Stats{}, `'\.beacon_spool \| .*`, `(?s)\| of the spool \|.*?\n\n`},
		{beacon.Stats{}, `'\.beacon \| .*`, `(?s)\| of the handler \|.*?\n\n`},
	} {
		have := map[string]bool{}
		for f := range reflect.TypeOf(c.stats).Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			have[name] = true
		}
		named := map[string]bool{}
		for _, query := range regexp.MustCompile(c.query).FindAll(page, -1) {
			_, query, _ := strings.Cut(string(query), "|")
			for _, m := range regexp.MustCompile(`\.([a-z][a-z0-9_]*)`).FindAllStringSubmatch(query, -1) {
				named[m[1]] = true
			}
		}
		rows := regexp.MustCompile(`(?m)^\|([^|]*)\|`).FindAllSubmatch(regexp.MustCompile(c.table).Find(page), -1)
		for _, row := range rows {
			for _, m := range regexp.MustCompile("`([a-z0-9_]+)`").FindAllSubmatch(row[1], -1) {
				named[string(m[1])] = true
			}
		}
		if len(rows) < 5 {
			t.Errorf("%T: only %d rows", c.stats, len(rows))
		}
		for name := range named {
			if !have[name] {
				t.Errorf("%T has no %q", c.stats, name)
			}
		}
		for name := range have {
			if !named[name] {
				t.Errorf("%q of %T is not on the page", name, c.stats)
			}
		}
	}
}

// What it says of the log is what the spool writes there, or an error's text.
func TestOperationsQuotesTheLog(t *testing.T) {
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var source []byte
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, text...)
	}
	quotes := regexp.MustCompile("`(spool: [^`]+)`").FindAllSubmatch(page, -1)
	if len(quotes) < 10 {
		t.Errorf("only %d quotes", len(quotes))
	}
	for _, m := range quotes {
		if !bytes.Contains(source, []byte(`"`+string(m[1])+`"`)) {
			t.Errorf("nothing says %q", m[1])
		}
	}
}
