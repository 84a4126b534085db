package main

import (
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"os"
	"testing"
	"time"
)

// TestLines: from a database to the answer it takes no more than 25 lines of code.
func TestLines(t *testing.T) {
	text, err := os.ReadFile("analytics.go")
	if err != nil {
		t.Fatal(err)
	}
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, "analytics.go", text, 0)
	if err != nil {
		t.Fatal(err)
	}
	begin := 0
	for _, d := range parsed.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.IMPORT {
			begin = files.Position(g.End()).Line
		}
	}
	lines := map[int]bool{}
	var s scanner.Scanner
	s.Init(files.AddFile("", -1, len(text)), text, nil, 0)
	for pos, tok, _ := s.Scan(); tok != token.EOF; pos, tok, _ = s.Scan() {
		if line := files.Position(pos).Line; line > begin {
			lines[line] = true
		}
	}
	if len(lines) == 0 || len(lines) > 25 {
		t.Errorf("%d lines, want at most 25", len(lines))
	}
}

func TestLength(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                                   "0.0 s",
		49 * time.Millisecond:               "0.0 s",
		1500 * time.Millisecond:             "1.5 s",
		59940 * time.Millisecond:            "59.9 s",
		59960 * time.Millisecond:            "1 min 00 s",
		65 * time.Second:                    "1 min 05 s",
		time.Hour - 600*time.Millisecond:    "59 min 59 s",
		time.Hour - 400*time.Millisecond:    "1 h 00 min",
		2*time.Hour + 59*time.Minute + 31e9: "3 h 00 min",
		24 * time.Hour:                      "24 h 00 min",
	} {
		if got := length(d); got != want {
			t.Errorf("length(%v) = %q, want %q", d, got, want)
		}
	}
	if got := seconds(1234567 * time.Microsecond); got != "1.234567" {
		t.Errorf("seconds: %q", got)
	}
}

func TestShortened(t *testing.T) {
	for page, want := range map[string]string{
		"http://127.0.0.1:8080/green":     "/green",
		"http://127.0.0.1:8080":           "http://127.0.0.1:8080",
		"https://other.example/green":     "https://other.example/green",
		"":                                "(not told)",
		"a\u202eb\x00\n\xff":              "a\ufffdb\ufffd\ufffd\ufffd",
		"http://127.0.0.1:8080/%E2%80%AE": "/\ufffd",
	} {
		if got := shortened(page, "127.0.0.1:8080"); got != want {
			t.Errorf("shortened(%q) = %q, want %q", page, got, want)
		}
	}
}
