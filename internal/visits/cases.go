package visits

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/pagebeacon/beacon"
)

// Cases returns visits from real life, and what they are.
func Cases() []Case {
	var all []Case
	for _, table := range [][]named{ordinary(), clocks(), delivery(), boundaries(), others()} {
		for _, n := range table {
			c := Case{Name: n.name, Events: visit("s", n.visit)}
			for _, w := range n.want {
				c.Want = append(c.Want, w.session())
			}
			all = append(all, c)
		}
	}
	return all
}

type named struct {
	name  string
	visit func(*visitor)
	want  []visited
}

const (
	second = time.Second
	minute = time.Minute
	hour   = time.Hour
)

// ordinary visits: pages that are opened, hidden, left and come back to.
func ordinary() []named {
	return []named{
		{"single page", func(v *visitor) { v.steady("a", "", "https://search.example/", 0, 5*minute) }, []visited{
			{key: "s", view: "a", start: Way, end: 5*minute + Way, engaged: 5 * minute, referrer: "https://search.example/"},
		}},
		{"bounce", func(v *visitor) {
			v.report(totals{view: "a", start: 0, end: 700 * time.Millisecond, seen: 700 * time.Millisecond, engaged: 700 * time.Millisecond})
		}, []visited{{key: "s", view: "a", start: Way, end: 700*time.Millisecond + Way, engaged: 700 * time.Millisecond}}},
		{"three tabs", func(v *visitor) {
			v.steady("a", "list", "", 0, 2*minute)
			v.steady("b", "one", "https://example.com/list", 2*minute, 6*minute)
			v.steady("c", "two", "https://example.com/list", 4*minute, 5*minute) // in a window beside it
			v.report(totals{view: "a", page: "list", seq: 9, start: 0, end: 8 * minute, seen: 4 * minute, engaged: 4 * minute})
		}, []visited{{
			key: "s", view: "a", start: Way, end: 8*minute + Way, views: 3, entry: "list",
			engaged: 8 * minute, // 9 by the sum: two pages had the focus for a minute
		}}},
		{"hidden tab for twenty minutes", func(v *visitor) {
			v.steady("a", "", "", 0, 5*minute)
			v.report(totals{view: "a", seq: 11, start: 0, end: 26 * minute, seen: 6 * minute, engaged: 6 * minute})
		}, []visited{{key: "s", view: "a", start: Way, end: 26*minute + Way, engaged: 6 * minute}}},
		{"hidden tab for an hour", func(v *visitor) {
			v.steady("a", "", "", 0, 5*minute)
			for i := range uint64(60) { // the totals are what they were
				v.report(totals{view: "a", seq: 11 + i, start: 0, end: 5 * minute, seen: 5 * minute, engaged: 5 * minute, sent: time.Duration(6+i) * minute})
			}
			v.session = "later" // which is how the client goes on after so long
			v.steady("b", "", "", 65*minute, 67*minute)
		}, []visited{
			{key: "s", view: "a", start: Way, end: 5*minute + Way, engaged: 5 * minute},
			{key: "later", view: "b", start: 65*minute + Way, end: 67*minute + Way, engaged: 2 * minute},
		}},
		{"laptop asleep", func(v *visitor) {
			v.steady("a", "", "", 0, 10*minute)
			v.report(totals{view: "a", seq: 30, start: 0, end: 10 * minute, seen: 10 * minute, engaged: 10 * minute, sent: 8 * hour})
			v.session = "awake"
			v.steady("b", "", "", 8*hour, 8*hour+10*minute)
		}, []visited{
			{key: "s", view: "a", start: Way, end: 10*minute + Way, engaged: 10 * minute},
			{key: "awake", view: "b", start: 8*hour + Way, end: 8*hour + 10*minute + Way, engaged: 10 * minute},
		}},
		{"bfcache there and back", func(v *visitor) {
			v.steady("a", "list", "", 0, 2*minute)
			v.steady("b", "one", "https://example.com/list", 2*minute, 4*minute)
			v.steady("c", "list", "", 4*minute, 6*minute) // shown again, it is another view
		}, []visited{{key: "s", view: "a", start: Way, end: 6*minute + Way, engaged: 6 * minute, views: 3, entry: "list"}}},
		{"entry and exit", func(v *visitor) {
			v.steady("a", "in", "https://search.example/", 0, minute)
			v.steady("b", "between", "https://example.com/in", minute, 2*minute)
			v.steady("c", "out", "https://example.com/between", 2*minute, 3*minute)
		}, []visited{{
			key: "s", view: "a", start: Way, end: 3*minute + Way, engaged: 3 * minute, views: 3,
			entry: "in", exit: "out", referrer: "https://search.example/",
		}}},
		{"prerender", func(v *visitor) {
			v.steady("a", "", "", 0, minute)
			v.report(totals{view: "b", page: "next", start: 30 * second, end: 30 * second}) // ahead of the click
			v.report(totals{view: "b", page: "next", seq: 2, start: 60 * second, end: 2 * minute, seen: minute, engaged: minute})
			v.report(totals{view: "c", page: "never", start: 31 * second, end: 31 * second}) // nobody clicked
		}, []visited{{key: "s", view: "a", start: Way, end: 2*minute + Way, engaged: 2 * minute, views: 2, exit: "next", attached: 1}}},
		{"never seen", func(v *visitor) {
			v.report(totals{view: "a", start: 0, end: 0, sent: 10 * minute})
			v.log("a", 1, minute)
		}, nil},
		{"a vitals beacon alone", func(v *visitor) { v.vitals("a", second) }, nil},
		{"a message alone", func(v *visitor) { v.log("a", 1, second) }, nil},
		{"messages of a visit", func(v *visitor) {
			v.steady("a", "", "", 0, minute)
			v.log("a", 3, minute)
			v.log("a", 1, second)
		}, []visited{{key: "s", view: "a", start: Way, end: minute + Way, engaged: minute, logged: 3}}},
		{"crash", func(v *visitor) {
			v.report(totals{view: "a", start: 0, end: minute, seen: minute, engaged: minute})
			v.crash(70*second, 10*minute)
		}, []visited{{key: "s", view: "a", start: Way, end: minute + Way, engaged: minute, attached: 1, crashed: true}}},
	}
}

