package browsers

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
)

// fill puts a few sessions of each kind, events and refusals on the page.
func (s *liveSite) fill() {
	now := time.Now()
	for i := range 9 {
		start := now.Add(-time.Duration(2+3*i) * time.Minute)
		for v := range 1 + i%3 {
			at := start.Add(time.Duration(v) * 20 * time.Second)
			for seq := 1; seq <= 3; seq++ {
				end := at.Add(time.Duration(seq*9) * time.Second)
				s.live.Consume(context.Background(), []beacon.Event{{
					ID: fmt.Sprint(i, v, seq), Name: "session", Session: fmt.Sprintf("visitor-%d-0123456789", i), View: fmt.Sprint(i, "-", v), Series: "t", Seq: uint64(seq), Mode: beacon.ModeReplace,
					Page: "https://shop.example/products/category/" + fmt.Sprint(v), Time: end, Received: end, Sent: end,
					Body: beacon.JSON(fmt.Sprintf(`{"start":%d,"end":%d,"engaged":%d,"seen":%d}`, at.UnixMilli(), end.UnixMilli(), seq*3000, seq*5000)),
				}})
			}
		}
	}
	s.live.Consume(context.Background(), hostileEvents())
	s.live.Refused(httptest.NewRequest("POST", "/_pb", nil), []byte("{"), &beacon.RequestError{Status: 400, Reason: "malformed", Err: errors.New("not JSON")})
}

// TestLiveAccessible: axe-core finds nothing, on a phone and on a desk, by day and by
// night; nothing is wider than the screen, and the keyboard gets everywhere. It needs npm
// to have axe-core, or AXE to name its file.
func TestLiveAccessible(t *testing.T) {
	axe := axeCore(t)
	b, s := Start(t, Chromium), newLiveSite(t)
	s.fill()
	p := s.watch(t, b)
	p.WaitFor(`return document.querySelectorAll("#rows tr").length >= 9 && document.querySelectorAll("#log > li").length > 20 && !document.getElementById("health").hidden`)
	p.CDP("Runtime.evaluate", object{"expression": string(axe)}, nil)
	p.eachLook(func(scheme string, width int) {
		what := fmt.Sprint(scheme, " ", width)
		// The rules take long. Colours are those of a scheme and places those of
		// a width, so it is enough that each of both was looked at.
		rules := (scheme == "light") == (width == 360)
		p.Eval(`for (const d of document.querySelectorAll("details")) d.open = false`, nil)
		p.inspect(t, what, rules)
		p.Eval(`for (const d of document.querySelectorAll("details")) d.open = true`, nil)
		p.WaitFor(`return document.querySelectorAll(".whole").length > 20`)
		p.inspect(t, what+" open", rules)
		p.Eval(`document.querySelectorAll("#rows a")[4].click()`, nil)
		p.WaitFor(`return document.querySelector("dialog").open && document.querySelectorAll("#session-events li").length > 0`)
		p.inspect(t, what+" session", rules)
		p.Eval(`document.getElementById("close").click()`, nil)
		p.WaitFor(`return !document.querySelector("dialog").open`)
	})
	// Tab leads through all controls in the order of the page, each with a ring.
	p.Eval(`for (const d of document.querySelectorAll("details")) d.open = false; document.activeElement.blur(); scrollTo(0, 0)`, nil)
	var order []string
	for range 200 {
		for _, kind := range []string{"keyDown", "keyUp"} {
			p.CDP("Input.dispatchKeyEvent", object{"type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}, nil)
		}
		var at struct {
			What  string
			Width float64
		}
		p.Eval(`const e = document.activeElement;
			return {what: e.closest("section, header")?.id || e.nodeName, width: e === document.body ? 3 : parseFloat(getComputedStyle(e).outlineWidth)}`, &at)
		if at.Width < 3 {
			t.Errorf("%s has a ring of %g px", at.What, at.Width)
		}
		if len(order) == 0 || order[len(order)-1] != at.What {
			order = append(order, at.What)
		}
		if at.What == "refused" {
			break
		}
	}
	if got := strings.Join(order, " "); !strings.Contains(got, "sessions events refused") {
		t.Errorf("Tab leads through %s", got)
	}
	s.faultless(t, p)
}
