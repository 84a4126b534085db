package sessions_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sessions"
)

func ms(n int64) time.Time { return time.UnixMilli(n).UTC() }

func TestSource(t *testing.T) {
	const at = 1700000060000
	report := beacon.Event{
		ID: "v:s:v:1", Name: "session", Session: "s", View: "v", Series: "s:v", Seq: 1, Mode: beacon.ModeReplace, Time: ms(at),
		Body: beacon.JSON(`{"start":1700000000000,"end":1700000060000,"engaged":1500,"seen":40000,"from":1}`),
	}
	reported := beacon.PageView{Session: "s", View: "v", Start: ms(at - 60_000), End: ms(at), Visible: 40 * time.Second, Engaged: 1500 * time.Millisecond, Seq: 1}
	own := sessions.Source{Start: "from", End: "till", Engaged: "busy", Visible: "open"}
	keyed := sessions.Source{Key: func(e beacon.Event) string { return e.Attrs["user"] }}
	ada := map[string]string{"user": "ada"}
	rekeyed := reported
	rekeyed.Session = "ada"
	visit := beacon.PageView{View: "1700000000000", Start: ms(at - 60_000), End: ms(at)}
	alone := visit
	alone.End = alone.Start
	full := visit
	full.Visible, full.Engaged = 40*time.Second, 1500*time.Millisecond
	active := beacon.PageView{Session: "ada", View: "e", Page: "p", Start: ms(at), End: ms(at), Activity: true}
	crash := active
	crash.Crashed = true
	form := func(pairs ...string) (f beacon.Form) {
		for i := 0; i < len(pairs); i += 2 {
			f = append(f, beacon.Field{Name: pairs[i], Value: pairs[i+1]})
		}
		return f
	}
	for name, c := range map[string]struct {
		source sessions.Source
		event  beacon.Event
		want   beacon.PageView // zero if it says nothing
	}{
		"the client's":            {sessions.Source{}, report, reported},
		"the client's, own names": {own, report, reported},
		"the client's, a key":     {keyed, beacon.Event{Name: report.Name, Session: "s", View: "v", Seq: 1, Mode: report.Mode, Body: report.Body, Attrs: ada}, rekeyed},
		"a form":                  {sessions.Source{}, beacon.Event{Body: form("start", "1700000000000", "end", "1700000060000")}, visit},
		"a form, own names":       {own, beacon.Event{Body: form("from", "1700000000000", "till", "1700000060000", "start", "7", "open", "40000", "busy", "1500")}, full},
		"an object, own names":    {own, beacon.Event{Body: beacon.JSON(`{"from":null,"from":1700000000000,"till":"1700000060000","till":"","x":{"till":1},"open":4e4,"busy":1500}`)}, full},
		"a query, own names":      {own, beacon.Event{Body: beacon.Empty{}, Query: form("from", "1700000000000", "till", "1700000060000")}, visit},
		"body and query":          {own, beacon.Event{Body: form("from", "", "till", "1700000060000"), Query: form("from", "1700000000000", "till", "1700000099000")}, visit},
		"what the client sends beside it": {own, beacon.Event{Name: "visit", View: "v", Body: form("from", "1700000000000", "till", "1700000060000")},
			beacon.PageView{View: "v", Start: visit.Start, End: visit.End}},
		"the query has the other names":        {own, beacon.Event{Body: form("from", "1700000000000"), Query: form("end", "1700000060000")}, alone},
		"a field twice":                        {own, beacon.Event{Body: form("from", "", "from", "1700000000000", "from", "7")}, alone},
		"null and a value":                     {own, beacon.Event{Body: beacon.JSON(`{"from":1700000000000,"from":null}`)}, alone},
		"the other names are none":             {own, beacon.Event{Body: form("start", "1700000000000")}, beacon.PageView{}},
		"one own name":                         {sessions.Source{Start: "from"}, beacon.Event{Body: form("from", "1700000000000", "end", "1700000060000")}, visit},
		"a report with own names in the query": {own, beacon.Event{Body: beacon.Report{}, Query: form("from", "1700000000000")}, beacon.PageView{}},
		"a pixel":                              {sessions.Source{}, beacon.Event{ID: "e", Body: beacon.Empty{}, Time: ms(at)}, beacon.PageView{}},
		"a pixel with a key":                   {keyed, beacon.Event{ID: "e", Page: "p", Body: beacon.Empty{}, Time: ms(at).Add(999), Received: ms(at + 5), Attrs: ada}, active},
		"a pixel, own names":                   {sessions.Source{Key: keyed.Key, Start: "from"}, beacon.Event{ID: "e", Page: "p", Body: beacon.Empty{}, Time: ms(at), Attrs: ada}, active},
		"a pixel of nobody":                    {keyed, beacon.Event{ID: "e", Page: "p", Body: beacon.Empty{}, Time: ms(at)}, beacon.PageView{}},
		"a pixel of some time":                 {keyed, beacon.Event{ID: "e", Page: "p", Body: beacon.Empty{}, Attrs: ada}, beacon.PageView{}},
		"a pixel without a Time":               {keyed, beacon.Event{ID: "e", Page: "p", Body: beacon.Empty{}, Received: ms(at), Attrs: ada}, active},
		"a crash":                              {keyed, beacon.Event{ID: "e", Name: "crash", Page: "p", Body: beacon.Report{Type: "crash"}, Time: ms(at), Attrs: ada}, crash},
		"another report":                       {keyed, beacon.Event{ID: "e", Page: "p", Body: beacon.Report{Type: "deprecation"}, Time: ms(at), Attrs: ada}, active},
		"a ping":                               {keyed, beacon.Event{ID: "e", Name: "ping", Page: "p", Body: beacon.Ping{}, Query: form("start", "1700000000000"), Time: ms(at), Attrs: ada}, active},
		"a session of Enrich":                  {sessions.Source{}, beacon.Event{ID: "e", Session: "ada", Page: "p", Body: beacon.JSON(`{"a":1}`), Time: ms(at)}, active},
		"vitals of a view":                     {keyed, beacon.Event{ID: "v:x:1", Name: "LCP", View: "v", Session: "s", Page: "p", Body: beacon.JSON(`{"value":1}`), Time: ms(at), Attrs: ada}, beacon.PageView{}},
		"a log of a view":                      {keyed, beacon.Event{Name: "log", View: "v", Session: "s", Seq: 3, Mode: beacon.ModeAppend, Body: beacon.JSON(`{"msg":1}`), Attrs: ada}, beacon.PageView{Session: "ada", View: "v", Logged: 3}},
	} {
		got, ok := c.source.PageView(c.event)
		if ok != (c.want != beacon.PageView{}) {
			t.Errorf("%s: %v", name, ok)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}
