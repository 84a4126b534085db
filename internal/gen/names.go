package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// found is what the search has found, by output and key. What is not in it, or cannot
// be had any more, is named in the order of use: the file need not be renewed when the
// source changes, it only gets a little less good.
//
//go:embed names.json
var found []byte

func foundNames() (map[string]map[string]string, error) {
	all := map[string]map[string]string{}
	return all, json.Unmarshal(found, &all)
}

// reserved are the words of up to two letters that name nothing.
var reserved = map[string]bool{"do": true, "if": true, "in": true, "of": true, "as": true}

// candidates are the names to choose from, the shortest first.
var candidates = func() (list []string) {
	const first = "etnosriacldupmhfgybvwkxTSqjzCAPIDOMELNRFBHUGWVJKYXQZ$_"
	for _, a := range first {
		list = append(list, string(a))
	}
	for _, a := range first {
		for _, b := range first + "0123456789" {
			if w := string(a) + string(b); !reserved[w] {
				list = append(list, w)
			}
		}
	}
	return list
}()

// choose names all of t: as known says, if that is possible, else the most used ones first.
func (t *template) choose(known map[string]string) []string {
	chosen := make([]string, len(t.names))
	order := make([]int, len(t.names))
	for i := range t.names {
		order[i] = i
		if w := known[t.names[i].key]; w != "" && t.free(i, w, chosen) {
			chosen[i] = w
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return t.names[b].uses - t.names[a].uses })
	for _, i := range order {
		for _, w := range candidates {
			if chosen[i] != "" {
				break
			}
			if t.free(i, w, chosen) {
				chosen[i] = w
			}
		}
	}
	return chosen
}

// free reports whether the name i can be w, beside the others chosen.
func (t *template) free(i int, w string, chosen []string) bool {
	n := &t.names[i]
	return !n.taken[w] && !reserved[w] && !slices.ContainsFunc(n.meets, func(j int) bool { return chosen[j] == w })
}

// check compares the script with the names chosen to the original, by somebody else's
// understanding of what they refer to: esbuild's, which calls alike what is alike.
// Properties, of which there are no two of one name, keep their marks.
func (t *template) check(chosen []string, original []byte) error {
	chosen = slices.Clone(chosen)
	first := slices.IndexFunc(t.names, func(n name) bool { return n.property })
	for i := range t.names {
		if !t.names[i].property {
			continue
		}
		for j := range i {
			if t.names[j].property && chosen[j] == chosen[i] {
				return fmt.Errorf("two properties are called %s", chosen[i])
			}
		}
	}
	for i := range t.names {
		if t.names[i].property {
			chosen[i] = fmt.Sprintf(propMark, i-first)
		}
	}
	return alike(t.render(chosen), original)
}

// alike returns an error if two scripts differ by more than names.
func alike(script, original []byte) error {
	ours, err := canonical(script)
	if err != nil {
		return fmt.Errorf("with other names: %w", err)
	}
	theirs, err := canonical(original)
	if err != nil {
		return err
	}
	if !bytes.Equal(ours, theirs) {
		return errors.New("with other names the script means something else")
	}
	return nil
}
