package beacon_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
)

func TestSessionOf(t *testing.T) {
	at := time.UnixMilli(1700000060000).UTC()
	form := func(pairs ...string) beacon.Event {
		f := beacon.Form{}
		for i := 0; i < len(pairs); i += 2 {
			f = append(f, beacon.Field{Name: pairs[i], Value: pairs[i+1]})
		}
		return beacon.Event{Body: f, Time: at, Received: at.Add(time.Hour)}
	}
	json := func(s string) beacon.Event { return beacon.Event{Body: beacon.JSON(s), Time: at} }

	tests := []struct {
		name   string
		events []beacon.Event
		want   string
		err    error
	}{
		{"article", []beacon.Event{form("start", "1700000000000", "end", "1700000012345", "msg", "bye")}, "12.35 seconds", nil},
		{"exactly one minute", []beacon.Event{form("start", "0", "end", "60000")}, "1.00 minutes", nil},
		{"rounds up to a minute", []beacon.Event{form("start", "0", "end", "59996")}, "1.00 minutes", nil},
		{"just below", []beacon.Event{form("start", "0", "end", "59994")}, "59.99 seconds", nil},
		{"minutes", []beacon.Event{form("start", "0", "end", "75000")}, "1.25 minutes", nil},
		{"nothing", []beacon.Event{form("start", "5", "end", "5")}, "0.00 seconds", nil},
		{"fractions", []beacon.Event{form("start", "1700000000000.25", "end", "1700000001000.75")}, "1.00 seconds", nil},
		{"numbers", []beacon.Event{json(`{"start":1700000000000,"end":1700000012340}`)}, "12.34 seconds", nil},
		{"text in JSON", []beacon.Event{json(`{"start":"1700000000000","end":"1700000012340"}`)}, "12.34 seconds", nil},
		{"exponent", []beacon.Event{json(`{"start":1.7e12,"end":1.70000001234e12}`)}, "12.34 seconds", nil},
		{"ISO", []beacon.Event{json(`{"start":"2026-01-02T03:04:05.000Z","end":"2026-01-02T04:04:17.340+01:00"}`)}, "12.34 seconds", nil},
		{"query", []beacon.Event{{Body: beacon.Empty{}, Query: beacon.Form{{Name: "start", Value: "0"}, {Name: "end", Value: "12340"}}}}, "12.34 seconds", nil},
		{"missing end: when it was sent", []beacon.Event{form("start", "1700000000000")}, "1.00 minutes", nil},
		{"null end", []beacon.Event{json(`{"start":1700000000000,"end":null}`)}, "1.00 minutes", nil},
		{"empty end", []beacon.Event{form("start", "1700000000000", "end", "")}, "1.00 minutes", nil},
		{"missing end: when it was received", []beacon.Event{{Body: beacon.JSON(`{"start":1700000000000}`), Received: at}}, "1.00 minutes", nil},
		{"several, in any order", []beacon.Event{
			form("start", "1700000000000", "end", "1700000030000"), form("msg", "click"),
			form("start", "1700000000000", "end", "1700000012340"), form("start", "1700000000000"),
		}, "30.00 seconds", nil},

		{"missing start", []beacon.Event{form("end", "1700000012345")}, "", beacon.FieldError{Key: "start", Reason: "missing"}},
		{"no events", nil, "", beacon.FieldError{Key: "start", Reason: "missing"}},
		{"no times at all", []beacon.Event{{Body: beacon.JSON(`{"start":1}`)}}, "", beacon.FieldError{Key: "end", Reason: "missing"}},
		{"undefined", []beacon.Event{form("start", "0", "end", "undefined")}, "", beacon.FieldError{Key: "end", Value: "undefined", Reason: "not a time"}},
		{"NaN", []beacon.Event{form("start", "NaN", "end", "5")}, "", beacon.FieldError{Key: "start", Value: "NaN", Reason: "not a time"}},
		{"infinite", []beacon.Event{form("start", "0", "end", "Infinity")}, "", beacon.FieldError{Key: "end", Value: "Infinity", Reason: "not a time"}},
		{"beyond any clock", []beacon.Event{form("start", "0", "end", "8640000000000001")}, "", beacon.FieldError{Key: "end", Value: "8640000000000001", Reason: "not a time"}},
		{"an object", []beacon.Event{json(`{"start":{"a":1}}`)}, "", beacon.FieldError{Key: "start", Value: `{"a":1}`, Reason: "not a time"}},
		{"negative", []beacon.Event{form("start", "1700000012345", "end", "1700000000000")}, "",
			beacon.FieldError{Key: "end", Value: "2023-11-14T22:13:20Z", Reason: "is before the start, 2023-11-14T22:13:32.345Z"}},
		{"seconds taken for milliseconds", []beacon.Event{form("start", "1700000000")}, "",
			beacon.FieldError{Key: "start", Value: "1970-01-20T16:13:20Z", Reason: "is longer ago than any session lasts"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := beacon.SessionOf(tt.events...)
			var got error
			if fe, ok := errors.AsType[beacon.FieldError](err); ok {
				got = fe
			} else if err != nil {
				t.Errorf("%v names no field", err)
			}
			if diff := cmp.Diff(tt.err, got); diff != "" {
				t.Fatalf("error (-want +got)\n%s", diff)
			}
			if err == nil && s.String() != tt.want {
				t.Errorf("%v (%v), want %s", s, s.Duration(), tt.want)
			}
			missing := tt.err == beacon.FieldError{Key: "start", Reason: "missing"}
			if errors.Is(err, beacon.ErrNoSession) != missing {
				t.Errorf("no session: %v", err)
			}
		})
	}
}
