package live

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sessions"
)

const (
	sessionsShown = 100
	viewsShown    = 40 // of one session
)

// A row is a session as the page gets it. Times are milliseconds since the epoch on the
// server's clock, and durations milliseconds.
type row struct {
	ID       string     `json:"id"`
	Key      string     `json:"key"`
	Start    float64    `json:"start"`
	End      float64    `json:"end"`
	Heard    int64      `json:"heard"` // when something of it came last
	Elapsed  float64    `json:"elapsed"`
	Engaged  float64    `json:"engaged"`
	Views    int        `json:"views"`
	Entry    string     `json:"entry,omitempty"`
	Exit     string     `json:"exit,omitempty"`
	Referrer string     `json:"referrer,omitempty"`
	Attached int        `json:"attached,omitempty"`
	Logged   uint64     `json:"logged,omitempty"`
	Notes    []string   `json:"notes,omitempty"`
	Pages    []pageView `json:"pages"`
	More     int        `json:"more,omitempty"` // page views that are not shown
}

type pageView struct {
	View    string  `json:"view"`
	Page    string  `json:"page,omitempty"`
	Name    string  `json:"name,omitempty"`
	Start   float64 `json:"start"`
	End     float64 `json:"end"`
	Visible float64 `json:"visible"`
	Engaged float64 `json:"engaged"`
	Unseen  bool    `json:"unseen,omitempty"`
	Crashed bool    `json:"crashed,omitempty"`

	// Parts are the times between its reports: where each begins and ends, and for how
	// long of that the page was visible and engaged.
	Parts [][4]float64 `json:"parts"`
}

// A table is all that is shown of sessions, at one moment.
type table struct {
	version uint64
	rows    []tableRow // those that are shown
	totals  []byte     // JSON
}

type tableRow struct {
	id   string
	data []byte // JSON
}

// copied returns the page views of a book, as they are now.
func (b *book) copied() (views []*view, lost map[string]bool) {
	views = make([]*view, 0, b.count)
	lost = map[string]bool{}
	for el := b.order.Front(); el != nil; el = el.Next() {
		w := el.Value.(*visitor)
		if w.lost {
			lost[w.name] = true
		}
		for _, v := range w.views {
			c := *v
			c.reports = slices.Clone(v.reports)
			views = append(views, &c)
		}
	}
	return views, lost
}

// tabulate derives the sessions of page views, which it may change.
func tabulate(views []*view, lost map[string]bool, rules sessions.Rules) table {
	all := make([]beacon.PageView, len(views))
	for i, v := range views {
		all[i] = v.PageView
	}
	found := sessions.Of(all, rules)
	rows := make([]row, len(found))
	mine := map[string][]int{} // rows of a key, by start
	for i, s := range found {
		rows[i] = newRow(s, lost[s.Key])
		mine[s.Key] = append(mine[s.Key], i)
	}
	for _, v := range corrected(views) {
		v.place(rows, mine[cmp.Or(v.Session, v.View)], millis(rules.Gap))
	}
	t := table{totals: totals(rows)}
	// Those that were last heard of: when they were is the word of clients, who could
	// fill the page with what is to come.
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Or(cmp.Compare(b.Heard, a.Heard), cmp.Compare(b.End, a.End)) })
	for _, r := range rows[:min(len(rows), sessionsShown)] {
		slices.SortFunc(r.Pages, func(a, b pageView) int { return cmp.Compare(a.Start, b.Start) })
		if r.More = len(r.Pages) - viewsShown; r.More > 0 {
			r.Pages = r.Pages[r.More:]
		} else {
			r.More = 0
		}
		data, _ := json.Marshal(r) // texts and numbers
		t.rows = append(t.rows, tableRow{r.ID, data})
	}
	return t
}

func newRow(s sessions.Session, lost bool) row {
	r := row{
		ID: s.ID, Key: s.Key, Start: at(s.Start), End: at(s.End), Elapsed: millis(s.Elapsed()), Engaged: millis(s.Engaged),
		Views: s.Views, Entry: s.Entry, Exit: s.Exit, Referrer: s.Referrer, Attached: s.Attached, Logged: s.Logged,
		Pages: []pageView{},
	}
	for _, n := range []struct {
		is   bool
		text string
	}{
		{s.Crashed, "A page of it crashed."},
		{s.Cut, "Longer than a session may be: cut."},
		{s.Incomplete, "Of a page only the start was heard of."},
		{s.ClientClock, "Times are on the visitor's clock: no report said when it was sent."},
		{lost, "There were more page views than are kept here."},
	} {
		if n.is {
			r.Notes = append(r.Notes, n.text)
		}
	}
	return r
}

