package browsers

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/client"
)

// shop is the site that the tests of docs/testing.md are about.
func shop(h *beacon.Handler, r *http.Request) string {
	if r.URL.Path == "/mark" {
		return `<script>navigator.sendBeacon("/_pb", "mark")</script>`
	}
	tag := client.Tag{Queue: true, Consent: r.URL.Query().Get("consent")}
	return string(h.ScriptTag(tag)) + buy
}

const buy = `<button onclick="beacon.log('bought', {sku: 'A-1'})">Buy</button>`

// TestPlaywright runs the tests of docs/testing.md, of which each has its own events,
// several times at once; and a test whose events do not come is told why.
func TestPlaywright(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"npm", "chromium"} {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	// The same shop at another site: to browsers, localhost and 127.0.0.1 are two.
	var tag string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "<!doctype html><title>page</title>", tag, buy)
	}))
	t.Cleanup(other.Close)
	pages := strings.Replace(other.URL, "127.0.0.1", "localhost", 1)
	srv := underTest(t, shop, pages)
	tag = string(client.ScriptTag(client.Tag{Queue: true, Src: srv.URL + "/_pb.js", Endpoint: srv.URL + "/_pb"}))
	code := fragments(t, "docs/testing.md")
	has(t, code, "events.spec.js", "events.js", "collector.spec.js")
	k := kitchen(t.TempDir())
	k.write(t, "package.json", `{"private": true, "type": "module"}`)
	k.run(t, "npm", "install", "--no-fund", "--no-audit", "--silent", "@playwright/test@1")
	for name, text := range code {
		k.write(t, name, strings.NewReplacer("https://shop.example", pages, "https://collect.example", srv.URL).Replace(text))
	}
	k.write(t, "playwright.config.js", fmt.Sprintf(`export default { fullyParallel: true, workers: 2, repeatEach: 2, timeout: 60_000, reporter: "line", use: {
		baseURL: %q, launchOptions: { executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] } } }`, srv.URL))
	out, err := k.playwright(t)
	if err != nil || !strings.Contains(out, "6 passed") {
		t.Errorf("%v\n%s", err, out)
	}

	// One that waits for what the page does not send.
	k.write(t, "events.spec.js", strings.Replace(code["events.spec.js"], `await events("log")`, `await events("logged")`, 1))
	out, err = k.playwright(t, "-g", "bought", "--repeat-each=1")
	if err == nil || !strings.Contains(out, `0 of 1 events named \"logged\" came within 10s; in all: 1 log`) {
		t.Errorf("%v\n%s", err, out)
	}

	// Without the library.
	k.write(t, "use.js", fmt.Sprintf(`
		import { eventsOf } from "./events.js";
		const base = %q, cookie = {Cookie: "beacontest=by-hand"};
		await fetch(base + "/_pb", {method: "POST", body: "left", headers: {...cookie, "Content-Type": "text/plain"}});
		console.log((await eventsOf("by-hand", {base}))[0].body.text);
		console.log(await eventsOf("another", {base, timeout: "10ms"}).catch((e) => JSON.parse(e.message).error));`, srv.URL))
	if out := k.run(t, "node", "use.js"); !strings.HasPrefix(out, "left\n0 of 1 events came within 10ms; in all: none. Nothing reached the handler.") {
		t.Error(out)
	}
}

// playwright runs the tests that are in k.
func (k kitchen) playwright(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(string(k), "node_modules/.bin/playwright"), append([]string{"test"}, args...)...)
	cmd.Dir = string(k)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
