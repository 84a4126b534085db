package main

import (
	"bytes"
	"go/scanner"
	"go/token"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/pagebeacon/beacon/internal/example"
)

// TestSqlite: who comes again sees the visit of before, also when the program has been
// killed in between.
func TestSqlite(t *testing.T) {
	p := example.Start(t, ".")
	home := p.URLs[0] + "/"
	page := p.Open(home)
	one := regexp.MustCompile(`<p>[-0-9]{10} [:0-9]{8}: here for 12\.34s, engaged for 10s, pages: 1`)
	if one.MatchString(page.Body) {
		t.Error("a visit that has not been yet")
	}
	page.Close("me", 12340*time.Millisecond, 10*time.Second)
	for _, again := range []string{"", "and started again"} {
		if again != "" {
			p.Signal(os.Kill)
			_ = p.End() // of which the error is the kill
			p = p.Next()
			p.Listens()
		}
		if body := p.Get(home); len(one.FindAllString(body, -1)) != 1 {
			t.Errorf("not one such visit %s:\n%s", again, body)
		}
	}
}

// TestLines: a session in a database of one's own takes at most 25 lines of code, besides
// imports.
func TestLines(t *testing.T) {
	text, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	begin := bytes.Index(text, []byte("\n)\n")) + 3 // behind the imports
	lines := map[int]bool{}
	files := token.NewFileSet()
	file := files.AddFile("main.go", -1, len(text))
	var s scanner.Scanner
	s.Init(file, text, nil, 0)
	for pos, tok, _ := s.Scan(); tok != token.EOF; pos, tok, _ = s.Scan() {
		if file.Offset(pos) >= begin && tok != token.SEMICOLON {
			lines[file.Line(pos)] = true
		}
	}
	if len(lines) < 10 || len(lines) > 25 {
		t.Errorf("%d lines, want at most 25", len(lines))
	}
}
