package store

import (
	"context"
	"database/sql"
	"strings"
)

// page asks for events of a part of the range that it finds first, by times alone: those
// are read fast, whereas the events themselves would be read up to the end of the range,
// to be thrown away. In it are at least as many rows as the limit says, if there are so
// many, but perhaps fewer events.
//
// Of rows with the same ID it is the one that was received first that is an event, also
// if it is not in the range.
func (c *clickHouse) page(ctx context.Context, w where, q Query) (*question, reach, error) {
	var end reach
	st := ask("SELECT received FROM " + c.table("events"))
	st.where(w)
	st.order(q, "received")
	st.add(" OFFSET ?", q.Limit-1)
	err := c.each(ctx, st, func(r *sql.Rows) error {
		end.bounded = true
		return r.Scan(&end.until)
	})
	if err != nil {
		return nil, end, err
	}
	if end.bounded {
		than := "<="
		if q.Newest {
			than = ">="
		}
		w.and("received "+than+" ?", end.until)
	}
	ids := ask("SELECT id FROM " + c.table("events"))
	ids.where(w)
	w.and("(received, id) IN (SELECT min(received), id FROM "+c.table("event_ids")+" WHERE id IN ("+ids.String()+") GROUP BY id)", ids.args...)
	st = ask("SELECT received, id, event FROM " + c.table("events"))
	st.where(w)
	st.order(Query{Newest: q.Newest}, "received", "id")
	st.add("\nLIMIT 1 BY id\nLIMIT ?", q.Limit)
	return st, end, nil
}

// candidates are the page views that q may be about, with all others of their sessions.
// The conditions are those of other databases, and are about page views that are merged.
func (c *clickHouse) candidates(q Query) *question {
	st := ask("SELECT " + viewNames + " FROM (")
	switch {
	case q.Session != "":
		keys := columnKeys(q.Session)
		in := " IN (" + marks(len(keys)) + ")"
		st.add(c.mergedViews(" WHERE session"+in+" OR session = '' AND view"+in), append(keys, keys...)...)
	case q.From.IsZero() && q.To.IsZero():
		st.add(c.mergedViews(""))
	default:
		w := c.around(q)
		heard, args := "", []any(nil)
		if from, ok := c.heardFrom(q); ok {
			// What was heard of since has a row that says so.
			heard = " WHERE (session, view) IN (SELECT session, view FROM " + c.table("page_views_state") +
				" WHERE finalizeAggregation(heard_state) >= ?)"
			args = append(args, from)
		}
		found := " FROM (" + c.mergedViews(heard, "started", "clock_offset", "heard") + ") WHERE " + strings.Join(w.conditions, " AND ")
		args = append(args, w.args...)
		st.add(c.mergedViews(" WHERE session <> '' AND session IN (SELECT session"+found+
			") OR session = '' AND view IN (SELECT view"+found+" AND session = '')"), append(args, args...)...)
	}
	st.add(") ORDER BY session, view")
	return st
}
