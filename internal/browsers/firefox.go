package browsers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// firefox drives Firefox by WebDriver BiDi, which it serves without the help
// of a driver program. A tab is the id of its browsing context.
type firefox struct {
	*conn
	browserVersion string
}

// firefoxPrefs silences what Firefox does on its own account. The proxy, where
// nothing listens, holds up what is left; loopback is never proxied.
const firefoxPrefs = `
user_pref("app.normandy.enabled", false);
user_pref("app.update.disabledForTesting", true);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.newtabpage.enabled", false);
user_pref("browser.region.network.url", "");
user_pref("browser.safebrowsing.blockedURIs.enabled", false);
user_pref("browser.safebrowsing.downloads.enabled", false);
user_pref("browser.safebrowsing.malware.enabled", false);
user_pref("browser.safebrowsing.phishing.enabled", false);
user_pref("browser.search.update", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.homepage_override.mstone", "ignore");
user_pref("browser.startup.page", 0);
user_pref("datareporting.healthreport.uploadEnabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("dom.push.connection.enabled", false);
user_pref("extensions.getAddons.cache.enabled", false);
user_pref("extensions.systemAddon.update.enabled", false);
user_pref("extensions.update.enabled", false);
user_pref("media.gmp-manager.updateEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("network.dns.localDomains", "` + lanName + `");
user_pref("network.proxy.allow_bypass", false);
user_pref("network.proxy.no_proxies_on", "` + lanName + `");
user_pref("network.proxy.failover_direct", false);
user_pref("network.proxy.http", "127.0.0.1");
user_pref("network.proxy.http_port", 9);
user_pref("network.proxy.ssl", "127.0.0.1");
user_pref("network.proxy.ssl_port", 9);
user_pref("network.proxy.type", 1);
user_pref("network.trr.mode", 5);
user_pref("services.settings.server", "data:,#remote-settings-dummy/v1");
user_pref("toolkit.telemetry.server", "data:,");
`

func startFirefox(ctx context.Context, w *workspace) (driver, error) {
	profile, err := w.keepdir("profile")
	if err != nil {
		return nil, err
	}
	os.Remove(filepath.Join(profile, "WebDriverBiDiServer.json")) // of a browser that was killed
	if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(firefoxPrefs), 0o600); err != nil {
		return nil, err
	}
	w.env = append(w.env,
		"MOZ_HEADLESS_WIDTH=1920", "MOZ_HEADLESS_HEIGHT=1200", // room for windows of common size
		"MOZ_REMOTE_SETTINGS_DEVTOOLS=1", // else the preference about their server is ignored
	)
	p, err := w.start(nil, "firefox-esr",
		"--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0", "about:blank")
	if err != nil {
		return nil, err
	}
	var server struct {
		Host string `json:"ws_host"`
		Port int    `json:"ws_port"`
	}
	err = p.poll(ctx, func() error {
		data, err := os.ReadFile(filepath.Join(profile, "WebDriverBiDiServer.json"))
		if err != nil {
			return err
		}
		return json.Unmarshal(data, &server)
	})
	if err != nil {
		return nil, err
	}
	c, err := dial(ctx, fmt.Sprintf("ws://%s:%d/session", server.Host, server.Port))
	if err != nil {
		return nil, err
	}
	var session struct {
		Capabilities struct{ BrowserVersion string }
	}
	err = c.call(ctx, "", "session.new",
		object{"capabilities": object{"alwaysMatch": object{"acceptInsecureCerts": true}}}, &session)
	return &firefox{c, session.Capabilities.BrowserVersion}, err
}

func (f *firefox) version() string { return "Firefox " + f.browserVersion }

func (f *firefox) open(ctx context.Context) (string, error) {
	var out struct{ Context string }
	err := f.call(ctx, "", "browsingContext.create", object{"type": "window"}, &out)
	return out.Context, err
}

func (f *firefox) openBehind(ctx context.Context, tab string) (string, error) {
	return f.beside(ctx, tab, true)
}

// hide opens another tab, as there is no minimizing without a screen.
func (f *firefox) hide(ctx context.Context, tab string) error {
	_, err := f.beside(ctx, tab, false)
	return err
}

func (f *firefox) beside(ctx context.Context, tab string, behind bool) (string, error) {
	var out struct{ Context string }
	err := f.call(ctx, "", "browsingContext.create", object{"type": "tab", "referenceContext": tab, "background": behind}, &out)
	return out.Context, err
}

func (f *firefox) show(ctx context.Context, tab string) error {
	return f.call(ctx, "", "browsingContext.activate", object{"context": tab}, nil)
}

func (f *firefox) navigate(ctx context.Context, tab, url string) error {
	return f.call(ctx, "", "browsingContext.navigate", object{"context": tab, "url": url, "wait": "complete"}, nil)
}

func (f *firefox) reload(ctx context.Context, tab string) error {
	return f.call(ctx, "", "browsingContext.reload", object{"context": tab, "wait": "complete"}, nil)
}

func (f *firefox) eval(ctx context.Context, tab, expression string) (string, error) {
	var out struct {
		Result           struct{ Value string }
		ExceptionDetails *struct{ Text string }
	}
	params := object{"expression": expression, "target": object{"context": tab}, "awaitPromise": true}
	err := f.call(ctx, "", "script.evaluate", params, &out)
	if err == nil && out.ExceptionDetails != nil {
		err = errors.New(out.ExceptionDetails.Text)
	}
	return out.Result.Value, err
}

func (f *firefox) click(ctx context.Context, tab string, x, y int) error {
	return f.call(ctx, "", "input.performActions", object{"context": tab, "actions": clickActions(x, y)}, nil)
}

func (f *firefox) screenshot(ctx context.Context, tab string, width, height int) ([]byte, error) {
	size := object{"context": tab, "viewport": object{"width": width, "height": height}}
	if err := f.call(ctx, "", "browsingContext.setViewport", size, nil); err != nil {
		return nil, err
	}
	var shot struct{ Data []byte }
	err := f.call(ctx, "", "browsingContext.captureScreenshot", object{"context": tab}, &shot)
	size["viewport"] = nil
	return shot.Data, errors.Join(err, f.call(ctx, "", "browsingContext.setViewport", size, nil))
}

func (f *firefox) closeTab(ctx context.Context, tab string) error {
	return f.call(ctx, "", "browsingContext.close", object{"context": tab, "promptUnload": true}, nil)
}

func (f *firefox) quit(ctx context.Context) error {
	return f.call(ctx, "", "browser.close", nil, nil)
}
