package browsers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// eachLook shows the page on a phone and on a desk, by day and by night.
func (p *Page) eachLook(f func(scheme string, width int)) {
	p.b.t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		p.CDP("Emulation.setEmulatedMedia", object{"features": []object{{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}}}, nil)
		for _, width := range []int{360, 1440} {
			p.CDP("Emulation.setDeviceMetricsOverride", object{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false}, nil)
			p.WaitFor(fmt.Sprintf(`return innerWidth === %d`, width))
			f(scheme, width)
		}
	}
}

// inspect fails t with what axe-core finds, if it is to look, and with what is wider than
// the screen. SHOTS may name a directory for pictures of what was inspected.
func (p *Page) inspect(t *testing.T, what string, rules bool) {
	t.Helper()
	var found []string
	if rules {
		p.Eval(`const {violations} = await axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"], resultTypes: ["violations"]});
			return violations.flatMap(v => v.nodes.map(n => v.id + ": " + n.target + " " + n.html.slice(0, 200) + " " + n.failureSummary))`, &found)
	}
	for _, f := range found {
		t.Errorf("%s: %s", what, f)
	}
	var wide []string
	if p.Eval(`if (document.documentElement.scrollWidth <= innerWidth) return [];
		return [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth).map(e => e.outerHTML.slice(0, 120))`, &wide); len(wide) > 0 {
		t.Errorf("%s: wider than the screen: %q", what, wide)
	}
	if dir := os.Getenv("SHOTS"); dir != "" {
		var shot struct{ Data []byte }
		p.CDP("Page.captureScreenshot", nil, &shot)
		if err := os.WriteFile(filepath.Join(dir, strings.ReplaceAll(what, " ", "-")+".png"), shot.Data, 0o644); err != nil {
			t.Error(err)
		}
	}
}

// TestAccessible: axe-core finds nothing on the pages of the examples, on a phone and on a
// desk, by day and by night, before and after they are used; and nothing is wider than the
// screen. What is in a frame counts. TestLiveAccessible has the live page.
func TestAccessible(t *testing.T) {
	axe := axeCore(t)
	// open has axe-core in the page, in its frames, and in all that come after it.
	open := func(b *Browser, url string) *Page {
		p := b.Open("about:blank")
		p.CDP("Page.addScriptToEvaluateOnNewDocument", object{"source": string(axe)}, nil)
		p.Navigate(url)
		return p
	}
	// The rules take long. Colours are those of a scheme and places those of a width, so it
	// is enough that each of both was looked at.
	n := 0
	inspect := func(t *testing.T, p *Page, what string) {
		n++
		p.eachLook(func(scheme string, width int) {
			p.inspect(t, fmt.Sprint(what, " ", scheme, " ", width), (scheme == "light") == (width == 360) == (n%2 == 0))
		})
	}
	t.Run("demo", func(t *testing.T) {
		d, b := startDemo(t), Start(t, Chromium)
		p := open(b, d.url)
		p.WaitFor(`return document.getElementById("live").contentDocument?.getElementById("connection")?.textContent === "live"`)
		inspect(t, p, "demo at first")
		p.Click("#consent")
		p.Eval(`document.getElementById("log").click(); document.getElementById("send-adhoc").click(); await demo.sendAll()`, nil)
		p.WaitFor(`return visit.server().session !== undefined && document.querySelectorAll(".kinds [data-state=same]").length >= 15`)
		p.Eval(`for (const d of document.querySelectorAll("details")) d.open = true`, nil)
		inspect(t, p, "demo")
		p.Eval(`document.getElementById("leave").click()`, nil)
		p.WaitFor(`return location.pathname === "/left" && document.querySelectorAll(".goodbye").length === 1`)
		inspect(t, p, "left")
		p.Navigate(d.url + "second")
		p.WaitFor(`return !!window.visit && visit.server().session !== undefined`)
		inspect(t, p, "second")
	})
	t.Run("analytics", func(t *testing.T) {
		a, b := startAnalytics(t), Start(t, Chromium)
		p := open(b, a.url+"/green")
		p.WaitFor(ready)
		inspect(t, p, "analytics, a page")
		p.Navigate(a.url + "/stats")
		p.WaitFor(`return !!document.getElementById("engaged")`)
		inspect(t, p, "analytics, the numbers")
	})
}

var axeScript struct {
	sync.Mutex
	text []byte
}

// axeCore returns the script of axe-core.
func axeCore(t *testing.T) []byte {
	t.Helper()
	axeScript.Lock()
	defer axeScript.Unlock()
	if axeScript.text != nil {
		return axeScript.text
	}
	if file := os.Getenv("AXE"); file != "" {
		script, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return script
	}
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "install", "--prefix", dir, "--no-audit", "--no-fund", "--ignore-scripts", "axe-core@4.14.1")
	if out, err := cmd.CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("axe-core: %v\n%s", err, out)
		}
		t.Skipf("no axe-core: %v\n%s", err, out)
	}
	script, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	axeScript.text = script
	return script
}
