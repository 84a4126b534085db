package docs

import (
	"maps"
	"strings"
	"testing"
)

// house is a repository in which every fragment has its place.
var house = tree{
	"shop/shop_test.go": "package shop\n\nfunc TestShop(t *testing.T) {\n\th, err := open(\"a // b\", 1)   // of the test\n\tif err != nil {\n\t\tt.Fatal(err)\n\t}\n" +
		"\tfix()\n\tmux.Handle(\"/_pb\", h)\n\tpage := `<p>one</p><script src=\"/_pb.js\"></script>\n\t<p>two</p>`\n\tread(\"docs/recipes.md\", \"main.js\", \"testdata/nginx.conf\")\n}\n",
	"shop/testdata/nginx.conf":  "location / {\n\tproxy_pass http://127.0.0.1:1;  # to us\n}\n",
	"shop/testdata/unused.conf": "location /unused {\n}\n",
	"cmd/lonely/main.go":        "package main\n\nfunc main() { lonely() }\n",
	"named/program/main.go":     "package main\n\nfunc main() { named() }\n",
	"other_test.go":             "package other\n\nvar program, sentence = \"named/program\", \"It is named.\"\n",
	"root.conf":                 "location /root {\n}\n",
}

func TestFragmentsHeld(t *testing.T) {
	for _, tt := range []struct{ name, page, wrong string }{
		{"as it stands", "```go\nh, err := open(\"a // b\", 1)\nif err != nil {\n\tt.Fatal(err)\n}\n```", ""},
		{"another comment, another indentation", "```go\n\n  h, err := open(\"a // b\", 1) // of the page\n// more\nfix()\n```", ""},
		{"without what is done about errors", "```go\nh, err := open(\"a // b\", 1)\nfix()\nmux.Handle(\"/_pb\", h)\n```", ""},
		{"with something else done about errors", "```go\nh, err := open(\"a // b\", 1)\nif err != nil {\n\tlog.Fatal(err)\n}\nfix()\n```", ""},
		{"two parts", "```go\nh, err := open(\"a // b\", 1)\n// …\nmux.Handle(\"/_pb\", h)\n```", ""},
		{"two parts, the dots alone", "```go\nh, err := open(\"a // b\", 1)\n\t…\nmux.Handle(\"/_pb\", h)\n```", ""},
		{"a line of a list", "- so:\n\n  ```go\n  mux.Handle(\"/_pb\", h)\n  ```", ""},
		{"two parts, the wrong way round", "```go\nmux.Handle(\"/_pb\", h)\n// …\nh, err := open(\"a // b\", 1)\n```", "with all parts in this order"},
		{"two parts, and no dots", "```go\nh, err := open(\"a // b\", 1)\nmux.Handle(\"/_pb\", h)\n```", "nearest is shop/shop_test.go:9, where 1 of 2 lines are the same\n\tpage: h, err := open(\"a // b\", 1)\n\tfile: fix()"},
		{"a quoted text is no comment", "```go\nh, err := open(\"a // c\", 1)\n```", `page: h, err := open("a // c", 1)`},
		{"half a line of Go", "```go\nerr := open(\"a // b\", 1)\n```", "no .go file has it"},
		{"the lines before it differ", "```go\nbreak()\nmux.Handle(\"/_pb\", h)\n```", "where 1 of 2 lines are the same\n\tpage: break()\n\tfile: fix()"},
		{"comments alone", "```go\n// nothing\n```", "nothing but comments"},
		{"nowhere", "```go\nzzz\n```", "or anything like it"},
		{"a file that no test runs", "```go\nfunc main() { lonely() }\n```", "it is in cmd/lonely/main.go, which no test runs"},
		{"a program that a test names", "```go\nfunc main() { named() }\n```", ""},
		{"in a text of Go", "```html\n<script src=\"/_pb.js\"></script>\n<p>two</p>\n```", ""},
		{"not what is in a comment of Go", "```js\nof the test\n```", "no file has it"},
		{"a configuration", "```nginx\nproxy_pass http://127.0.0.1:1;\n```", ""},
		{"a configuration that no test names", "```nginx\nlocation /unused {\n```", "which no test runs"},
		{"a configuration in the root that no test names", "```nginx\nlocation /root {\n```", "which no test runs"},
		{"a file of the page", "```js main.js\nanything();\n```", ""},
		{"a file that another one imports", "```js main.js\nimport \"./part.js\";\n```\n\n```js part.js\nanything();\n```", ""},
		{"a file that nobody uses", "```js other.js\nanything();\n```", "uses other.js"},
		{"SQL that no test reads", "```sql sqlite\nSELECT 1\n```", ""},
		{"a language that nobody knows", "```cobol\nSTOP RUN\n```", `"cobol"`},
		{"what is typed", "```sh\ngo test ./...\n```", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := tree{"docs/recipes.md": tt.page}
			maps.Copy(files, house)
			c := newChecker(files)
			if len(c.pages["docs/recipes.md"].fragments) == 0 {
				t.Fatal("no fragment")
			}
			var errs []string
			for _, f := range c.pages["docs/recipes.md"].fragments {
				if _, err := c.check(f); err != nil {
					errs = append(errs, err.Error())
				}
			}
			got := strings.Join(errs, "\n")
			if tt.wrong == "" && got != "" || !strings.Contains(got, tt.wrong) {
				t.Errorf("got %q, want %q", got, tt.wrong)
			}
		})
	}
	files := tree{"docs/else.md": "```sql sqlite\nSELECT 1\n```", "a_test.go": "read(`docs/recipes.md`)"}
	c := newChecker(files)
	if _, err := c.check(c.pages["docs/else.md"].fragments[0]); err == nil || !strings.Contains(err.Error(), "docs/else.md:2: no test reads the page") {
		t.Error(err)
	}
}