// clocks that are wrong.
func clocks() []named {
	wrong := func(skew time.Duration) func(*visitor) {
		return func(v *visitor) {
			v.skew = skew
			v.steady("a", "", "", 0, 5*minute)
			v.happen("ping", 2*minute, beacon.Ping{From: "https://example.com/", To: "https://elsewhere.example/"})
		}
	}
	right := []visited{{key: "s", view: "a", start: Way, end: 5*minute + Way, engaged: 5 * minute, attached: 1}}
	return []named{
		{"clock three hours ahead", wrong(3 * hour), right},
		{"clock five hours behind", wrong(-5 * hour), right},
		{"clock twenty years behind", wrong(-20 * 365 * 24 * hour), right},
		{"clock sixty years ahead", wrong(60 * 365 * 24 * hour), right},
		{"one slow report", func(v *visitor) {
			v.steady("a", "", "", 0, 5*minute)
			v.report(totals{view: "a", seq: 20, start: 0, end: 6 * minute, seen: 6 * minute, engaged: 6 * minute})
			v.events[len(v.events)-1].Received = Noon.Add(7 * minute) // a minute on the way
		}, []visited{{key: "s", view: "a", start: Way, end: 6*minute + Way, engaged: 6 * minute}}},
		// The clock of a page view goes on as it began; that of the next one is another.
		{"clock set back by ten minutes mid-visit", func(v *visitor) {
			v.steady("a", "in", "", 0, 5*minute)
			v.skew = -10 * minute
			v.steady("b", "out", "", 5*minute, 10*minute)
		}, []visited{{ // what was first is later now, and 5 minutes of 10 are at the same time
			key: "s", view: "b", start: -5*minute + Way, end: 5*minute + Way, engaged: 10 * minute, views: 2, entry: "out", exit: "in",
		}}},
		{"clock set ahead by an hour mid-visit", func(v *visitor) {
			v.steady("a", "in", "", 0, 5*minute)
			v.skew = hour
			v.steady("b", "out", "", 5*minute, 10*minute)
		}, []visited{ // each as long as it was, but one visit is two
			{key: "s", view: "a", start: -hour + Way, end: -hour + 5*minute + Way, engaged: 5 * minute, entry: "in"},
			{key: "s", view: "b", start: 5*minute + Way, end: 10*minute + Way, engaged: 5 * minute, entry: "out"},
		}},
	}
}

