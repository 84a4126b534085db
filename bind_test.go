package beacon_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
)

type place struct {
	City string
	Zip  int `schema:"zip"`
}

type embedded struct {
	Shared string `schema:"shared"`
}

type vitals struct {
	embedded
	Name     string         `schema:"name" json:"name"`
	Value    float64        `schema:"value" json:"value"`
	Count    int            `schema:"count" json:"count"`
	Small    int8           `schema:"small"`
	Big      uint64         `schema:"big"`
	Ok       bool           `schema:"ok"`
	Took     time.Duration  `schema:"took"`
	At       time.Time      `schema:"at"`
	Addr     netip.Addr     `schema:"addr"`
	Opt      *int           `schema:"opt"`
	Tags     []string       `schema:"tag"`
	Nums     []int          `schema:"num"`
	RTStart  string         `schema:"rt_start"`
	CF       string         `schema:"c_f"`
	CFD      string         `schema:"c_f_d"`
	Where    place          `schema:"where"`
	Untagged string         // matched by name, in any case
	Shot     *beacon.File   `schema:"shot"`
	Shots    []*beacon.File `schema:"shots"`
	Items    []place        `schema:"in" json:"items"`
	Any      map[string]int `json:"any"`
	Ignored  string         `schema:"-"`
}

func query(s string) beacon.Event {
	return beacon.Event{Body: beacon.Empty{}, Query: parseQuery(s)}
}

func parseQuery(s string) beacon.Form {
	var f beacon.Form
	for pair := range strings.SplitSeq(s, "&") {
		k, v, _ := strings.Cut(pair, "=")
		f = append(f, beacon.Field{Name: k, Value: v})
	}
	return f
}

