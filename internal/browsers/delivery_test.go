package browsers

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// trials is how often each end of a page is tried: few in CI, 50 for the table of the
// README, which takes more than an hour:
//
//	BEACON_TRIALS=50 go test -timeout 3h -run 'Delivery|FourTabs|Killed|Quit|UnderLoad' .
func trials() int {
	n, err := strconv.Atoi(os.Getenv("BEACON_TRIALS"))
	if err != nil {
		return 4
	}
	return n
}

// A config is an engine, and what is taken from it.
type config struct {
	name   string
	engine Engine
	query  string // of all pages
}

var configs = []config{
	{"chromium", Chromium, ""},
	{"chromium-without-fetchlater", Chromium, "without-fetchlater"},
	{"firefox", Firefox, ""},
	{"webkit", WebKit, ""},
}

// kinds of what a page has to say: a string in a PendingPostBeacon, and a
// PendingGetBeacon, whose identity is their own affair; a ReplaceableBeacon, an item
// of an AppendableBeacon, and the session that the tag reports, which have ids.
var kinds = []string{"post", "get", "replaced", "item", "session"}

func raw(kind string) bool { return kind == "post" || kind == "get" || kind == "own" }

// fill is the body of a script that fills beacons in the window W.
const fill = `const B = W.beacon, held = W.held ||= [];
	const post = new B.PendingPostBeacon("/_pb?trial=post." + M), replaced = new B.ReplaceableBeacon("/_pb"), item = new B.AppendableBeacon("/_pb");
	held.push(post, replaced, item, new B.PendingGetBeacon("/_pb?trial=get." + M));
	item.appendData("item." + M + "last");
	for (const state of ["first", "second", "last"]) {
		post.setData("post." + M + state);
		replaced.replaceData("replaced." + M + state);
		if (PAUSE) await new Promise(done => setTimeout(done, PAUSE));
	}`

func fillIn(window, mark string, pause time.Duration) string {
	return strings.NewReplacer("W", window, "M", quote(mark), "PAUSE", fmt.Sprint(pause.Milliseconds())).Replace(fill)
}

// twenty is the same for 20 beacons of one kind, a fifth kind among them: POST with
// the credentials of the own origin only, which no sendBeacon sends everywhere.
const twenty = `W.held = [];
	for (let i = 0; i < 20; i++) {
		const mark = KIND + "." + M + i + ".", url = "/_pb?trial=" + mark;
		if (KIND === "post" || KIND === "own") {
			const b = new W.beacon.PendingPostBeacon(url, KIND === "own" ? {credentials: "same-origin"} : {});
			b.setData(mark + "last");
			W.held.push(b);
		} else if (KIND === "get") {
			W.held.push(new W.beacon.PendingGetBeacon(url));
		} else if (KIND === "replaced") {
			const b = new W.beacon.ReplaceableBeacon("/_pb");
			b.replaceData(mark + "last");
			W.held.push(b);
		} else {
			const b = new W.beacon.AppendableBeacon("/_pb");
			b.appendData(mark + "last");
			W.held.push(b);
		}
	}`

// pause is how long a page is there: not left while it loads, which is another
// matter, and every second one for longer, as the client stores after a while.
func pause(i int) time.Duration { return time.Duration(100+400*(i%2)) * time.Millisecond }

// TestDelivery ends pages in every way there is, with the client's defaults, and
// counts what is stored exactly once, after a later visit too.
func TestDelivery(t *testing.T) {
	for _, c := range configs {
		t.Run(c.name, func(t *testing.T) {
			s, b := newStore(t), Start(t, c.engine)
			fmt.Printf("browser: %s (%s), load %s\n", b.Version(), c.name, load())
			for _, e := range ends {
				t.Run(e.name, func(t *testing.T) {
					if e.later { // a store holds twenty, and those before left some
						s.settle()
						s.nextVisit(b.For(t), c.query)
					}
					x := &trial{s, b.For(t), c, newTable(c, e.name), nil}
					for i := 0; i < e.trials(); i += max(1, e.batch) {
						e.run(x, i)
					}
					if x.opener != nil {
						x.opener.Close()
					}
					if e.later { // now: a store holds twenty, and others make more
						s.settle()
						s.nextVisit(x.b, c.query)
					}
				})
			}
			s.settle()
			atOnce := map[string]string{}
			for _, e := range ends {
				r := newTable(c, e.name)
				r.addAll(s, e)
				r.print("")
				atOnce[e.name] = r.cell()
				if !e.later {
					r.check(t, 0.98, nil)
				}
			}
			// What the store has comes now. A record that should be gone makes a twin.
			s.nextVisit(b, c.query)
			for _, e := range ends {
				r := newTable(c, e.name+" and next visit")
				r.addAll(s, e)
				if r.cell() != atOnce[e.name] {
					r.print("")
				}
				r.check(t, 0.98, nil)
			}
			fmt.Printf("delivery: %-28s load %s, %d twins with ids\n", c.name, load(), s.twins)
		})
	}
}

// addAll adds what the pages of an end had to say.
func (r *table) addAll(s *store, e end) {
	for i := range e.trials() {
		mark := fmt.Sprintf("%s.%s.%d.", r.config.name, e.name, i)
		switch {
		case e.twenty:
			for j := range 20 {
				r.add(s, kindOfTwenty(i), fmt.Sprintf("%s%d.", mark, j))
			}
		case e.name == "bfcache":
			for _, kind := range kinds[:4] {
				r.add(s, kind, mark+"a.")
				r.add(s, kind, mark+"b.")
			}
		default:
			for _, kind := range kinds {
				// A page without a URL has no mark.
				if kind != "session" || e.name != "srcdoc" {
					r.add(s, kind, mark)
				}
			}
		}
	}
}

func kindOfTwenty(i int) string { return []string{"post", "get", "replaced", "item", "own"}[i%5] }
