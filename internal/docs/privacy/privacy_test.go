// Package privacy holds what docs/privacy.md promises where no other test does, and that
// each of its statements names a test that there is.
package privacy

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const root = "../../../"

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var link = regexp.MustCompile(`\[([^\]]+)\]\(([^)]+)\)`)

// TestStatements: each row of a table that is held by something names tests, and they are.
func TestStatements(t *testing.T) {
	held, statements := false, 0
	for line := range strings.SplitSeq(read(t, "docs/privacy.md"), "\n") {
		if !strings.HasPrefix(line, "|") {
			held = false
			continue
		}
		if strings.HasSuffix(line, "| held by |") {
			held = true
			continue
		}
		if !held || strings.HasPrefix(line, "|--") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		tests := link.FindAllStringSubmatch(cells[len(cells)-1], -1)
		if len(tests) == 0 {
			t.Errorf("no test holds %s", line)
		}
		statements++
		for _, test := range tests {
			name, file := test[1], path.Join("docs", test[2])
			want := "func " + name + "("
			if strings.HasSuffix(file, ".mjs") {
				want = `test("` + name
			}
			if !strings.Contains(read(t, file), want) {
				t.Errorf("%s has no %s", file, want)
			}
		}
	}
	if statements < 30 {
		t.Errorf("only %d statements", statements)
	}
}

// TestNothingElseInBrowsers: the scripts that browsers get touch no store but localStorage.
func TestNothingElseInBrowsers(t *testing.T) {
	files, err := filepath.Glob(root + "client/dist/*js")
	if err != nil || len(files) < 8 {
		t.Fatal(files, err)
	}
	stores := regexp.MustCompile(`\.cookie\b|["']cookie["']|cookieStore|sessionStorage|indexedDB|\bcaches\b|openDatabase|StorageManager`)
	for _, file := range files {
		text := read(t, strings.TrimPrefix(file, root))
		if found := stores.FindString(text); found != "" {
			t.Errorf("%s has %q", file, found)
		}
		if kept := strings.Contains(text, "localStorage"); strings.HasSuffix(file, "beacon.min.js") && !kept {
			t.Errorf("%s has no localStorage: names are looked for in the wrong way", file)
		}
	}
}

// TestNoConnections: of the packages that a host imports only those for a server that the
// host names can open a connection.
func TestNoConnections(t *testing.T) {
	clients := regexp.MustCompile(`\bhttp\.(Get\(|Head\(|Post\(|PostForm\(|DefaultClient|DefaultTransport|Client\{|Transport\{)|\bnet\.(Dial|Dialer)|\btls\.Dial|\bexec\.Command|\bsmtp\.`)
	named := map[string]string{"internal/clickhouse": "the URL of ClickHouseOptions", "spool/cmd/beacon-spool": "the command that drain is given"}
	looked := 0
	err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		short, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if e.IsDir() {
			_, nested := os.Stat(filepath.Join(name, "go.mod"))
			if nested == nil && short != "." || short == "examples" || strings.HasPrefix(e.Name(), ".") && short != "." || e.Name() == "node_modules" {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || named[path.Dir(short)] != "" || !imported(path.Dir(short)) {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		looked++
		for _, i := range file.Imports {
			if p, _ := strconv.Unquote(i.Path.Value); p == "net/rpc" || p == "net/smtp" || p == "os/exec" || p == "crypto/tls" || p == "log/syslog" {
				t.Errorf("%s imports %s", short, p)
			}
		}
		for n, line := range strings.Split(read(t, short), "\n") {
			if code, _, _ := strings.Cut(line, "//"); clients.MatchString(code) {
				t.Errorf("%s:%d: %s", short, n+1, strings.TrimSpace(line))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if looked < 100 {
		t.Errorf("only %d files", looked)
	}
}

// imported says whether a host's program has a package in it: not what tests and the house
// itself use.
func imported(dir string) bool {
	return !strings.HasPrefix(dir, "internal/") || !regexp.MustCompile(`^internal/(visits|example|hooks)`).MatchString(dir)
}
