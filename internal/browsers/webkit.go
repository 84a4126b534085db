package browsers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// webkit drives WebKitGTK's MiniBrowser by classic WebDriver. A tab is its
// window handle.
type webkit struct {
	base           string // URL of the driver, then of the session
	browserVersion string
	first          string // the window open from the start

	// mu makes one step of "switch to the tab" and the command for it.
	mu sync.Mutex
}

func miniBrowser() (string, error) {
	found, _ := filepath.Glob("/usr/lib/*/webkit2gtk-4.*/MiniBrowser")
	if len(found) == 0 {
		return "", errors.New("WebKitGTK's MiniBrowser not found")
	}
	return found[len(found)-1], nil
}

func startWebKit(ctx context.Context, w *workspace) (driver, error) {
	binary, err := miniBrowser()
	if err != nil {
		return nil, err
	}
	display, err := startXvfb(ctx, w)
	if err != nil {
		return nil, err
	}
	w.env = append(w.env, "DISPLAY=:"+display, "GDK_BACKEND=x11", "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS=1")

	// The driver cannot pick a free port by itself.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().(*net.TCPAddr)
	l.Close()
	p, err := w.start(nil, "WebKitWebDriver", "--port="+strconv.Itoa(addr.Port))
	if err != nil {
		return nil, err
	}
	k := &webkit{base: "http://" + addr.String()}
	if err := p.poll(ctx, func() error { return k.do(ctx, "GET", "/status", nil, nil) }); err != nil {
		return nil, err
	}
	var session struct {
		SessionID    string
		Capabilities struct{ BrowserVersion string }
	}
	ms := timeout.Milliseconds()
	err = k.do(ctx, "POST", "/session", object{"capabilities": object{"alwaysMatch": object{
		"acceptInsecureCerts":      true,
		"timeouts":                 object{"script": ms, "pageLoad": ms},
		"webkitgtk:browserOptions": object{"binary": binary, "args": []string{"--automation"}},
	}}}, &session)
	if err != nil {
		return nil, err
	}
	k.base += "/session/" + session.SessionID
	k.browserVersion = session.Capabilities.BrowserVersion
	return k, k.do(ctx, "GET", "/window", nil, &k.first)
}

// startXvfb starts an X server, as WebKitGTK has no headless mode, and returns
// the number of its display.
func startXvfb(ctx context.Context, w *workspace) (string, error) {
	r, fd3, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer r.Close()
	_, err = w.start(fd3, "Xvfb", "-displayfd", "3", "-nolisten", "tcp", "-screen", "0", "2560x2048x24")
	fd3.Close()
	if err != nil {
		return "", err
	}
	deadline, _ := ctx.Deadline()
	r.SetReadDeadline(deadline)
	number, err := io.ReadAll(r) // Xvfb closes its end when it is ready
	if err == nil && len(number) == 0 {
		err = errors.New("no display: Xvfb did not start")
	}
	return string(bytes.TrimSpace(number)), err
}

func (k *webkit) version() string { return "WebKitGTK " + k.browserVersion }

func (k *webkit) open(ctx context.Context) (string, error) {
	// The driver refuses even this while its current window is a closed one.
	var out struct{ Handle string }
	err := k.in(ctx, k.first, "POST", "/window/new", object{"type": "window"}, &out)
	return out.Handle, err
}

func (k *webkit) openBehind(ctx context.Context, tab string) (string, error) {
	var out struct{ Handle string }
	err := k.in(ctx, tab, "POST", "/window/new", object{"type": "tab"}, &out)
	return out.Handle, err
}

func (k *webkit) hide(ctx context.Context, tab string) error {
	return k.in(ctx, tab, "POST", "/window/minimize", nil, nil)
}

func (k *webkit) show(ctx context.Context, tab string) error {
	return k.in(ctx, tab, "POST", "/window/rect", object{}, nil)
}

func (k *webkit) navigate(ctx context.Context, tab, url string) error {
	return k.in(ctx, tab, "POST", "/url", object{"url": url}, nil)
}

func (k *webkit) reload(ctx context.Context, tab string) error {
	return k.in(ctx, tab, "POST", "/refresh", nil, nil)
}

func (k *webkit) eval(ctx context.Context, tab, expression string) (out string, err error) {
	script := expression + ".then(arguments[0])"
	err = k.in(ctx, tab, "POST", "/execute/async", object{"script": script, "args": []any{}}, &out)
	return out, err
}

func (k *webkit) click(ctx context.Context, tab string, x, y int) error {
	return k.in(ctx, tab, "POST", "/actions", object{"actions": clickActions(x, y)}, nil)
}

func (k *webkit) screenshot(ctx context.Context, tab string, width, height int) ([]byte, error) {
	var old struct{ Width, Height int }
	if err := k.in(ctx, tab, "GET", "/window/rect", nil, &old); err != nil {
		return nil, err
	}
	inner, err := k.viewport(ctx, tab)
	if err != nil {
		return nil, err
	}
	size := object{"width": old.Width - inner[0] + width, "height": old.Height - inner[1] + height}
	if err := k.in(ctx, tab, "POST", "/window/rect", size, nil); err != nil {
		return nil, err
	}
	// The page follows its window in its own time.
	for inner != [2]int{width, height} {
		if inner, err = k.viewport(ctx, tab); err != nil {
			return nil, err
		}
	}
	var data []byte
	err = k.in(ctx, tab, "GET", "/screenshot", nil, &data)
	size = object{"width": old.Width, "height": old.Height}
	return data, errors.Join(err, k.in(ctx, tab, "POST", "/window/rect", size, nil))
}

func (k *webkit) viewport(ctx context.Context, tab string) (size [2]int, err error) {
	raw, err := k.eval(ctx, tab, `Promise.resolve(JSON.stringify([innerWidth, innerHeight]))`)
	if err == nil {
		err = json.Unmarshal([]byte(raw), &size)
	}
	return size, err
}

func (k *webkit) closeTab(ctx context.Context, tab string) error {
	return k.in(ctx, tab, "DELETE", "/window", nil, nil)
}

func (k *webkit) quit(ctx context.Context) error {
	return k.do(ctx, "DELETE", "", nil, nil)
}

// in runs a command in a tab.
func (k *webkit) in(ctx context.Context, tab, method, path string, body, out any) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.do(ctx, "POST", "/window", object{"handle": tab}, nil); err != nil {
		return err
	}
	return k.do(ctx, method, path, body, out)
}

// do sends a command and decodes its result into out unless out is nil.
func (k *webkit) do(ctx context.Context, method, path string, body, out any) error {
	var data []byte
	if method == "POST" {
		if body == nil {
			body = object{} // the driver insists on one
		}
		var err error
		if data, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, k.base+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var reply struct{ Value json.RawMessage }
	if err := json.NewDecoder(resp.Body).Decode(&reply); err != nil {
		return fmt.Errorf("%s %s: %s: %w", method, path, resp.Status, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", method, path, reply.Value)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(reply.Value, out)
}