// delivery: what is lost, late, or there twice.
func delivery() []named {
	return []named{
		{"last beacon lost", func(v *visitor) {
			v.steady("a", "", "", 0, 4*minute)
			v.events = v.events[:len(v.events)-1]
		}, []visited{{key: "s", view: "a", start: Way, end: 3*minute + 30*second + Way, engaged: 3*minute + 30*second}}},
		{"only the last beacon", func(v *visitor) {
			v.steady("a", "", "", 0, 4*minute)
			v.events = v.events[len(v.events)-1:]
		}, []visited{{key: "s", view: "a", start: Way, end: 4*minute + Way, engaged: 4 * minute}}},
		{"fetchLater late", func(v *visitor) {
			v.skew = 2 * hour
			v.steady("a", "", "", 0, 4*minute)
			v.report(totals{view: "a", seq: 20, start: 0, end: 4*minute + 20*second, seen: 4*minute + 20*second, engaged: 4*minute + 20*second, wait: 25 * minute})
		}, []visited{{key: "s", view: "a", start: Way, end: 4*minute + 20*second + Way, engaged: 4*minute + 20*second}}},
		{"offline replay a day later", func(v *visitor) {
			for i := range uint64(3) {
				d := time.Duration(i+1) * minute
				v.report(totals{view: "a", seq: i + 1, start: 0, end: d, seen: d, engaged: d, wait: 24 * hour})
			}
		}, []visited{{key: "s", view: "a", start: 0, end: 3 * minute, engaged: 3 * minute, unclocked: true}}},
		{"offline replay while another page is open", func(v *visitor) {
			v.skew = -hour
			v.report(totals{view: "a", page: "old", start: 0, end: minute, seen: minute, engaged: minute, wait: 10 * minute})
			v.steady("b", "new", "", 10*minute, 12*minute)
		}, []visited{{key: "s", view: "a", start: Way, end: 12*minute + Way, engaged: 3 * minute, views: 2, entry: "old", exit: "new"}}},
		{"twins", func(v *visitor) {
			v.steady("a", "", "", 0, 5*minute)
			for _, e := range slices.Clone(v.events) {
				e.ID, e.Received = "twin of "+e.ID, e.Received.Add(700*time.Millisecond)
				v.events = append(v.events, e)
			}
		}, []visited{{key: "s", view: "a", start: Way, end: 5*minute + Way, engaged: 5 * minute}}},
		{"the first last", func(v *visitor) {
			v.steady("a", "in", "https://search.example/", 0, 5*minute)
			v.steady("b", "out", "https://example.com/in", 5*minute, 8*minute)
			slices.Reverse(v.events)
		}, []visited{{
			key: "s", view: "a", start: Way, end: 8*minute + Way, engaged: 8 * minute, views: 2,
			entry: "in", exit: "out", referrer: "https://search.example/",
		}}},
		{"an absurd sequence number", func(v *visitor) {
			v.steady("a", "", "", 0, 5*minute)
			v.report(totals{view: "a", seq: 1 << 53, start: 0, end: minute, seen: 40 * hour, engaged: 40 * hour})
		}, []visited{{key: "s", view: "a", start: Way, end: 5*minute + Way, engaged: 5 * minute}}},
		{"pings days later", func(v *visitor) {
			v.steady("a", "", "", 0, 5*minute)
			v.happen("ping", 3*minute, beacon.Ping{})
			for d := range time.Duration(5) {
				v.happen("ping", (d+1)*24*hour, beacon.Ping{})
			}
		}, []visited{{key: "s", view: "a", start: Way, end: 5*minute + Way, engaged: 5 * minute, attached: 1}}},
		{"reports of a tab that was restored days later", func(v *visitor) {
			v.steady("a", "", "", 0, 5*minute)
			v.report(totals{session: "restored", view: "a", seq: 30, start: 72 * hour, end: 72*hour + minute, seen: minute, engaged: minute})
		}, []visited{
			{key: "s", view: "a", start: Way, end: 5*minute + Way, engaged: 5 * minute},
			{key: "restored", view: "a", start: 72*hour + Way, end: 72*hour + minute + Way, engaged: minute},
		}},
	}
}

