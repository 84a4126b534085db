package docs

import (
	"slices"
	"strings"
	"testing"
)

// TestCommands: what pages have for somebody to type names packages, tests, flags, files
// and variables that exist.
func TestCommands(t *testing.T) {
	files, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	c := newChecker(files)
	held := 0
	for _, name := range files.names(".md") {
		for _, cmd := range c.pages[name].commands() {
			known, err := c.checkCommand(cmd)
			if err != nil {
				t.Error(err)
			}
			if known {
				held++
				if testing.Verbose() {
					t.Logf("%s:%d: %q", cmd.page, cmd.line, cmd.words)
				}
			}
		}
		for _, err := range c.checkVariables(name) {
			t.Error(err)
		}
	}
	if held < 20 {
		t.Errorf("only %d commands were found: they are looked for in the wrong way", held)
	}
	// The first that somebody types is for the checkout as it is.
	var first []string
	for _, cmd := range c.pages["README.md"].commands() {
		if known, _ := c.checkCommand(cmd); known && !cmd.inline {
			first = append(first, strings.Join(cmd.words, " "))
		}
	}
	if len(first) < 2 || !slices.Contains(first[:2], "go run ./examples/demo") {
		t.Errorf("the first commands of README.md are %q", first)
	}
}

func TestSplit(t *testing.T) {
	for line, want := range map[string]string{
		"go test ./...": "go|test|./...",
		"A=1 B=2 go test -run 'Test(A|B)' . # so": "go|test|-run|Test(A|B)|.",
		"cat x | jq -r '.a | .b' > y && go run .": "cat|x jq|-r|.a | .b|>|y go|run|.",
		"sudo -u app beacon-spool list /x; ls":    "beacon-spool|list|/x ls",
		`curl "http://127.0.0.1/x?a=1&b=2"`:       "curl|http://127.0.0.1/x?a=1&b=2",
		"curl -F a=$B http://127.0.0.1/x#y":       "curl|-F|a=$B|http://127.0.0.1/x#y",
		"(cd a && go test .)":                     "cd|a go|test|.",
		"":                                        "",
	} {
		var got []string
		for _, w := range split(line) {
			got = append(got, strings.Join(w, "|"))
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("%s: %s, want %s", line, g, want)
		}
	}
}

func TestCommandsHeld(t *testing.T) {
	files := tree{
		"go.mod":                         "module github.com/pagebeacon/beacon",
		"a_test.go":                      "func TestA(t *testing.T) {}\nfunc BenchmarkB(b *testing.B) {}\nvar v = os.Getenv(\"BEACON_REAL\")",
		"cmd/x/main.go":                  `var addr = flag.String("addr", "", ""); var d time.Duration; func init() { flag.DurationVar(&d, "wait", 0, "") }; mux.Handle("/_pb", h)`,
		"sub/go.mod":                     "module github.com/pagebeacon/beacon/sub",
		"sub/c_test.go":                  "func TestC(t *testing.T) {}",
		"spool/cmd/beacon-spool/main.go": `case "list": flags.Bool("all", false, "")`,
		"client/test/x.test.mjs":         "",
		".ci/run":                        "echo $BEACON_SHELL",
	}
	for typed, wrong := range map[string]string{
		"go run ./cmd/x":                             "",
		"go run ./cmd/x -addr :0 -wait=1s":           "",
		"go run ./cmd/x -adr :0":                     "cmd/x has no flag -adr",
		"go run ./cmd/y":                             "there is no package in cmd/y",
		"go run ./cmd":                               "there is no package in cmd",
		"go test ./...":                              "",
		"go test -run TestA .":                       "",
		"go test -run=TestA/sub .":                   "",
		"go test -run TestC .":                       "no test for -run TestC",
		"go test -C sub -run TestC .":                "",
		"go test -C nosuch .":                        "there is no directory nosuch",
		"go test -run '^$' -bench 'B' -cpu 1 .":      "",
		"go test -bench BenchmarkA .":                "no test for -bench",
		"go test -run '(' .":                         "missing closing",
		"go install " + modulePath + "/cmd/x@latest": "",
		"go install " + modulePath + "/cmd/y@latest": "there is no package in cmd/y",
		"go get " + modulePath:                       "",
		"go get golang.org/x/mod":                    "",
		"beacon-spool list -all /x":                  "",
		"beacon-spool lost /x":                       `has no "lost"`,
		"beacon-spool list -any /x":                  "no flag -any",
		"curl -i http://127.0.0.1:8080/_pb":          "",
		"curl -i http://127.0.0.1:8080/_pbx":         "no source has /_pbx",
		"curl -i http://go.dev/":                     "not https",
		"node --test client/test/*.test.mjs":         "",
		"node client/test/y.mjs":                     "there is no client/test/y.mjs",
		".ci/run":                                    "",
		".ci/ran":                                    "there is no .ci/ran",
	} {
		files["README.md"] = "```\n$ " + typed + "\noutput of go run ./nosuch\n```\n"
		c := newChecker(files)
		all := c.pages["README.md"].commands()
		if len(all) != 1 {
			t.Fatalf("%s: %+v", typed, all)
		}
		known, err := c.checkCommand(all[0])
		if !known || wrong == "" && err != nil || wrong != "" && (err == nil || !strings.Contains(err.Error(), wrong) || !strings.HasPrefix(err.Error(), "README.md:2: ")) {
			t.Errorf("%s: %v, %v, want %s", typed, known, err, wrong)
		}
	}
	files["README.md"] = "```sh\n(cd sub && go test -run TestC .)\ngo test -run TestA .\ncd sub\ngo test -run TestC .\ngo test -run TestA .\ncd nosuch\n```\n```\nmkdir app && cd app\ngo run ./main\n```\n`cd sub && go test -run TestD .`"
	c := newChecker(files)
	var errs []string
	for _, cmd := range c.pages["README.md"].commands() {
		if _, err := c.checkCommand(cmd); err != nil {
			errs = append(errs, err.Error())
		}
	}
	want := []string{
		"README.md:6: go test -run TestA .: no test for -run TestA",
		"README.md:7: cd nosuch: there is no directory sub/nosuch",
		"README.md:13: go test -run TestD .: no test for -run TestD",
	}
	if !slices.Equal(errs, want) {
		t.Errorf("%q", errs)
	}
	files["README.md"] = "`BEACON_REAL=1 go test -run TestC`,\n`BEACON_SHELL`, `BEACON_NONE=1`"
	c = newChecker(files)
	if errs := c.checkVariables("README.md"); len(errs) != 1 || errs[0].Error() != "README.md:2: nothing reads BEACON_NONE" {
		t.Error(errs)
	}
	for _, cmd := range c.pages["README.md"].commands() { // in a sentence, which may be about any package
		if _, err := c.checkCommand(cmd); err != nil {
			t.Error(err)
		}
	}
}
