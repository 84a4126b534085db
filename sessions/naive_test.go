package sessions_test

import (
	"cmp"
	"slices"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sessions"
)

// naive derives sessions by what they are, each number by its definition, however long
// that takes.
func naive(views []beacon.PageView, r sessions.Rules) (all []sessions.Session) {
	gap, limit := cmp.Or(r.Gap, 30*time.Minute), cmp.Or(r.Max, 24*time.Hour)
	type key struct{ session, view string }
	joined := map[key]beacon.PageView{}
	for _, v := range views {
		k := key{v.Session, v.View}
		if have, ok := joined[k]; ok {
			v = v.Join(have)
		}
		joined[k] = v
	}
	visitors := map[key][]beacon.PageView{}
	for k, v := range joined {
		if k.session != "" {
			k.view = ""
		}
		visitors[k] = append(visitors[k], v)
	}
	for _, own := range visitors {
		offset, known := time.Duration(1<<62), false
		for _, v := range own {
			if v.HasOffset && !v.Activity {
				offset, known = min(offset, v.Offset), true
			}
		}
		var seen, rest []beacon.PageView
		for _, v := range own {
			if v.Start.IsZero() {
				continue
			}
			if v.End.Before(v.Start) {
				v.End = v.Start
			}
			v.Start, v.End = v.Start.Truncate(time.Microsecond), v.End.Truncate(time.Microsecond)
			if known && !v.Activity {
				v.Start, v.End = v.Start.Add(offset.Truncate(time.Microsecond)), v.End.Add(offset.Truncate(time.Microsecond))
			}
			if v.Activity || v.Unseen && v.Visible <= 0 {
				rest = append(rest, v)
			} else {
				seen = append(seen, v)
			}
		}
		believed := func(v beacon.PageView) time.Time {
			if longest := v.Start.Add(limit); v.End.After(longest) {
				return longest
			}
			return v.End
		}
		// Rows are what is near to each other, and to what is near to that.
		row := make([]int, len(seen))
		for i := range row {
			row[i] = i
		}
		for changed := true; changed; {
			changed = false
			for i, a := range seen {
				for j, b := range seen {
					if row[i] < row[j] && a.Start.Sub(believed(b)) <= gap && b.Start.Sub(believed(a)) <= gap {
						row[j], changed = row[i], true
					}
				}
			}
		}
		type place struct{ row, piece int }
		begins := map[int]time.Time{}
		for i, v := range seen {
			if b, ok := begins[row[i]]; !ok || v.Start.Before(b) {
				begins[row[i]] = v.Start
			}
		}
		pieces, last := map[place][]beacon.PageView{}, map[int]int{}
		for i, v := range seen {
			p := place{row[i], int(v.Start.Sub(begins[row[i]]) / limit)}
			pieces[p] = append(pieces[p], v)
			last[row[i]] = max(last[row[i]], p.piece)
		}
		var mine []sessions.Session
		for p, members := range pieces {
			until := begins[p.row].Add(time.Duration(p.piece+1) * limit)
			clipped := func(v beacon.PageView) time.Time {
				if end := believed(v); end.Before(until) {
					return end
				}
				return until
			}
			first := slices.MinFunc(members, func(a, b beacon.PageView) int {
				return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.View, b.View))
			})
			exit := slices.MaxFunc(members, func(a, b beacon.PageView) int {
				return cmp.Or(clipped(a).Compare(clipped(b)), a.Start.Compare(b.Start), cmp.Compare(a.View, b.View))
			})
			s := sessions.Session{
				ID: first.View, Key: first.View, Start: first.Start.UTC(), End: clipped(exit).UTC(), Views: len(members), Entry: first.Page,
				Exit: exit.Page, Referrer: first.Referrer, Cut: p.piece < last[p.row], ClientClock: !known,
			}
			if first.Session != "" {
				s.ID, s.Key = first.Session+":"+first.View, first.Session
			}
			for _, v := range members {
				s.Engaged += max(0, min(v.Engaged.Truncate(time.Microsecond), believed(v).Sub(v.Start)))
				s.Logged += v.Logged
				s.Crashed = s.Crashed || v.Crashed
				s.Cut = s.Cut || v.End.After(clipped(v))
				s.Incomplete = s.Incomplete || v.Start.Equal(v.End) && v.Visible == 0 && v.Seq == 0
			}
			s.Engaged = min(s.Engaged, s.Elapsed())
			mine = append(mine, s)
		}
		slices.SortFunc(mine, func(a, b sessions.Session) int { return a.Start.Compare(b.Start) })
		for _, v := range rest {
			i := slices.IndexFunc(mine, func(s sessions.Session) bool {
				return !v.Start.Before(s.Start.Add(-gap)) && !v.Start.After(s.End.Add(gap))
			})
			if i >= 0 {
				mine[i].Attached++
				mine[i].Crashed = mine[i].Crashed || v.Crashed
			}
		}
		all = append(all, mine...)
	}
	slices.SortFunc(all, func(a, b sessions.Session) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Key, b.Key))
	})
	return all
}
