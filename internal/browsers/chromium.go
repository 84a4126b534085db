package browsers

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// chromium drives Chromium by the DevTools protocol. The classic alternative,
// chromedriver, switches the back/forward cache off. A tab is the id of the
// session attached to it.
type chromium struct {
	*conn
	product string
}

func startChromium(ctx context.Context, w *workspace) (driver, error) {
	profile, err := w.keepdir("profile")
	if err != nil {
		return nil, err
	}
	os.Remove(filepath.Join(profile, "DevToolsActivePort")) // of a browser that was killed
	p, err := w.start(nil, "chromium",
		"--headless",
		"--no-sandbox", // without it Chromium refuses to run as root
		"--disable-gpu",
		"--window-size=1280,1000",
		"--disable-dev-shm-usage", // containers have little of it
		"--disable-quic",
		"--no-first-run",
		"--disable-background-networking",
		"--disable-component-update",
		"--disable-sync",
		"--ignore-certificate-errors",
		// What still wants to reach the network gets no further than this.
		"--host-resolver-rules=MAP "+lanName+" 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.*, EXCLUDE localhost, EXCLUDE *.localhost",
		"--remote-debugging-port=0",
		"--user-data-dir="+profile,
		"about:blank", // stays open, so that closing the last page does not end the browser
	)
	if err != nil {
		return nil, err
	}
	var port, path string
	err = p.poll(ctx, func() error {
		data, err := os.ReadFile(filepath.Join(profile, "DevToolsActivePort"))
		port, path, _ = strings.Cut(strings.TrimSpace(string(data)), "\n")
		if err == nil && path == "" {
			err = errors.New("DevToolsActivePort is incomplete")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	c, err := dial(ctx, "ws://127.0.0.1:"+port+path)
	if err != nil {
		return nil, err
	}
	c.listen(func(m message) {
		if m.Method != "Page.javascriptDialogOpening" {
			return
		}
		// Nobody is there to answer. "Leave the page?" gets a yes, as it does
		// from the other engines.
		var e struct{ Type string }
		json.Unmarshal(m.Params, &e)
		go c.call(context.Background(), m.Session, "Page.handleJavaScriptDialog", object{"accept": e.Type == "beforeunload"}, nil)
	})
	var v struct{ Product string }
	err = c.call(ctx, "", "Browser.getVersion", nil, &v)
	return &chromium{c, v.Product}, err
}

func (c *chromium) version() string {
	_, v, _ := strings.Cut(c.product, "/")
	return "Chromium " + v
}

func (c *chromium) open(ctx context.Context) (string, error) {
	return c.create(ctx, object{"url": "about:blank", "newWindow": true})
}

func (c *chromium) openBehind(ctx context.Context, tab string) (string, error) {
	// Tabs go to the window that was active last.
	if err := c.call(ctx, tab, "Page.bringToFront", nil, nil); err != nil {
		return "", err
	}
	return c.create(ctx, object{"url": "about:blank", "background": true})
}

func (c *chromium) hide(ctx context.Context, tab string) error {
	return c.window(ctx, tab, "minimized")
}
func (c *chromium) show(ctx context.Context, tab string) error { return c.window(ctx, tab, "normal") }

func (c *chromium) window(ctx context.Context, tab, state string) error {
	var w struct{ WindowID int }
	if err := c.call(ctx, tab, "Browser.getWindowForTarget", nil, &w); err != nil {
		return err
	}
	return c.call(ctx, "", "Browser.setWindowBounds", object{"windowId": w.WindowID, "bounds": object{"windowState": state}}, nil)
}

func (c *chromium) create(ctx context.Context, params object) (string, error) {
	var target struct{ TargetID string }
	if err := c.call(ctx, "", "Target.createTarget", params, &target); err != nil {
		return "", err
	}
	var session struct{ SessionID string }
	if err := c.call(ctx, "", "Target.attachToTarget", object{"targetId": target.TargetID, "flatten": true}, &session); err != nil {
		return "", err
	}
	return session.SessionID, c.call(ctx, session.SessionID, "Page.enable", nil, nil)
}

func (c *chromium) navigate(ctx context.Context, tab, url string) error {
	wait, stop := c.loaded(tab)
	defer stop()
	var result struct{ LoaderID, ErrorText string }
	if err := c.call(ctx, tab, "Page.navigate", object{"url": url}, &result); err != nil {
		return err
	}
	if result.ErrorText != "" {
		return errors.New(result.ErrorText)
	}
	if result.LoaderID == "" {
		return nil // only to another fragment of the same document
	}
	_, err := wait(ctx)
	return err
}

func (c *chromium) reload(ctx context.Context, tab string) error {
	wait, stop := c.loaded(tab)
	defer stop()
	if err := c.call(ctx, tab, "Page.reload", nil, nil); err != nil {
		return err
	}
	_, err := wait(ctx)
	return err
}

// loaded expects the load event of a document which replaces the current one.
func (c *chromium) loaded(tab string) (wait func(context.Context) (message, error), stop func()) {
	replaced := false
	return c.expect(func(m message) bool {
		if m.Session == tab && m.Method == "Page.frameNavigated" {
			var e struct{ Frame struct{ ParentID string } }
			json.Unmarshal(m.Params, &e)
			replaced = replaced || e.Frame.ParentID == ""
		}
		return replaced && m.Session == tab && m.Method == "Page.loadEventFired"
	})
}

func (c *chromium) eval(ctx context.Context, tab, expression string) (string, error) {
	var out struct {
		Result           struct{ Value string }
		ExceptionDetails *struct{ Exception struct{ Description string } }
	}
	params := object{"expression": expression, "awaitPromise": true, "returnByValue": true}
	err := c.call(ctx, tab, "Runtime.evaluate", params, &out)
	if err == nil && out.ExceptionDetails != nil {
		err = errors.New(out.ExceptionDetails.Exception.Description)
	}
	return out.Result.Value, err
}

func (c *chromium) click(ctx context.Context, tab string, x, y int) error {
	for _, kind := range []string{"mouseMoved", "mousePressed", "mouseReleased"} {
		e := object{"type": kind, "x": x, "y": y}
		if kind != "mouseMoved" {
			e["button"], e["clickCount"] = "left", 1
		}
		if err := c.call(ctx, tab, "Input.dispatchMouseEvent", e, nil); err != nil {
			return err
		}
	}
	return nil
}

func (c *chromium) screenshot(ctx context.Context, tab string, width, height int) ([]byte, error) {
	size := object{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}
	if err := c.call(ctx, tab, "Emulation.setDeviceMetricsOverride", size, nil); err != nil {
		return nil, err
	}
	var shot struct{ Data []byte }
	err := c.call(ctx, tab, "Page.captureScreenshot", nil, &shot)
	return shot.Data, errors.Join(err, c.call(ctx, tab, "Emulation.clearDeviceMetricsOverride", nil, nil))
}

func (c *chromium) crash(ctx context.Context, tab string) error {
	wait, stop := c.expect(func(m message) bool { return m.Session == tab && m.Method == "Inspector.targetCrashed" })
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go c.call(ctx, tab, "Page.crash", nil, nil) // nobody is left to reply
	_, err := wait(ctx)
	return err
}

func (c *chromium) closeTab(ctx context.Context, tab string) error {
	wait, stop := c.expect(func(m message) bool {
		var e struct{ SessionID string }
		return m.Method == "Target.detachedFromTarget" && json.Unmarshal(m.Params, &e) == nil && e.SessionID == tab
	})
	defer stop()
	if err := c.call(ctx, tab, "Page.close", nil, nil); err != nil {
		return err
	}
	_, err := wait(ctx)
	return err
}

func (c *chromium) quit(ctx context.Context) error {
	return c.call(ctx, "", "Browser.close", nil, nil)
}
