package store

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/pagebeacon/beacon/sessions"
)

// The SQL of sessions: gaps and islands over the page views, which gives exactly what
// [sessions.Of] gives. It is one text for all databases but for the few words of a
// dialect; it needs common table expressions, window functions, and nothing else.
//
// All numbers are whole microseconds, and texts are compared byte by byte, so that
// nothing is rounded, and ties are broken as Go does.

// words are what the databases call differently.
type words struct {
	least, greatest string // of several values in a row; those of SQLite are also aggregates
	div             string // division of whole numbers
	bigint          string // CAST's name of a 64-bit number: sums of such are wider
}

func (d Dialect) words() words {
	switch d {
	case SQLite:
		return words{least: "MIN", greatest: "MAX", div: "/", bigint: "INTEGER"}
	case MySQL:
		return words{least: "LEAST", greatest: "GREATEST", div: "DIV", bigint: "SIGNED"}
	}
	return words{least: "LEAST", greatest: "GREATEST", div: "/", bigint: "BIGINT"}
}

// concat is a || b || …, which MySQL takes for a logical or.
func (d Dialect) concat(parts ...string) string {
	if d == MySQL {
		return "CONCAT(" + strings.Join(parts, ", ") + ")"
	}
	return strings.Join(parts, " || ")
}

// fill replaces what stands in braces.
func (d Dialect) fill(r sessions.Rules, text string, more ...string) string {
	w := d.words()
	return strings.NewReplacer(append(more,
		"{least}", w.least, "{greatest}", w.greatest, "{div}", w.div, "{bigint}", w.bigint,
		"{id}", d.concat("session", "':'", "MAX(first_view)"),
		"{gap}", fmt.Sprint(cmp.Or(r.Gap, 30*time.Minute).Microseconds()),
		"{max}", fmt.Sprint(cmp.Or(r.Max, 24*time.Hour).Microseconds()),
	)...).Replace(text)
}

// viewNames are the columns of page views that sessions are made of.
const viewNames = `session, view, page, referrer, name, started, ended, visible, engaged, unseen, seq, clock_offset, logged, crashed, activity`

// clocksSQL begins the statement: page views with their times on the server's clock.
// {from} is a table, or a query in parentheses, with the columns above; of a session
// of which it has some, it has to have all.
//
// Page views without a session are each of their own: lone parts them. clock is the
// smallest offset of a session, also of rows that only count messages.
const clocksSQL = `WITH clocks AS (
  SELECT session, view, CASE WHEN session = '' THEN view ELSE '' END AS lone,
    page, referrer, name, started, ended, visible, engaged, unseen, seq, clock_offset, logged, crashed, activity,
    MIN(CASE WHEN activity = 0 THEN clock_offset END)
      OVER (PARTITION BY session, CASE WHEN session = '' THEN view ELSE '' END) AS clock
  FROM {from} AS page_views
), timed AS (
  SELECT session, view, lone, page, referrer, name, visible, engaged, seq, logged, crashed, clock,
    CASE WHEN activity = 1 OR (unseen = 1 AND visible <= 0) THEN 0 ELSE 1 END AS seen,
    started + CASE WHEN activity = 1 THEN 0 ELSE COALESCE(clock, 0) END AS s,
    COALESCE(ended, started) + CASE WHEN activity = 1 THEN 0 ELSE COALESCE(clock, 0) END AS e
  FROM clocks WHERE started IS NOT NULL
)`

// piecesSQL goes on from clocksSQL: each page view that was seen, with the session that
// it is in, which is known by session, lone and cut: where the session would be cut.
//
// A row of page views without a gap (an island) begins where the latest end of all
// before is more than the gap away, and is cut at multiples of the longest session.
// Starts ascend, so the running maximum of the beginnings is the current one.
const piecesSQL = `, clipped AS (
  SELECT session, view, lone, page, referrer, name, visible, engaged, seq, logged, crashed, clock, s, e,
    {least}(e, s + {max}) AS till,
    MAX({least}(e, s + {max})) OVER (PARTITION BY session, lone ORDER BY s, view
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS heard
  FROM timed WHERE seen = 1
), islands AS (
  SELECT session, view, lone, page, referrer, name, visible, engaged, seq, logged, crashed, clock, s, e, till,
    MAX(CASE WHEN heard IS NULL OR s - heard > {gap} THEN s END) OVER (PARTITION BY session, lone ORDER BY s, view
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS began
  FROM clipped
), cuts AS (
  SELECT session, view, lone, page, referrer, name, visible, engaged, seq, logged, crashed, clock, s, e, till, began,
    began + ((s - began) {div} {max} + 1) * {max} AS cut
  FROM islands
), pieces AS (
  SELECT session, view, lone, page, referrer, name, seq, logged, crashed, clock, s, e, till, began, cut, visible,
    {greatest}(0, {least}(engaged, till - s)) AS engaged,
    ROW_NUMBER() OVER (PARTITION BY session, lone, cut ORDER BY s, view) AS nth,
    ROW_NUMBER() OVER (PARTITION BY session, lone, cut
      ORDER BY {least}(till, cut) DESC, s DESC, view DESC) AS nth_last
  FROM cuts
)`