// boundaries: of the day, of the gap, and of the longest session.
func boundaries() []named {
	apart := func(d time.Duration) func(*visitor) {
		return func(v *visitor) {
			v.steady("a", "in", "", 0, 5*minute)
			v.steady("b", "out", "", 5*minute+d, 6*minute+d)
		}
	}
	one := func(d time.Duration) []visited {
		return []visited{{key: "s", view: "a", start: Way, end: 6*minute + d + Way, engaged: 6 * minute, views: 2, entry: "in", exit: "out"}}
	}
	two := func(d time.Duration) []visited {
		return []visited{
			{key: "s", view: "a", start: Way, end: 5*minute + Way, engaged: 5 * minute, entry: "in"},
			{key: "s", view: "b", start: 5*minute + d + Way, end: 6*minute + d + Way, engaged: minute, entry: "out"},
		}
	}
	bots := make([]visited, 3)
	for i := range bots {
		day := time.Duration(i) * 24 * hour
		bots[i] = visited{key: "s", view: fmt.Sprintf("%03d", i*144), start: day + Way, end: day + 24*hour - 9*minute + Way, engaged: 144 * minute, views: 144, cut: i < 2}
	}
	return []named{
		{"midnight", func(v *visitor) { v.steady("a", "", "", 12*hour-10*minute, 12*hour+10*minute) }, []visited{
			{key: "s", view: "a", start: 12*hour - 10*minute + Way, end: 12*hour + 10*minute + Way, engaged: 20 * minute},
		}},
		{"29 minutes apart", apart(29 * minute), one(29 * minute)},
		{"exactly 30 minutes apart", apart(30 * minute), one(30 * minute)},
		{"30 minutes and a millisecond apart", apart(30*minute + time.Millisecond), two(30*minute + time.Millisecond)},
		{"31 minutes apart", apart(31 * minute), two(31 * minute)},
		{"bridged by a late event", func(v *visitor) {
			v.steady("a", "in", "", 0, 5*minute)
			v.steady("c", "out", "", hour, hour+5*minute)
			v.report(totals{view: "b", page: "between", start: 30 * minute, end: 40 * minute, seen: 10 * minute, engaged: 10 * minute, wait: 24 * hour})
		}, []visited{{key: "s", view: "a", start: Way, end: hour + 5*minute + Way, engaged: 20 * minute, views: 3, entry: "in", exit: "out"}}},
		{"bots all day", func(v *visitor) {
			for i := range 3 * 144 { // a page for a minute, every ten minutes, for three days
				at := time.Duration(i) * 10 * minute
				v.report(totals{view: fmt.Sprintf("%03d", i), start: at, end: at + minute, seen: minute, engaged: minute})
			}
		}, bots},
		{"24 hours at most", func(v *visitor) {
			v.report(totals{view: "a", start: 0, end: 30 * hour, seen: 30 * hour, engaged: 30 * hour})
		}, []visited{{key: "s", view: "a", start: Way, end: 24*hour + Way, engaged: 24 * hour, cut: true}}},
		{"a second page on the second day", func(v *visitor) {
			v.report(totals{view: "a", page: "in", start: 0, end: 25 * hour, seen: 25 * hour, engaged: hour})
			v.report(totals{view: "b", page: "out", start: 24*hour + 20*minute, end: 25 * hour, seen: minute, engaged: minute})
		}, []visited{
			{key: "s", view: "a", start: Way, end: 24*hour + Way, engaged: hour, entry: "in", cut: true},
			{key: "s", view: "b", start: 24*hour + 20*minute + Way, end: 25*hour + Way, engaged: minute, entry: "out"},
		}},
	}
}

