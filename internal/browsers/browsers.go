// Package browsers drives real Chromium, Firefox and WebKitGTK, without a
// screen, for tests that have to open, use and leave pages the way people do.
//
// It uses what Debian packages: chromium, firefox-esr, webkit2gtk-driver and
// xvfb. Each browser has a fresh profile, is kept from calling its maker's
// servers, and does not verify certificates.
//
// Whatever goes wrong or takes longer than 30 seconds fails the test at once.
package browsers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// timeout is long: a browser that has to share a busy machine takes half a minute to start.
const timeout = 90 * time.Second

// An Engine is a browser that can be started.
type Engine string

// The engines, in the order of [Engines].
const (
	Chromium Engine = "chromium"
	Firefox  Engine = "firefox"
	WebKit   Engine = "webkit"
)

// lanName is a name that Chromium and Firefox take for this machine's, without
// knowing that it is: no secure context, as names of a local network are not.
const lanName = "lan.test"

// Engines returns all engines.
func Engines() []Engine { return []Engine{Chromium, Firefox, WebKit} }

// driver is what an engine has to provide. A tab is an id of the engine's own.
type driver interface {
	version() string
	open(ctx context.Context) (tab string, err error)
	// openBehind opens a tab in the window of another, which stays in front.
	openBehind(ctx context.Context, tab string) (string, error)
	// hide and show are to the page what turning to another window, and back, is.
	hide(ctx context.Context, tab string) error
	show(ctx context.Context, tab string) error
	navigate(ctx context.Context, tab, url string) error
	reload(ctx context.Context, tab string) error
	// eval returns the string that expression, a promise for one, resolves to.
	eval(ctx context.Context, tab, expression string) (string, error)
	click(ctx context.Context, tab string, x, y int) error
	screenshot(ctx context.Context, tab string, width, height int) ([]byte, error)
	closeTab(ctx context.Context, tab string) error
	quit(ctx context.Context) error
}

// A Browser is a running browser.
type Browser struct {
	t testing.TB
	*instance
}

// instance is what the Browsers made by For share.
type instance struct {
	driver driver
	start  func(context.Context, *workspace) (driver, error)
	work   *workspace
	close  sync.Once
}

// Start starts a browser that ends with the test. If it is not installed, the
// test is skipped, or failed where the environment has CI=true.
func Start(t testing.TB, e Engine) *Browser {
	t.Helper()
	start, err := find(e)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s: %v", e, err)
		}
		t.Skipf("%s: %v", e, err)
	}
	work, err := newWorkspace()
	if err != nil {
		t.Fatal(err)
	}
	b := &Browser{t, &instance{work: work, start: start}}
	t.Cleanup(b.Close)
	b.Restart()
	return b
}

// Restart starts the browser again, with the profile it had, after [Browser.Quit]
// or [Browser.Kill]. WebKit under automation keeps no profile.
func (b *Browser) Restart() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	d, err := b.start(ctx, b.work)
	if err != nil {
		b.t.Fatalf("start: %v", err)
	}
	b.driver = d
}

// Quit ends the browser as its user would, with all its pages, and waits for it.
func (b *Browser) Quit() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := b.driver.quit(ctx); err != nil {
		b.t.Fatalf("quit: %v", err)
	}
	if err := b.work.wait(ctx); err != nil {
		b.t.Fatalf("quit: %v", err)
	}
}

// Terminate has the system ask the browser to end, as it does when it is shut down.
func (b *Browser) Terminate() {
	b.t.Helper()
	b.work.kill(syscall.SIGTERM)
}

// Kill ends all processes of the browser at once.
func (b *Browser) Kill() {
	b.t.Helper()
	b.work.kill(syscall.SIGKILL)
}

