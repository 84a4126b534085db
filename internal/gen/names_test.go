package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evanw/esbuild/pkg/api"
)

// nasty is an output that is hard to find names for.
var nasty = output{name: "nasty.mjs", source: "nasty.js", format: api.FormatESModule}

// node returns what script prints.
func node(t *testing.T, script []byte) string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	file := filepath.Join(t.TempDir(), "script.mjs")
	if err := os.WriteFile(file, script, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, script)
	}
	return string(out)
}

// TestNamesKeepTheMeaning: whatever names are chosen, node prints what it prints of the
// source.
func TestNamesKeepTheMeaning(t *testing.T) {
	source, err := os.ReadFile("testdata/nasty.js")
	if err != nil {
		t.Fatal(err)
	}
	want := node(t, source)
	if strings.Count(want, "\n") < 30 {
		t.Fatalf("the source prints only\n%s", want)
	}
	tmpl, original, err := open("testdata", nasty)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(tmpl.names, func(n name) bool { return n.property && n.key == "_p" }) {
		t.Error("the properties are not among the names")
	}
	s := newSearch(tmpl, nil)
	for round := range 5 {
		if err := tmpl.check(s.names, original); err != nil {
			t.Fatal(err)
		}
		script := tmpl.render(s.names)
		if got := node(t, script); got != want {
			t.Fatalf("round %d: it prints\n%snot\n%s%s", round, got, want, script)
		}
		changed := 0
		for range 20_000 {
			changed += min(1, len(s.change()))
		}
		if changed < 1000 {
			t.Fatalf("only %d changes could be made", changed)
		}
	}
}

// TestCheck: names that mean something else are found out, by whichever of the two
// understandings of the script.
func TestCheck(t *testing.T) {
	tmpl, original, err := open("testdata", nasty)
	if err != nil {
		t.Fatal(err)
	}
	chosen := tmpl.choose(nil)
	wrong := 0
	for i, n := range tmpl.names {
		if len(n.meets) == 0 {
			continue
		}
		old, other := chosen[i], n.meets[0]
		chosen[i] = chosen[other]
		if tmpl.check(chosen, original) == nil {
			t.Errorf("%s and %s are both called %s", n.key, tmpl.names[other].key, chosen[i])
		}
		chosen[i] = old
		wrong++
	}
	if wrong < 50 {
		t.Errorf("only %d names were made wrong", wrong)
	}
}

// TestMarks: a script that has what stands for a name is none to find names in.
func TestMarks(t *testing.T) {
	if _, _, err := newTemplate([]byte("let a='$$0$';b(a,a)"), nil); err == nil {
		t.Error("no error")
	}
	if _, _, err := newTemplate([]byte("let a='$$';b(a,a)"), nil); err != nil {
		t.Error(err)
	}
}

// TestKnownNames: what was found for another source does no harm.
func TestKnownNames(t *testing.T) {
	tmpl, original, err := open("testdata", nasty)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]string{"not there": "e"}
	for i, n := range tmpl.names {
		known[n.key] = []string{"same", "do", "console", fmt.Sprint("n", i)}[i%4]
	}
	chosen := tmpl.choose(known)
	if err := tmpl.check(chosen, original); err != nil {
		t.Error(err)
	}
	taken := 0
	for i, n := range tmpl.names {
		if chosen[i] == known[n.key] {
			taken++
		}
	}
	if taken < len(tmpl.names)/4 {
		t.Errorf("%d of %d names are as known", taken, len(tmpl.names))
	}
}

// TestSearch: what is found is right, and not larger than what was known.
func TestSearch(t *testing.T) {
	for _, o := range outputs() {
		if o.name != "auto.min.mjs" {
			continue
		}
		tmpl, original, err := open(client, o)
		if err != nil {
			t.Fatal(err)
		}
		var known map[string]string
		for range 2 {
			s := newSearch(tmpl, known)
			before := both(s.bits(), s.brotli())
			s.run(known != nil, 300*time.Millisecond)
			if after := both(s.bits(), s.brotli()); after > before {
				t.Errorf("%d bits were known, %d are found", before, after)
			}
			if err := tmpl.check(s.names, original); err != nil {
				t.Error(err)
			}
			known = map[string]string{}
			for i, n := range tmpl.names {
				known[n.key] = s.names[i]
			}
		}
	}
}

// TestInline: what is called in one place has no name, and no parameter for what has one.
func TestInline(t *testing.T) {
	for script, want := range map[string]string{
		`let a=1;const f=b=>b+a;console.log(f(a))`:                      `let a=1;console.log(a+a);`,
		`let a=1;const f=b=>b+a;console.log(f(a),f)`:                    `let a=1;const f=b=>b+a;console.log(f(a),f);`,
		`const f=b=>c=>b;g(f(x))`:                                       `g((b=>c=>b)(x));`,
		`let a=1;const f=b=>b;a++;g(f(a))`:                              `let a=1;a++,g((b=>b)(a));`,
		`const f=()=>1;g({f})`:                                          `g({f:()=>1});`,
		`const f=()=>1;h=()=>g({f})`:                                    `const f=()=>1;h=()=>g({f});`,
		`const f=()=>f();`:                                              `const f=()=>f();`,
		`const f=()=>this;g={m(){return f()}}`:                          `const f=()=>this;g={m(){return f()}};`,
		`const{f,g=2,h}=k;export{f as x,h}`:                             `const{f,h}=k;export{f as x,h};`,
		`const C=class D{m(){return D}};new C`:                          `const C=class{m(){return C}};new C;`,
		`let C=class D{m(){return D}};C=1;`:                             `let C=class D{m(){return D}};C=1;`,
		`const C=class D{m(){return D}};D(C,C)`:                         `const C=class D{m(){return D}};D(C,C);`,
		`const f=()=>1;export{f};f()`:                                   `const f=()=>1;export{f};f();`,
		`const a=()=>b(),b=()=>a();`:                                    `const b=()=>b();`,
		`const f=(b,c)=>{b=c};let x=1,y=2;const h=()=>f(x,y);h(h)`:      `let x=1,y=2;const h=()=>(b=>{b=y})(x);h(h);`,
		`const f=async b=>{await b};let x=1;f(x);`:                      `let x=1;(async()=>{await x})();`,
		`const k=(...b)=>b;let x=1;k(x);`:                               `let x=1;((...b)=>b)(x);`,
		`const C=class{},g=1;h({C,g})`:                                  `const g=1;h({C:class{},g});`,
		`const C=class{[h()](){}},z=h();g({C,z})`:                       `const C=class{[h()](){}},z=h();g({C,z});`,
		`const f=()=>1;for(;;)g({f})`:                                   `const f=()=>1;for(;;)g({f});`,
		"const f=()=>1;for(const x of y){const h=()=>2;g({h},x)}g({f})": "for(const x of y)g({h:()=>2},x);g({f:()=>1});",
	} {
		got, err := inline(script)
		if err != nil {
			t.Fatal(err)
		}
		out, err := second(got, false)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := second(want, false)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out, plain) {
			t.Errorf("%s\nbecomes %snot     %s", script, out, plain)
		}
	}
}
