package main

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

var heading = regexp.MustCompile(`(?m)^## .*\n`)

// changelog gives a version, without its v, the entry that it needs: it has one with a
// date, or gets what stands under Unreleased. It returns the text and what was done.
func changelog(text, version, today string) (string, string, error) {
	places := heading.FindAllStringIndex(text, -1)
	unreleased, entry := -1, -1
	for i, p := range places {
		fields := strings.Fields(text[p[0]+len("## ") : p[1]])
		switch {
		case len(fields) == 1 && fields[0] == "Unreleased":
			unreleased = i
		case len(fields) > 0 && fields[0] == version:
			if len(fields) != 3 || fields[1] != "-" {
				return "", "", fmt.Errorf("CHANGELOG.md: the heading of %s has no date: ## %[1]s - %s", version, today)
			}
			if _, err := time.Parse(time.DateOnly, fields[2]); err != nil || fields[2] > today {
				return "", "", fmt.Errorf("CHANGELOG.md: the date of %s is %s: ## %[1]s - %s", version, fields[2], today)
			}
			entry = i
		}
	}
	section := func(i int) string {
		if i < 0 {
			return ""
		}
		end := len(text)
		if i+1 < len(places) {
			end = places[i+1][0]
		}
		return strings.TrimSpace(text[places[i][1]:end])
	}
	switch {
	case entry >= 0 && section(entry) == "":
		return "", "", fmt.Errorf("CHANGELOG.md says nothing about %s", version)
	case entry >= 0 && section(unreleased) != "":
		return "", "", fmt.Errorf("CHANGELOG.md has %s, and something under Unreleased: it belongs to one of them", version)
	case entry >= 0:
		return text, version + " is there", nil
	case section(unreleased) == "":
		return "", "", fmt.Errorf("CHANGELOG.md says nothing about %s, and there is nothing under Unreleased", version)
	}
	p := places[unreleased]
	return text[:p[0]] + "## Unreleased\n\n## " + version + " - " + today + "\n" + text[p[1]:], "what was unreleased is " + version + " now", nil
}