// find returns what starts e, if all that is needed is installed.
func find(e Engine) (func(context.Context, *workspace) (driver, error), error) {
	var err error
	look := func(name string) {
		_, missing := exec.LookPath(name)
		err = errors.Join(err, missing)
	}
	switch e {
	case Chromium:
		look("chromium")
		return startChromium, err
	case Firefox:
		look("firefox-esr")
		return startFirefox, err
	case WebKit:
		look("WebKitWebDriver")
		look("Xvfb")
		_, missing := miniBrowser()
		return startWebKit, errors.Join(err, missing)
	}
	return nil, errors.New("unknown engine")
}

// For returns the same browser for a subtest: what fails, fails t.
func (b *Browser) For(t testing.TB) *Browser { return &Browser{t, b.instance} }

// Version returns the name and version of the browser, as in "Firefox 140.3".
func (b *Browser) Version() string { return b.driver.version() }

// Open opens a page in a new window and waits until it is loaded. Windows do not
// hide each other: all pages are visible at once, but for those of [Page.Hide] and
// [Page.OpenBehind].
func (b *Browser) Open(url string) *Page {
	b.t.Helper()
	p := &Page{b: b}
	p.do("open", func(ctx context.Context) (err error) {
		p.tab, err = b.driver.open(ctx)
		return err
	})
	p.Navigate(url)
	return p
}

// OpenBehind is what a click with the middle button does: it opens a page in a tab
// that nobody looks at, and waits until it is loaded.
func (p *Page) OpenBehind(url string) *Page {
	p.b.t.Helper()
	next := &Page{b: p.b}
	p.do("open", func(ctx context.Context) (err error) {
		next.tab, err = p.b.driver.openBehind(ctx, p.tab)
		return err
	})
	next.Navigate(url)
	return next
}

// Hide hides the page and waits until it is hidden: by minimizing its window or, in
// Firefox, by another tab.
func (p *Page) Hide() {
	p.b.t.Helper()
	p.do("hide", func(ctx context.Context) error { return p.b.driver.hide(ctx, p.tab) })
	p.WaitFor(`return document.visibilityState === "hidden"`)
}

// Show brings the page back to the front.
func (p *Page) Show() {
	p.b.t.Helper()
	p.do("show", func(ctx context.Context) error { return p.b.driver.show(ctx, p.tab) })
	p.WaitFor(`return document.visibilityState === "visible"`)
}

// Close ends the browser, without care for its pages. It is called when the test
// ends, if not before.
func (b *Browser) Close() {
	b.t.Helper()
	b.close.Do(func() {
		if b.driver != nil {
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			defer cancel()
			b.driver.quit(ctx) // whether or not it works, stop will
		}
		if b.t.Failed() {
			b.t.Logf("output of the browser:\n%s", b.work.logs())
		}
		if err := b.work.stop(); err != nil {
			b.t.Errorf("end of the browser: %v", err)
		}
	})
}

// A Page is a window of a browser.
type Page struct {
	b   *Browser
	tab string
}

func (p *Page) do(what string, f func(context.Context) error) {
	p.b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := f(ctx); err != nil {
		p.b.t.Fatalf("%s: %s: %v", p.b.Version(), what, err)
	}
}

// Navigate goes to url and waits until it is loaded. WebKit does not tell a page
// that cannot be reached from one that can.
func (p *Page) Navigate(url string) {
	p.b.t.Helper()
	p.do("navigate to "+url, func(ctx context.Context) error { return p.b.driver.navigate(ctx, p.tab, url) })
}

// Reload reloads the page and waits until it is loaded.
func (p *Page) Reload() {
	p.b.t.Helper()
	p.do("reload", func(ctx context.Context) error { return p.b.driver.reload(ctx, p.tab) })
}

// Eval runs script, which is the body of an async function, and decodes the JSON
// of what it returns into out, unless out is nil.
func (p *Page) Eval(script string, out any) {
	p.b.t.Helper()
	p.do("eval: "+script, func(ctx context.Context) error { return p.eval(ctx, script, out) })
}