func TestBind(t *testing.T) {
	file := &beacon.File{Name: "x.png", Type: "image/png", Data: []byte("x")}
	tests := []struct {
		name  string
		event beacon.Event
		want  vitals
		errs  []string // in order
	}{
		{name: "scalars", event: query("name=LCP&value=1.5&count=-3&small=7&big=18446744073709551615&ok=on&opt=4"),
			want: vitals{Name: "LCP", Value: 1.5, Count: -3, Small: 7, Big: math.MaxUint64, Ok: true, Opt: new(4)}},
		{name: "form before query", event: beacon.Event{Body: parseQuery("name=body"), Query: parseQuery("name=query&count=1")},
			want: vitals{Name: "body"}},
		{name: "bad fields beside good ones", event: query("count=x&name=good&small=300&value=1"),
			want: vitals{Name: "good", Value: 1},
			errs: []string{`field "count": is not an int: "x"`, `field "small": is not an int8: "300"`}},
		{name: "unknown keys", event: query("name=x&who=knows&x.y.z=1"), want: vitals{Name: "x"}},

		// What the schema package does with these is listed in its traps.
		{name: "index that panics", event: query("in.-1.City=x&name=ok"), want: vitals{Name: "ok"}},
		{name: "index that allocates", event: query("in.16000.City=x&in.0.City=y"), want: vitals{}},
		{name: "bare slice of structs", event: query("in=x"), want: vitals{}},
		{name: "dotted names", event: query("rt.start=5&c.f=1&c.f.d=2"), want: vitals{RTStart: "5", CF: "1", CFD: "2"}},
		{name: "dotted into a struct", event: query("where.City=Bonn&where.zip=53111"), want: vitals{Where: place{"Bonn", 53111}}},
		{name: "two spellings of one field", event: query("rt.start=dot&rt_start=exact"), want: vitals{RTStart: "exact"},
			errs: []string{`field "rt.start": same field as "rt_start": "dot"`}},
		{name: "first of several values", event: query("count=1&count=2&name=a&name=b"), want: vitals{Count: 1, Name: "a"}},
		{name: "first of several, even if bad", event: query("value=NaN&value=1"), errs: []string{`field "value": not a finite number: "NaN"`}},
		{name: "key as it was sent", event: query("rt.count=1&COUNT=x"), want: vitals{}},
		{name: "slices keep all", event: query("tag=a&tag=&tag=b,c&num=1&num=2"), want: vitals{Tags: []string{"a", "", "b,c"}, Nums: []int{1, 2}}},
		{name: "numbers are not split", event: query("num=1,2&num=3"), want: vitals{Nums: []int{3}},
			errs: []string{`field "num": is not an int: "1,2"`}},
		{name: "not finite", event: query("value=NaN&count=1"), want: vitals{Count: 1}, errs: []string{`field "value": not a finite number: "NaN"`}},
		{name: "infinite", event: query("value=-Inf"), errs: []string{`field "value": not a finite number: "-Inf"`}},
		{name: "too large for a float", event: query("value=1e999"), errs: []string{`field "value": is not a float64: "1e999"`}},
		{name: "duration in milliseconds", event: query("took=5"), want: vitals{Took: 5 * time.Millisecond}},
		{name: "duration with a fraction", event: query("took=1.5"), want: vitals{Took: 1500 * time.Microsecond}},
		{name: "duration in words", event: query("took=1m30s"), want: vitals{Took: 90 * time.Second}},
		{name: "no duration", event: query("took=1e300"), errs: []string{`field "took": is not a duration: "1e300"`}},
		{name: "time", event: query("at=1700000000000"), want: vitals{At: time.UnixMilli(1700000000000).UTC()}},
		{name: "time as text", event: query("at=2026-01-02T03:04:05Z"), want: vitals{At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}},
		{name: "text unmarshaler", event: query("addr=192.0.2.1"), want: vitals{Addr: netip.MustParseAddr("192.0.2.1")}},
		{name: "empty number", event: query("count=&name="), errs: []string{`field "count": is empty`}},
		{name: "explicit zero", event: query("count=0&ok=false")},
		{name: "case", event: query("UNTAGGED=x&Name=y"), want: vitals{Untagged: "x"}},
		{name: "embedded", event: query("shared=x"), want: vitals{embedded: embedded{"x"}}},
		{name: "ignored", event: query("Ignored=x&-=y")},
		{name: "files", event: beacon.Event{Body: beacon.Form{{Name: "shot", File: file}, {Name: "shots", File: file}, {Name: "shots", File: file}}},
			want: vitals{Shot: file, Shots: []*beacon.File{file, file}}},
		{name: "file for a value", event: beacon.Event{Body: beacon.Form{{Name: "name", File: file}, {Name: "shot", Value: "x"}}},
			errs: []string{`field "name": file and value mistaken for each other`, `field "shot": file and value mistaken for each other: "x"`}},

		{name: "JSON", event: beacon.Event{Body: beacon.JSON(`{"name":"LCP","value":2,"items":[{"City":"Bonn"}],"any":{"a":1}}`)},
			want: vitals{Name: "LCP", Value: 2, Items: []place{{City: "Bonn"}}, Any: map[string]int{"a": 1}}},
		{name: "JSON of other types", event: beacon.Event{Body: beacon.JSON(`{"name":5,"value":2}`)},
			want: vitals{Value: 2}, errs: []string{`field "name": is not a string: "5"`}},
		{name: "JSON that is no object", event: beacon.Event{Body: beacon.JSON(`[1]`)}, errs: []string{`field "body": is not a JSON object: "[1]"`}},
		{name: "report", event: beacon.Event{Body: beacon.Report{Type: "x", Body: json.RawMessage(`{"name":"r"}`)}}, want: vitals{Name: "r"}},
		{name: "report without a body", event: beacon.Event{Body: beacon.Report{Type: "x"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got vitals
			err := tt.event.Bind(&got)
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(vitals{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			var text []string
			if err != nil {
				for line := range strings.SplitSeq(err.Error(), "\n") {
					text = append(text, strings.TrimPrefix(line, "beacon: "))
				}
				if _, ok := errors.AsType[beacon.FieldError](err); !ok {
					t.Errorf("%T is no FieldError", err)
				}
			}
			if diff := cmp.Diff(tt.errs, text); diff != "" {
				t.Errorf("errors (-want +got)\n%s", diff)
			}
		})
	}
}

// TestBindIsBounded binds as many keys as a request may have.
func TestBindIsBounded(t *testing.T) {
	var s strings.Builder
	for range 1000 {
		s.WriteString("in.-1.City=x&in.15999.City=y&num=1,2&")
	}
	e := query(s.String())
	allocs := testing.AllocsPerRun(1, func() {
		var v vitals
		_ = e.Bind(&v)
	})
	if allocs > 20000 { // the schema package would make 16,000 structs of each key
		t.Errorf("%v allocations", allocs)
	}
}

func TestBindRefusesTypes(t *testing.T) {
	for name, dst := range map[string]any{
		"no pointer": vitals{},
		"no struct":  new(int),
		"nil":        (*vitals)(nil),
		"required": &struct {
			A string `schema:"a,required"`
		}{},
		"default": &struct {
			A int `schema:"a,default:7"`
		}{},
		"dot": &struct {
			A int `schema:"a.b"`
		}{},
		"same key": &struct {
			A int `schema:"a_b"`
			B struct {
				B int `schema:"b"`
			} `schema:"a"`
		}{},
		"pointer list": &struct {
			A []*string `schema:"a"`
		}{},
		"text list": &struct {
			A []netip.Addr `schema:"a"`
		}{},
		"hidden struct": &struct{ *embedded }{},
		"struct list": &struct {
			A []time.Time `schema:"a"`
		}{},
	} {
		err := query("a=1").Bind(dst)
		if _, field := errors.AsType[beacon.FieldError](err); err == nil || field {
			t.Errorf("%s: %v", name, err)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("On took a type that cannot be bound")
		}
	}()
	beacon.On(func(context.Context, beacon.Event, int) error { return nil })
}

func TestOn(t *testing.T) {
	type tracking struct {
		Msg   string `schema:"msg" json:"msg"`
		Count int    `schema:"count" json:"count"`
	}
	failed := errors.New("one failed")
	var got []string
	sink := beacon.On(func(_ context.Context, e beacon.Event, v tracking) error {
		var line strings.Builder
		line.WriteString(v.Msg)
		for _, fe := range e.Errors {
			line.WriteString(" !" + fe.Key)
		}
		got = append(got, line.String())
		if v.Msg == "b" {
			return failed
		}
		return nil
	})
	noted := []beacon.FieldError{{Key: "earlier", Reason: "noted"}}
	err := sink.Consume(t.Context(), []beacon.Event{
		{Body: parseQuery("msg=a")},
		{Body: parseQuery("msg=b&count=x")},
		{Body: beacon.JSON(`{"msg":"c","count":"x"}`), Errors: noted},
		{Body: beacon.Binary{Data: []byte("?")}},
	})
	if !errors.Is(err, failed) {
		t.Errorf("error %v", err)
	}
	if diff := cmp.Diff([]string{"a", "b !count", "c !earlier !count", " !body"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