// others: pages without the client, and visitors without a session.
func others() []named {
	stamp := func(d time.Duration) string { return strconv.FormatInt(Noon.Add(d).UnixMilli(), 10) }
	return []named{
		{"the article's demo", func(v *visitor) {
			v.session = ""
			v.form(0, 12340*time.Millisecond, 12341*time.Millisecond)
		}, []visited{{view: stamp(0), start: 0, end: 12340 * time.Millisecond, unclocked: true}}},
		{"the article's demo, hidden and shown", func(v *visitor) {
			v.session = ""
			for i := range time.Duration(4) {
				v.form(0, (i+1)*10*second, (i+1)*10*second)
			}
		}, []visited{{view: stamp(0), start: 0, end: 40 * second, unclocked: true}}},
		{"only a start", func(v *visitor) {
			v.session = ""
			v.form(0, 0, 0)
		}, []visited{{view: stamp(0), unclocked: true, incomplete: true}}},
		{"two without a session", func(v *visitor) {
			v.session = ""
			v.form(0, minute, minute)
			v.form(second, minute, minute)
		}, []visited{
			{view: stamp(0), start: 0, end: minute, unclocked: true},
			{view: stamp(second), start: second, end: minute, unclocked: true},
		}},
		{"an object of a page's own", func(v *visitor) {
			v.happen("visit", 10*second, beacon.JSON(`{"start":`+v.millis(0)+`,"end":`+v.millis(10*second)+`,"engaged":4000,"seen":9000}`))
		}, []visited{{key: "s", view: stamp(0), start: 0, end: 10 * second, engaged: 4 * second, unclocked: true}}},
		{"pixels, pings and reports alone", func(v *visitor) {
			v.happen("", 0, beacon.Empty{})
			v.happen("ping", second, beacon.Ping{})
			v.happen("csp-violation", 2*second, beacon.Report{Type: "csp-violation", Body: []byte(`{}`)})
			v.happen("", 3*second, beacon.JSON(`{"clicked":true}`))
		}, nil},
		{"pixels beside a visit", func(v *visitor) {
			v.steady("a", "", "", 40*minute, 50*minute)
			v.happen("", 10*minute, beacon.Empty{})                     // half an hour and 40 ms before, on the server's clock
			v.happen("", 10*minute-time.Millisecond, beacon.Empty{})    // too early
			v.happen("", 80*minute, beacon.Empty{})                     // half an hour after
			v.happen("", 80*minute+time.Millisecond, beacon.Empty{})    // too late
			v.happen("", 45*minute, beacon.JSON(`{"clicked":"buy"}`))   // within
			v.happen("", 45*minute, beacon.Text("neither one nor two")) // within
		}, []visited{{key: "s", view: "a", start: 40*minute + Way, end: 50*minute + Way, engaged: 10 * minute, attached: 4}}},
		{"between two visits", func(v *visitor) { // and near to both
			v.steady("a", "", "", 0, minute)
			v.happen("", 25*minute, beacon.Empty{})
			v.steady("b", "", "", 50*minute, 51*minute)
		}, []visited{
			{key: "s", view: "a", start: Way, end: minute + Way, engaged: minute, attached: 1},
			{key: "s", view: "b", start: 50*minute + Way, end: 51*minute + Way, engaged: minute},
		}},
		{"a vitals beacon during a visit", func(v *visitor) {
			v.steady("a", "", "", 0, minute)
			v.vitals("a", minute)
			v.vitals("a", 40*minute)
		}, []visited{{key: "s", view: "a", start: Way, end: minute + Way, engaged: minute}}},
		{"tabs in the background", func(v *visitor) {
			v.steady("a", "", "", 0, minute)
			for i := range 5 {
				at := time.Duration(i) * 10 * second
				v.report(totals{view: "tab" + strconv.Itoa(i), start: at, end: at, sent: 10 * minute})
			}
		}, []visited{{key: "s", view: "a", start: Way, end: minute + Way, engaged: minute, attached: 5}}},
	}
}