// foundSQL goes on from piecesSQL: one row for each session.
//
// What opens no session is counted with the first one whose end is not more than the
// gap before it. Starts and ends of the sessions of one key ascend together, so this is
// the smallest start of those behind it, when all are ordered by where they end; of a
// session itself that is its own.
const foundSQL = `, grouped AS (
  SELECT session, lone, cut, MAX(began) AS began, MIN(s) AS started, MAX({least}(till, cut)) AS ended,
    MAX(CASE WHEN nth = 1 THEN view END) AS first_view, MAX(CASE WHEN nth = 1 THEN page END) AS entry_page,
    MAX(CASE WHEN nth = 1 THEN referrer END) AS referrer, MAX(CASE WHEN nth_last = 1 THEN page END) AS exit_page,
    COUNT(*) AS views, SUM(logged) AS logged, SUM(engaged) AS engaged, MAX(crashed) AS crashed,
    MAX(CASE WHEN e > {least}(cut, s + {max}) THEN 1 ELSE 0 END) AS clipped,
    MAX(CASE WHEN s = e AND visible = 0 AND seq = 0 THEN 1 ELSE 0 END) AS incomplete,
    MAX(CASE WHEN clock IS NULL THEN 1 ELSE 0 END) AS client_clock
  FROM pieces GROUP BY session, lone, cut
), placed AS (
  SELECT session, lone, started, ended, first_view, entry_page, exit_page, referrer, views, logged, engaged, crashed,
    CASE WHEN clipped = 1 OR LEAD(began) OVER (PARTITION BY session, lone ORDER BY cut) = began THEN 1 ELSE 0 END AS was_cut,
    incomplete, client_clock, ended + {gap} AS place, 1 AS is_session
  FROM grouped
  UNION ALL
  SELECT session, lone, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, crashed, NULL, NULL, NULL, s, 0
  FROM timed WHERE seen = 0
), near AS (
  SELECT placed.*, MIN(started) OVER (PARTITION BY session, lone ORDER BY place DESC, is_session DESC, started DESC
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS begun
  FROM placed
), found AS (
  SELECT session, lone, begun AS started, MAX(ended) AS ended,
    CASE WHEN session = '' THEN lone ELSE {id} END AS id,
    {least}(MAX(engaged), MAX(ended) - begun) AS engaged, MAX(views) AS views,
    MAX(entry_page) AS entry_page, MAX(exit_page) AS exit_page, MAX(referrer) AS referrer,
    SUM(CASE WHEN is_session = 0 AND place >= begun - {gap} THEN 1 ELSE 0 END) AS attached,
    MAX(logged) AS logged, MAX(CASE WHEN is_session = 1 OR place >= begun - {gap} THEN crashed ELSE 0 END) AS crashed,
    MAX(was_cut) AS was_cut, MAX(incomplete) AS incomplete, MAX(client_clock) AS client_clock
  FROM near WHERE begun IS NOT NULL GROUP BY session, lone, begun
)`

// sessionsSQL is a statement's beginning, up to the common table found, which has one
// row for each session of the page views in from.
func sessionsSQL(d Dialect, from string, r sessions.Rules) string {
	return d.fill(r, clocksSQL+piecesSQL+foundSQL,
		"{from}", from)
}

// sessionsView is the query behind the view of sessions: times as the database has
// them, in UTC, and lengths in seconds.
func sessionsView(d Dialect, prefix string, r sessions.Rules) string {
	at := func(column string) string { return strings.ReplaceAll(nativeTime(d), "{at}", column) }
	seconds := " / 1000000.0"
	if d == MySQL { // whose quotients have four digits
		seconds = " * 0.000001"
	}
	return sessionsSQL(d, prefix+"page_views", r) + `
SELECT CASE WHEN session = '' THEN lone ELSE session END AS session, id,
  ` + at("started") + ` AS started, ` + at("ended") + ` AS ended,
  (ended - started)` + seconds + ` AS elapsed, engaged` + seconds + ` AS engaged,
  views, entry_page, exit_page, referrer, attached, ` + d.fill(r, "CAST(logged AS {bigint})") + ` AS logged,
  crashed = 1 AS crashed, was_cut = 1 AS was_cut, incomplete = 1 AS incomplete, client_clock = 1 AS client_clock
FROM found`
}

// nativeTime makes {at}, microseconds since the epoch, a time of the database. Before the
// epoch is only what a client with a broken clock said, which is no reason to fail.
func nativeTime(d Dialect) string {
	switch d {
	case SQLite: // has no type for it, and its own functions count in milliseconds
		return `strftime('%Y-%m-%d %H:%M:%S', ({at} - ({at} % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')
    || printf('.%06d', ({at} % 1000000 + 1000000) % 1000000)`
	case MySQL:
		return `TIMESTAMPADD(MICROSECOND, {at}, TIMESTAMP '1970-01-01 00:00:00.000000')`
	}
	return `TIMESTAMPTZ 'epoch' + {at} * INTERVAL '1 microsecond'`
}