// corrected returns the page views with their times on the server's clock, as
// [sessions.Of] corrects them: by the smallest Offset of all of one Session.
func corrected(views []*view) []*view {
	offsets := map[string]time.Duration{}
	for _, v := range views {
		if !v.HasOffset || v.Activity || v.Session == "" {
			continue
		}
		if o, known := offsets[v.Session]; !known || v.Offset < o {
			offsets[v.Session] = v.Offset
		}
	}
	for _, v := range views {
		offset := offsets[v.Session]
		if v.Session == "" && v.HasOffset {
			offset = v.Offset
		}
		if v.Activity || offset == 0 {
			continue
		}
		v.Start, v.End = v.Start.Add(offset), v.End.Add(offset)
		for i := range v.reports {
			v.reports[i].end += offset.Microseconds()
		}
	}
	return views
}

// place puts a page view into the session it is of, the last that began before it, and
// activity and what nobody saw into the first that is near.
func (v *view) place(rows []row, mine []int, gap float64) {
	if v.Start.IsZero() {
		return
	}
	start, attached := at(v.Start), v.Activity || v.Visible == 0 && v.Unseen
	to := -1
	for _, i := range mine {
		r := &rows[i]
		switch {
		case attached && to < 0 && start >= r.Start-gap && start <= r.End+gap:
			to = i
		case !attached && r.Start <= start:
			to = i
		}
	}
	if to < 0 {
		return
	}
	r := &rows[to]
	r.Heard = max(r.Heard, v.heard.UnixMilli())
	if v.Activity {
		return // its event says more
	}
	r.Pages = append(r.Pages, pageView{
		View: v.View, Page: v.Page, Name: v.Name, Start: start, End: at(v.End),
		Visible: millis(v.Visible), Engaged: millis(v.Engaged), Unseen: attached, Crashed: v.Crashed,
		Parts: v.parts(),
	})
}

// parts returns what came to each total from one report to the next. No more is seen in a
// time than the time, nor engaged than seen, whatever a client says.
func (v *view) parts() [][4]float64 {
	parts := [][4]float64{}
	from, visible, engaged := v.Start.UnixMicro(), int64(0), int64(0)
	for _, r := range v.reports {
		if r.end <= from {
			visible, engaged = max(visible, r.visible), max(engaged, r.engaged)
			continue
		}
		seen := min(max(r.visible-visible, 0), r.end-from)
		parts = append(parts, [4]float64{
			float64(from) / 1e3, float64(r.end) / 1e3, float64(seen) / 1e3, float64(min(max(r.engaged-engaged, 0), seen)) / 1e3,
		})
		from, visible, engaged = r.end, max(visible, r.visible), max(engaged, r.engaged)
	}
	return parts
}

func at(t time.Time) float64         { return float64(t.UnixMicro()) / 1e3 }
func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// bins are where those of the histogram end, in milliseconds; the last has no end.
var bins = []float64{1e3, 3e3, 10e3, 30e3, 60e3, 180e3, 600e3, 1800e3, 3600e3}

// A distribution is that of one of the two lengths that sessions have.
type distribution struct {
	Counts []int   `json:"counts"`
	Median float64 `json:"median"`
	P95    float64 `json:"p95"`
}

func totals(rows []row) []byte {
	elapsed, engaged := make([]float64, len(rows)), make([]float64, len(rows))
	for i, r := range rows {
		elapsed[i], engaged[i] = r.Elapsed, r.Engaged
	}
	data, _ := json.Marshal(struct {
		Sessions int          `json:"sessions"`
		Bins     []float64    `json:"bins"`
		Elapsed  distribution `json:"elapsed"`
		Engaged  distribution `json:"engaged"`
	}{len(rows), bins, distribute(elapsed), distribute(engaged)}) // numbers
	return data
}

func distribute(lengths []float64) distribution {
	d := distribution{Counts: make([]int, len(bins)+1)}
	slices.Sort(lengths)
	for _, x := range lengths {
		i, _ := slices.BinarySearchFunc(bins, x, func(bin, x float64) int {
			if bin <= x {
				return -1
			}
			return 1
		})
		d.Counts[i]++
	}
	if n := len(lengths); n > 0 {
		d.Median = (lengths[(n-1)/2] + lengths[n/2]) / 2 // as stores have it
		d.P95 = lengths[int(math.Ceil(0.95*float64(n)))-1]
	}
	return d
}
