package sessions_test

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/visits"
	"github.com/pagebeacon/beacon/sessions"
)

// clicks are those of query 11 of Nexmark: 20,000 of each user, each off by up to four
// seconds. A session ends after ten seconds of nothing.
func clicks(users int) []beacon.PageView {
	r := rand.New(rand.NewPCG(1, 2))
	views := make([]beacon.PageView, 0, 20_000*users)
	for n := range 20_000 {
		for u := range users {
			at := visits.Noon.Add(time.Duration(n)*4*time.Second + time.Duration(r.Int64N(int64(4*time.Second)))).Truncate(time.Microsecond)
			views = append(views, beacon.PageView{Session: "user " + strconv.Itoa(u), View: "bid " + strconv.Itoa(n), Page: "p", Start: at, End: at})
		}
	}
	return views
}

// BenchmarkOf derives sessions of a million page views, of few visitors with many each
// and of many with few.
func BenchmarkOf(b *testing.B) {
	r := rand.New(rand.NewPCG(3, 4))
	var some []beacon.PageView
	for i := 0; len(some) < 1_000_000; i++ {
		some = append(some, pageViews(visits.Random(r, strconv.Itoa(i%1000)))...)
	}
	var visitors []beacon.PageView
	for i := 0; len(visitors) < 1_000_000; i++ {
		key := strconv.Itoa(i)
		for n := range 1 + i%5 {
			at := visits.Noon.Add(time.Duration(i+n) * time.Second)
			visitors = append(visitors, beacon.PageView{Session: key, View: key + "-" + strconv.Itoa(n), Page: "p", Start: at, End: at.Add(time.Minute), Visible: time.Minute, Engaged: time.Minute, Seq: 3})
		}
	}
	nexmark := clicks(50)
	for _, c := range []struct {
		name  string
		views []beacon.PageView
		rules sessions.Rules
	}{
		{"20000 page views each", nexmark, sessions.Rules{Gap: 10 * time.Second}},
		{"3 page views each", visitors, sessions.Rules{}},
		{"said several times", some, sessions.Rules{}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sessions.Of(c.views, c.rules)
			}
			b.ReportMetric(float64(len(c.views)*b.N)/b.Elapsed().Seconds(), "views/s")
		})
	}
}
