package store

import (
	"strings"
)

// The view of the sessions in ClickHouse gives exactly what [sessions.Of] gives, as that
// of the other databases does. Old servers have neither window functions nor common table
// expressions, so page views are put into arrays by key, sorted and summed up there, and
// made rows again. A function that is applied to the elements of an array names nothing
// but single values from outside: an array would be copied for each of them.

const (
	// Page views by key: those that were seen, sorted, and the others.
	keysSQL = `SELECT session, if(session = '', view, '') AS lone,
    countIf(activity = 0 AND isNotNull(clock_offset)) AS clocks,
    minIf(ifNull(clock_offset, 0), activity = 0 AND isNotNull(clock_offset)) AS clock,
    arraySort(groupArrayIf((ifNull(started, 0), view, greatest(ifNull(ended, ifNull(started, 0)), ifNull(started, 0)), page, referrer,
      visible, engaged, seq, logged, crashed), isNotNull(started) AND activity = 0 AND (unseen = 0 OR visible > 0))) AS seen,
    groupArrayIf((ifNull(started, 0), activity, crashed), isNotNull(started) AND (activity = 1 OR unseen = 1 AND visible <= 0)) AS loose
  FROM {from} GROUP BY session, lone`

	// Each page view opens something at its start, which closes a gap after its end. Where
	// nothing is open an island begins. What begins when something closes comes first:
	// exactly a gap apart is together.
	islandsSQL = `SELECT session, lone, clocks, clock,
    arraySort(arrayConcat(
      arrayMap(v -> (tupleElement(v, 1), toUInt8(0), toInt8(1)), seen),
      arrayMap(v -> (least(tupleElement(v, 3), tupleElement(v, 1) + {max}) + {gap}, toUInt8(1), toInt8(-1)), seen))) AS ends,
    arrayCumSum(arrayMap(x -> tupleElement(x, 3), ends)) AS open,
    arrayCumSum(arrayMap((x, n) -> toUInt8(tupleElement(x, 2) = 0 AND n = 1), ends, open)) AS nth,
    arrayFilter((n, x) -> tupleElement(x, 2) = 0, nth, ends) AS islands, seen
  FROM ({keys})`

	// An island is cut at multiples of the longest session, up to last.
	cutsSQL = `SELECT session, lone, clocks, clock, island, min(tupleElement(v, 1)) AS began, groupArray(v) AS members,
    began + (intDiv(max(tupleElement(v, 1)) - began, {max}) + 1) * {max} AS last
  FROM (SELECT session, lone, clocks, clock, v, island FROM ({islands}) ARRAY JOIN seen AS v, islands AS island)
  GROUP BY session, lone, clocks, clock, island`

	viewsSQL = `SELECT session, lone, clocks, clock, last, tupleElement(v, 1) AS s, tupleElement(v, 2) AS view, tupleElement(v, 3) AS e,
    tupleElement(v, 4) AS page, tupleElement(v, 5) AS referrer, tupleElement(v, 6) AS visible, tupleElement(v, 7) AS engaged,
    tupleElement(v, 8) AS seq, tupleElement(v, 9) AS logged, tupleElement(v, 10) AS crashed,
    least(e, s + {max}) AS till, began + (intDiv(s - began, {max}) + 1) * {max} AS cut
  FROM ({cuts}) ARRAY JOIN members AS v`

	// One row for each session, and one for each page view that opens none, by where
	// they end.
	placedSQL = `SELECT session, lone, toUInt8(1) AS is_session, cut,
    toInt64(min(s) + clock) AS begun, toInt64(max(least(till, cut)) + clock) AS ended, toInt64(ended + {gap}) AS place,
    argMin(view, (s, view)) AS first_view, argMin(page, (s, view)) AS entry, argMin(referrer, (s, view)) AS origin,
    argMax(page, (least(till, cut), s, view)) AS exit, toInt64(count()) AS n, toInt64(sum(logged)) AS messages,
    toInt64(sum(greatest(0, least(engaged, till - s)))) AS used, toUInt8(max(crashed)) AS crash,
    toUInt8(max(e > least(cut, s + {max}) OR cut < last)) AS clipped,
    toUInt8(max(s = e AND visible = 0 AND seq = 0)) AS incomplete, toUInt8(clocks = 0) AS client_clock
  FROM ({views}) GROUP BY session, lone, clocks, clock, cut
  UNION ALL
  SELECT session, lone, toUInt8(0) AS is_session, toInt64(0) AS cut, toInt64(0) AS begun, toInt64(0) AS ended,
    toInt64(tupleElement(v, 1) + if(tupleElement(v, 2) = 1, 0, clock)) AS place, '' AS first_view, '' AS entry, '' AS origin, '' AS exit,
    toInt64(0) AS n, toInt64(0) AS messages, toInt64(0) AS used, toUInt8(tupleElement(v, 3)) AS crash,
    toUInt8(0) AS clipped, toUInt8(0) AS incomplete, toUInt8(0) AS client_clock
  FROM ({keys}) ARRAY JOIN loose AS v`

	// What opens no session is counted with the first one whose end is not more than the
	// gap before it: nth is the number of that.
	nearSQL = `SELECT session, lone,
    arraySort(groupArray((place, is_session, cut, begun, ended, first_view, entry, origin, exit, n, messages, used, crash, clipped,
      incomplete, client_clock))) AS rows,
    arrayMap((x, n) -> n + 1 - tupleElement(x, 2), rows, arrayCumSum(arrayMap(x -> tupleElement(x, 2), rows))) AS nths
  FROM ({placed}) GROUP BY session, lone`

	foundSQLOfArrays = `SELECT session AS f_session, lone, nth, countIf(is_session = 1) AS there,
    sumIf(begun, is_session = 1) AS started_us, sumIf(ended, is_session = 1) AS ended_us, anyIf(first_view, is_session = 1) AS view,
    anyIf(entry, is_session = 1) AS entry_page, anyIf(exit, is_session = 1) AS exit_page, anyIf(origin, is_session = 1) AS referrer,
    sumIf(n, is_session = 1) AS views, sumIf(messages, is_session = 1) AS logged, sumIf(used, is_session = 1) AS time_used,
    groupArrayIf((place, crash), is_session = 0) AS loose, maxIf(crash, is_session = 1) AS own_crash,
    max(clipped) AS was_cut, max(incomplete) AS not_whole, max(client_clock) AS by_client
  FROM (SELECT session, lone, nth, tupleElement(x, 1) AS place, tupleElement(x, 2) AS is_session, tupleElement(x, 4) AS begun,
      tupleElement(x, 5) AS ended, tupleElement(x, 6) AS first_view, tupleElement(x, 7) AS entry, tupleElement(x, 8) AS origin,
      tupleElement(x, 9) AS exit, tupleElement(x, 10) AS n, tupleElement(x, 11) AS messages, tupleElement(x, 12) AS used,
      tupleElement(x, 13) AS crash, tupleElement(x, 14) AS clipped, tupleElement(x, 15) AS incomplete, tupleElement(x, 16) AS client_clock
    FROM ({near}) ARRAY JOIN rows AS x, nths AS nth)
  GROUP BY session, lone, nth HAVING there > 0`

	// The condition always holds. It has the columns read: old servers do not see those
	// that are named in a function for elements alone.
	//
	// A DateTime has whole seconds from 1970 to 2106, so the exact times stand beside it.
	sessionsSQLOfArrays = `SELECT if(f_session = '', lone, f_session) AS session, if(f_session = '', lone, concat(f_session, ':', view)) AS id,
  toDateTime(toUInt32(greatest(0, least(4294967295, intDiv(started_us, 1000000)))), 'UTC') AS started,
  toDateTime(toUInt32(greatest(0, least(4294967295, intDiv(ended_us, 1000000)))), 'UTC') AS ended,
  (ended_us - started_us) / 1000000 AS elapsed, least(time_used, ended_us - started_us) / 1000000 AS engaged,
  views, entry_page, exit_page, referrer, length(near) AS attached, logged,
  toUInt8(own_crash = 1 OR arrayExists(x -> tupleElement(x, 2) = 1, near)) AS crashed, was_cut, not_whole AS incomplete,
  by_client AS client_clock, started_us, ended_us
FROM (
  SELECT f_session, lone, view, started_us, ended_us, time_used, views, entry_page, exit_page, referrer, logged, own_crash,
    was_cut, not_whole, by_client, arrayFilter(x -> tupleElement(x, 1) >= started_us - {gap}, loose) AS near
  FROM ({found}) WHERE started_us <= ended_us
)`
)

// viewSQL returns the statement that makes the view of the sessions.
func (c *clickHouse) viewSQL() string {
	text := sessionsSQLOfArrays
	for _, part := range []struct{ name, text string }{
		{"{found}", foundSQLOfArrays}, {"{near}", nearSQL}, {"{placed}", placedSQL}, {"{views}", viewsSQL}, {"{cuts}", cutsSQL},
		{"{islands}", islandsSQL}, {"{keys}", keysSQL}, {"{from}", c.table("page_views")},
	} {
		text = strings.ReplaceAll(text, part.name, part.text)
	}
	return "CREATE VIEW IF NOT EXISTS " + c.table("sessions") + " AS " + ClickHouse.fill(c.rules, text)
}