// WaitFor runs script again and again until it returns true. Unlike Eval it may
// be used while the page is being replaced by another.
func (p *Page) WaitFor(script string) {
	p.b.t.Helper()
	p.do("wait for: "+script, func(ctx context.Context) error {
		for {
			var got any
			err := p.eval(ctx, script, &got)
			if got == true {
				return nil
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
				return fmt.Errorf("it last returned %v (error: %v)", got, err)
			}
		}
	})
}

func (p *Page) eval(ctx context.Context, script string, out any) error {
	// JSON inside a string is the one kind of result all drivers agree about.
	raw, err := p.b.driver.eval(ctx, p.tab, `(async () => {
		try {
			const value = await (async () => {`+"\n"+script+"\n"+`})();
			return JSON.stringify({value: value === undefined ? null : value});
		} catch (e) {
			return JSON.stringify({error: String(e)});
		}
	})()`)
	if err != nil {
		return err
	}
	var result struct {
		Value json.RawMessage
		Error string
	}
	if err := json.Unmarshal([]byte(raw), &result); err != nil {
		return err
	}
	if result.Error != "" {
		return errors.New(result.Error)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(result.Value, out)
}

// Click scrolls to the first element that selector matches and clicks with the
// mouse on its middle.
func (p *Page) Click(selector string) {
	p.b.t.Helper()
	quoted, err := json.Marshal(selector)
	if err != nil {
		p.b.t.Fatal(err)
	}
	p.do("click "+selector, func(ctx context.Context) error {
		var at [2]int
		err := p.eval(ctx, `const e = document.querySelector(`+string(quoted)+`);
			if (!e) throw new Error("no such element");
			e.scrollIntoView({block: "center", inline: "center", behavior: "instant"});
			const r = e.getBoundingClientRect();
			return [r.x + r.width / 2, r.y + r.height / 2].map(Math.floor);`, &at)
		if err != nil {
			return err
		}
		return p.b.driver.click(ctx, p.tab, at[0], at[1])
	})
}

// clickActions is a click in the terms of both classic WebDriver and BiDi.
func clickActions(x, y int) []object {
	return []object{{
		"type": "pointer", "id": "mouse", "parameters": object{"pointerType": "mouse"},
		"actions": []object{
			{"type": "pointerMove", "origin": "viewport", "x": x, "y": y, "duration": 0},
			{"type": "pointerDown", "button": 0},
			{"type": "pointerUp", "button": 0},
		},
	}}
}

// Screenshot returns a PNG of the page laid out in a viewport of the given size.
// Firefox cannot enlarge its viewport beyond 1280 by 900, nor WebKit make it
// narrower than 450.
func (p *Page) Screenshot(width, height int) (png []byte) {
	p.b.t.Helper()
	p.do("screenshot", func(ctx context.Context) (err error) {
		png, err = p.b.driver.screenshot(ctx, p.tab, width, height)
		return err
	})
	return png
}

// Close closes the window as its user would, so that the page hears of it.
func (p *Page) Close() {
	p.b.t.Helper()
	p.do("close", func(ctx context.Context) error { return p.b.driver.closeTab(ctx, p.tab) })
}

// Crash kills the process that runs the page. Only Chromium can.
func (p *Page) Crash() {
	p.b.t.Helper()
	p.do("crash", func(ctx context.Context) error {
		c, ok := p.b.driver.(*chromium)
		if !ok {
			return errors.ErrUnsupported
		}
		return c.crash(ctx, p.tab)
	})
}

// CDP sends the page a command of the Chrome DevTools Protocol and decodes the
// result into out, unless out is nil. Only Chromium knows it.
func (p *Page) CDP(method string, params, out any) {
	p.b.t.Helper()
	p.do("CDP "+method, func(ctx context.Context) error {
		c, ok := p.b.driver.(*chromium)
		if !ok {
			return errors.ErrUnsupported
		}
		return c.call(ctx, p.tab, method, params, out)
	})
}
