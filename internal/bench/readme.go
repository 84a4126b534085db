package main

import (
	"fmt"
	"strings"
)

// numbers prints the table of the README: the medians of the tables before.
func numbers(r *report) error {
	t := r.table("Numbers, for the README: what a handler that drains the body and answers 204 takes, as a part of what this takes; and allocations beyond its own",
		"a request with", "beacon", "without it")
	figure := func(key string) string {
		v := r.results[key]
		return fmt.Sprintf("%.2f, %s", v.median, ns(v.allocs))
	}
	for _, c := range comparisons() {
		if _, ok := r.results["handler/"+c.Name]; !ok || !c.quick {
			continue
		}
		own := figure("handler/" + c.Name)
		if on, ok := r.results["on/"+c.Name]; ok {
			own += fmt.Sprintf("; to a struct, by `On`: %.2f, %s", 1/(1+on.median), ns(on.allocs))
		}
		t.row(c.Name, own, c.peer+": "+figure("std/"+c.Name))
	}
	if _, ok := r.results["e2e/32"]; ok {
		t.row("the form, over loopback with 32 / 256 connections", r.loopback("e2e"), strings.Join([]string{
			"net/http + schema: " + r.loopback("std"), "fasthttp, which drains it: " + r.loopback("fasthttp"), "Express + multer: " + r.loopback("express"),
		}, "; "))
		t.row("the same, on disk before the 204", r.loopback("durable"), "bbolt: "+r.loopback("bbolt")+"; SQLite: "+r.loopback("sqlite"))
	}
	return t.end()
}

// loopback is what a server reached over loopback, with few and with many connections.
func (r *report) loopback(key string) string {
	return fmt.Sprintf("%.2f / %.2f", r.results[key+"/32"].median, r.results[key+"/256"].median)
}
