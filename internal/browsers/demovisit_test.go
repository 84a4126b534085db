package browsers

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// A meter is the test's own clock of a visit: for how long pages were seen and had the
// focus. While something changes it is not known when exactly it did.
type meter struct {
	t           *testing.T
	last        time.Time
	least, most time.Duration
}

// during runs f, in which pages come, go, or turn, and no more than most are on.
func (m *meter) during(most int, f func()) {
	f()
	m.until(time.Now(), 0, most)
}

// stay lets time pass, in which nothing changes.
func (m *meter) stay(d time.Duration, on func() int) {
	before := on()
	time.Sleep(d)
	after := on()
	m.until(time.Now(), min(before, after), max(before, after))
}

func (m *meter) until(now time.Time, least, most int) {
	m.least += time.Duration(least) * now.Sub(m.last)
	m.most += time.Duration(most) * now.Sub(m.last)
	m.last = now
}

// TestDemoVisit: the demo counts a visit right while a page of it is hidden and shown, and
// others are opened, duplicated, closed and opened again.
func TestDemoVisit(t *testing.T) {
	const isOn = `(w => !w.document.hidden && w.document.hasFocus() ? 1 : 0)`
	for _, engine := range Engines() {
		t.Run(string(engine), func(t *testing.T) {
			d := startDemo(t)
			b := Start(t, engine)
			on := func(p *Page) func() int {
				return func() (n int) {
					p.Eval(`return `+isOn+`(window) + (window.opened && !opened.closed ? `+isOn+`(opened) : 0)`, &n)
					return n
				}
			}
			nobody := func() int { return 0 }
			const ready = `return !!window.visit && visit.session() !== ""`
			m := &meter{t: t, last: time.Now()}
			began := m.last

			var p, second *Page
			m.during(1, func() {
				p = b.Open(d.url)
				p.Click("#consent")
				p.WaitFor(ready)
			})
			loaded := m.last
			m.stay(1500*time.Millisecond, on(p))
			m.during(1, p.Hide)
			m.stay(3*time.Second, nobody)
			m.during(1, func() {
				second = b.Open(d.url + "second")
				second.WaitFor(ready)
			})
			m.stay(1500*time.Millisecond, on(second))
			m.during(2, func() {
				second.Click("#duplicate")
				second.WaitFor(`return !!window.opened?.visit && opened.visit.session() === visit.session()`)
			})
			m.stay(2*time.Second, on(second))
			m.during(2, func() {
				second.Eval(`opened.close()`, nil)
				second.WaitFor(`return opened.closed`)
			})
			m.stay(1200*time.Millisecond, on(second))
			m.during(1, second.Close)
			m.stay(3*time.Second, nobody)
			m.during(1, func() {
				second = b.Open(d.url + "second")
				second.WaitFor(ready)
			})
			m.stay(1500*time.Millisecond, on(second))
			m.during(1, func() {
				second.Close()
				p.Show()
			})

			// Until the page says that its stop watch and the server agree, or does not.
			p.Eval(`const agree = () => visit.server().until > `+millis(m.last)+` + 1500 &&
					visit.now().closed === 3 && ["elapsed", "engaged", "page-views"].every(id => document.getElementById(id).cells[3].dataset.state === "same");
				for (let i = 0; i < 80 && !agree(); i++) await new Promise(r => setTimeout(r, 250));`, nil)
			var got struct {
				Server struct {
					Session struct{ Elapsed, Engaged float64 }
					Until   float64
				}
				Then  struct{ Elapsed, Engaged float64 }
				Now   struct{ Views, Visible, Hidden, Closed int }
				Table string
				On    int
			}
			p.Eval(`const server = visit.server();
				return {server, then: stopWatch.at(visit.session(), server.until), now: visit.now(), on: `+isOn+`(window),
					table: document.getElementById("visit-table").innerText}`, &got)
			end := time.UnixMicro(int64(got.Server.Until * 1e3))
			m.until(end, got.On, got.On)
			if strings.Count(got.Table, "✓") != 3 || !strings.Contains(got.Table, "Views\t4\t4\t✓ same") {
				t.Errorf("the page says:\n%s", got.Table)
			}
			if n := got.Now; n.Visible != 1 || n.Hidden != 0 || n.Closed != 3 {
				t.Errorf("tabs: %+v", n)
			}

			const slack = 500 * time.Millisecond
			longest := end.Sub(began) + slack
			for _, c := range []struct {
				name            string
				is, least, most time.Duration
			}{
				{"elapsed, as the server counts", ms(got.Server.Session.Elapsed), end.Sub(loaded) - slack, longest},
				{"elapsed, on the page's stop watch", ms(got.Then.Elapsed), end.Sub(loaded) - slack, longest},
				{"engaged, as the server counts", ms(got.Server.Session.Engaged), m.least - slack, min(m.most, longest) + slack},
				{"engaged, on the page's stop watch", ms(got.Then.Engaged), m.least - slack, min(m.most, longest) + slack},
			} {
				t.Logf("%s: %v; on the test's clock %v to %v", c.name, c.is, c.least+slack, c.most-slack)
				if c.is < c.least || c.is > c.most {
					t.Errorf("%s: %v, want %v to %v", c.name, c.is, c.least, c.most)
				}
			}
			if t.Failed() {
				var all any
				p.Eval(`return Object.entries(localStorage)`, &all)
				t.Log(all, d.logged())
				for _, e := range d.events(t) {
					t.Logf("%s %s %s", e.View, e.Page, e.Body)
				}
			}
			// The live page beside it says the same of the session.
			p.WaitFor(`return [...document.getElementById("live").contentDocument.querySelectorAll("#rows .views")].some(e => e.textContent === "4")`)
			p.Click("#mine")
			p.WaitFor(`const dialog = document.getElementById("live").contentDocument.querySelector("dialog");
				return dialog.open && dialog.querySelectorAll("#views tbody tr").length === 4`)
		})
	}
}

func millis(t time.Time) string  { return strconv.FormatInt(t.UnixMilli(), 10) }
func ms(x float64) time.Duration { return time.Duration(x * float64(time.Millisecond)) }
