package beacon_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
)

type measured struct {
	Took  time.Duration  `schema:"took" json:"took"`
	At    time.Time      `schema:"at" json:"at"`
	Until *time.Time     `schema:"until" json:"until"`
	Wait  *time.Duration `schema:"wait" json:"wait"`
	Msg   string         `schema:"msg" json:"msg"`
	In    struct {
		Took time.Duration `schema:"took" json:"took"`
		N    int           `schema:"n" json:"n"`
	} `schema:"in" json:"in"`
}

// TestBindMeansTheSame: a value is the same whether it came as a form, as a query or as
// JSON, there as a number or as text.
func TestBindMeansTheSame(t *testing.T) {
	at := time.UnixMilli(1700000000000).UTC()
	want := measured{Took: 12 * time.Millisecond, At: at, Until: &at, Wait: new(1500 * time.Millisecond), Msg: "hi"}
	want.In.Took, want.In.N = 500*time.Microsecond, 3
	form := parseQuery("took=12&at=1700000000000&until=2023-11-14T22:13:20Z&wait=1.5s&msg=hi&in.took=0.5&in.n=3")
	for name, e := range map[string]beacon.Event{
		"form":         {Body: form},
		"query":        {Body: beacon.Empty{}, Query: form},
		"empty form":   {Body: beacon.Form{}, Query: form},
		"JSON numbers": {Body: beacon.JSON(`{"took":12,"at":1700000000000,"until":1.7e12,"wait":1500,"msg":"hi","in":{"took":0.5,"n":3}}`)},
		"JSON texts":   {Body: beacon.JSON(`{"took":"12","at":"2023-11-14T22:13:20Z","until":"1700000000000","wait":"1.5s","msg":"hi","in":{"took":"0.5ms","n":3}}`)},
		"report":       {Body: beacon.Report{Body: json.RawMessage(`{"took":12,"at":1700000000000,"until":1.7e12,"wait":1500,"msg":"hi","in":{"took":0.5,"n":3}}`)}},
	} {
		var got measured
		if err := e.Bind(&got); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

// TestBindFillsTheRest: what does not fit costs only itself, and all of it is told.
func TestBindFillsTheRest(t *testing.T) {
	for _, c := range []struct {
		body beacon.Body
		want measured
		errs []string
	}{
		{beacon.JSON(`{"at":true,"took":[],"until":"soon","wait":1e300,"in":{"took":{},"n":"many"},"msg":"hi"}`), measured{Msg: "hi"}, []string{
			`field "at": is not a time: "true"`, `field "took": is not a duration: "[]"`, `field "until": is not a time: "soon"`,
			`field "wait": is not a duration: "1e300"`, `field "in.took": is not a duration: "{}"`, `field "in.n": is not an int: "many"`,
		}},
		{beacon.JSON(`{"in":5,"msg":"hi"}`), measured{Msg: "hi"}, []string{`field "in": is not a JSON object: "5"`}},
		{parseQuery("at=soon&took=x&in.n=many&msg=hi"), measured{Msg: "hi"}, []string{
			`field "at": is not a time: "soon"`, `field "in.n": is not an int: "many"`, `field "took": is not a duration: "x"`,
		}},
		{beacon.Text("just a text"), measured{}, []string{`field "body": nothing to bind in a body that is text`}},
		{beacon.Binary{Data: []byte{1}}, measured{}, []string{`field "body": nothing to bind in a body that is binary`}},
		{beacon.Empty{}, measured{}, nil},
		{beacon.Form{}, measured{}, nil},
		{beacon.Ping{}, measured{}, nil},
		{beacon.JSON(`null`), measured{}, nil},
		{beacon.JSON(`{"took":null,"in":null,"until":null}`), measured{}, nil},
	} {
		var got measured
		err := beacon.Event{Body: c.body}.Bind(&got)
		var errs []string
		if err != nil {
			errs = strings.Split(strings.ReplaceAll(err.Error(), "beacon: ", ""), "\n")
		}
		if diff := cmp.Diff(c.errs, errs); diff != "" {
			t.Errorf("%v: errors (-want +got)\n%s", c.body, diff)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%v (-want +got)\n%s", c.body, diff)
		}
	}
	var v measured
	if err := (beacon.Event{Body: beacon.Text("x"), Query: parseQuery("msg=hi")}).Bind(&v); err != nil || v.Msg != "hi" {
		t.Errorf("a text beside a query: %v %+v", err, v)
	}
}

type shape struct {
	Name     string `json:"name"`
	Embedded        // promoted
	*Pointer        // promoted, when there is something for it
	Tagged   `json:"tagged"`
	Slice    []struct {
		D time.Duration `json:"d"`
	} `json:"slice"`
	Map    map[string]time.Duration `json:"map"`
	Array  [2]time.Time             `json:"array"`
	Quoted int                      `json:"quoted,string"`
	Hidden string                   `json:"-"`
	Any    any                      `json:"any"`
	Raw    json.RawMessage          `json:"raw"`
	Own    ownJSON                  `json:"own"`
	Deep   ***struct{ T time.Time } `json:"deep"`
}
type Embedded struct{ Name, Only string }
type Pointer struct{ Below time.Duration }
type Tagged struct{ In int }
type ownJSON struct{ n int }

func (o *ownJSON) UnmarshalJSON(b []byte) error {
	if string(b) == `"bad"` {
		return errors.New("bad")
	}
	o.n = len(b)
	return nil
}

// TestBindJSONLikeEncodingJSON compares with encoding/json where the two are to agree:
// everywhere but for durations and times.
func TestBindJSONLikeEncodingJSON(t *testing.T) {
	type plain struct {
		Name string `json:"name"`
		Embedded
		Tagged `json:"tagged"`
		Slice  []struct{ A, B int }  `json:"slice"`
		Map    map[string]int        `json:"map"`
		Array  [2]struct{ X string } `json:"array"`
		Quoted int                   `json:"quoted,string"`
		Any    any                   `json:"any"`
		Raw    json.RawMessage       `json:"raw"`
		Own    ownJSON               `json:"own"`
		Deep   **struct{ T []bool }  `json:"deep"`
	}
	for _, s := range []string{
		`{}`, `{"name":"n","only":"o","tagged":{"in":5},"slice":[{"a":1},{"B":2},null],"map":{"x":1},"array":[{"X":"a"},{"x":"b"},{"x":"c"}]}`,
		`{"NAME":"upper","Only":"o","quoted":"7","any":{"a":[1]},"raw":[1, 2],"own":[1,2],"deep":{"t":[true]}}`,
		`{"name":"first","name":"second","Name":"third"}`, `{"slice":null,"map":null,"any":null,"own":null,"raw":null,"deep":null}`, `{"slice":[]}`,
		` { "name" : "\u00e9\n" } `, `{"unknown":{"name":"n"},"map":{"a":1,"b":2}}`, `{"nam\u0065":"escaped key"}`,
	} {
		var want, got plain
		if err := json.Unmarshal([]byte(s), &want); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		if err := (beacon.Event{Body: beacon.JSON(s)}).Bind(&got); err != nil {
			t.Errorf("%s: %v", s, err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(ownJSON{})); diff != "" {
			t.Errorf("%s (-encoding/json +Bind)\n%s", s, diff)
		}
	}
	var got shape
	err := beacon.Event{Body: beacon.JSON(`{"name":"n","below":5,"slice":[{"d":1},{"d":"x"},7],"map":{"a":2,"b":[]},"array":[1700000000000],
		"quoted":"x","own":"bad","deep":{"t":1700000000000},"any":1,"lower":"l"}`)}.Bind(&got)
	want := []string{
		`field "slice.1.d": is not a duration: "x"`, `field "slice.2": is not a JSON object: "7"`, `field "map.b": is not a duration: "[]"`,
		`field "quoted": is not an int in a string: "x"`, `field "own": does not fit: "bad"`,
	}
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, strings.Split(strings.ReplaceAll(err.Error(), "beacon: ", ""), "\n")); diff != "" {
		t.Errorf("errors (-want +got)\n%s", diff)
	}
	at := time.UnixMilli(1700000000000).UTC()
	if got.Name != "n" || got.Pointer == nil || got.Below != 5*time.Millisecond || got.Slice[0].D != time.Millisecond || got.Map["a"] != 2*time.Millisecond ||
		!got.Array[0].Equal(at) || !(**got.Deep).T.Equal(at) || got.Any != 1.0 {
		t.Errorf("%+v", got)
	}
}

// TestOnArray: several events in one body are several calls.
func TestOnArray(t *testing.T) {
	down := errors.New("down")
	var got []string
	sink := beacon.On(func(_ context.Context, e beacon.Event, v struct {
		N int `json:"n"`
	}) error {
		var line strings.Builder
		line.WriteString(fmt.Sprint(e.ID, " ", v.N))
		for _, n := range e.Errors {
			line.WriteString(" !" + n.Key)
		}
		got = append(got, line.String())
		switch v.N {
		case 3:
			return down
		case 4:
			return fmt.Errorf("%w: four", beacon.ErrPermanent)
		}
		return nil
	})
	consume := func(events ...beacon.Event) error {
		got = nil
		return sink.Consume(t.Context(), events)
	}
	ev := func(id, body string) beacon.Event { return beacon.Event{ID: id, Body: beacon.JSON(body)} }

	if err := consume(ev("a", `[{"n":1},{"n":"x"},5]`), ev("b", `{"n":2}`), ev("c", `[]`)); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"a.0 1", "a.1 0 !n", "a.2 0 !body", "b 2", "c 0 !body"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, c := range []struct {
		name      string
		err       error
		failed    []int
		permanent bool
	}{
		{"permanent and temporary are kept apart", consume(ev("a", `{"n":4}`), ev("b", `{"n":3}`), ev("c", `{"n":1}`)), []int{0, 1}, false},
		{"all permanent", consume(ev("a", `{"n":4}`), ev("c", `{"n":1}`)), []int{0}, true},
		{"in an array", consume(ev("c", `{"n":1}`), ev("a", `[{"n":4},{"n":1}]`)), []int{1}, true},
		{"one is all", consume(ev("a", `{"n":4}`)), nil, true},
		{"mixed in an array", consume(ev("a", `[{"n":4},{"n":3}]`)), nil, false},
	} {
		var failed []int
		if part, ok := errors.AsType[*beacon.PartialError](c.err); ok {
			failed = part.Failed
		}
		if diff := cmp.Diff(c.failed, failed); diff != "" || beacon.IsPermanent(c.err) != c.permanent {
			t.Errorf("%s: %v, permanent %v %s", c.name, c.err, beacon.IsPermanent(c.err), diff)
		}
	}
}

// TestOnRefusesTypes that nothing that is sent could fill.
func TestOnRefusesTypes(t *testing.T) {
	panics := func(f func()) (msg string) {
		defer func() { msg = fmt.Sprint(recover()) }()
		f()
		return ""
	}
	if msg := panics(func() {
		beacon.On(func(context.Context, beacon.Event, struct{ Done chan int }) error { return nil })
	}); !strings.Contains(msg, "Done") || !strings.Contains(msg, "chan") {
		t.Error(msg)
	}
	if msg := panics(func() {
		beacon.On(func(context.Context, beacon.Event, struct {
			F func() `json:"-" schema:"-"`
		}) error {
			return nil
		})
	}); msg != "<nil>" {
		t.Error(msg)
	}
}
