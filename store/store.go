// Package store keeps beacons in a database, and answers how long people were there.
//
// A [Store] is a [beacon.Sink] over database/sql, for PostgreSQL, SQLite, and MariaDB
// or MySQL, and over HTTP for ClickHouse. The driver of database/sql, and what there is to
// set about it, are the host's:
//
//	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
//	if err != nil {
//		log.Fatal(err)
//	}
//	events, err := store.Open(ctx, db, store.PostgreSQL, store.Options{})
//	if err != nil {
//		log.Fatal(err)
//	}
//	h, err := beacon.New(beacon.Config{Sink: events})
//
// # What is promised
//
// A nil error of Consume means that the events are committed. The same events again,
// in any order, in any parts, from any number of writers at once, change nothing: an
// event is told by its ID, and what is known of a page view is minima, maxima and the
// totals of its last report, which the database joins as [beacon.PageView.Join] does.
// Sessions are derived when they are asked for, so late data is never too late.
//
// Nothing that a browser sends is refused for its content: see Tables.
//
// [Store.Stats] says what became of events, and how long calls took: more time than
// usual, then Failed, come before a backlog.
//
// # Tables
//
// Open makes them, and brings those of an older version up to date:
//
//	beacon_events      one row for each event: columns to ask for, data (the body as JSON,
//	                   where it has such a form), and event, the lossless JSON of it
//	beacon_page_views  one row for each view of a page
//	beacon_attrs       the events with an attribute that the host gave them
//	beacon_meta        the version
//	beacon_sessions    a view: one row for each session, in the types that people read
//
// Times are microseconds since the epoch, and durations are microseconds, as integers;
// flags are 0 and 1. Texts compare byte by byte.
//
// The session and the view of an event are those of the page view that it tells of, as
// [sessions.Source] has it. An ID, session, view, series or attribute that no column holds
// (longer than 255 bytes, with NUL, or not UTF-8) is there as the beginning of it, a
// U+FFFD, # and a hash of the whole: never the same as another, and always the same
// again. Other texts have a U+FFFD for what no column holds, and are cut to 2,048 bytes;
// data is NULL where a database would refuse it. The column event has all of it.
//
// # The database
//
// Consume uses one connection at a time for each call, and the calls are concurrent:
// bound them with [sql.DB.SetMaxOpenConns], below what the server allows. With package
// spool or [github.com/pagebeacon/beacon/sink.Batch] in front, few connections do the work of many requests.
//
//   - PostgreSQL: the encoding of the database has to be UTF8. With synchronous_commit
//     off, a crash of the server loses what Consume has just returned from.
//   - SQLite: WAL lets readers go on while there is a writer (PRAGMA journal_mode=WAL);
//     without it they wait for each other.
//     PRAGMA synchronous decides what survives a power cut: FULL, the default, is for what
//     is answered 204. There is one writer at a time. A Store keeps its own in line, and
//     waits up to ten seconds for those of others. A driver that waits itself (PRAGMA
//     busy_timeout) may do so beyond the end of a context: make it no longer than a request
//     may take. But what the host itself writes to the same file waits for a Store by
//     nothing else. A database in memory needs SetMaxOpenConns(1): each connection would
//     have one of its own.
//   - MariaDB, MySQL: an event whose JSON is nearly as long as max_allowed_packet can
//     never be stored. That is 16 MiB or more by default, which is enough for what a
//     [beacon.Handler] takes by default, unless most of 4 MiB has to be escaped. What
//     synchronous_commit is there, innodb_flush_log_at_trx_commit is here: leave it 1.
//
// The end of a context rolls the transaction back, and may close the connection, as
// drivers do.
//
// # ClickHouse
//
// [OpenClickHouse] returns a Store with the same methods and the same results. It is for
// what is much for one database: it adds rows in large batches very fast, and scans them
// fast. What is different:
//
//   - There are no transactions. Consume makes one INSERT for each of three tables and
//     waits for each answer. When one fails, what was written before is there, and changes
//     nothing when the events are brought again. Asynchronous inserts are off, whatever the
//     defaults of the server are, as they would acknowledge memory. By its own defaults the
//     server does not sync files: a power cut loses the last seconds on a machine that is
//     alone. With replicas, set insert_quorum in ClickHouseOptions.Settings; without, set
//     fsync_after_insert of the tables.
//   - There are no unique keys. Rows that are one are merged when the server gets to it, and
//     the methods and the views see one whatever is merged. Who asks the table of the
//     events with SQL of their own counts uniqExact(id), or adds LIMIT 1 BY id.
//   - Small inserts are expensive, and with too many of them the server refuses more
//     (error 252), which is temporary. Put package spool or [github.com/pagebeacon/beacon/sink.Batch] in front, with
//     batches of 1,000 events or more, and few calls at a time.
//   - Events are sorted by time alone: [Query.Session] of Events reads one column of the range.
//     Ranges of Sessions, PageViews, Pages and Days read when each page view was heard of.
//   - Forget, ForgetAttr and Prune are mutations: the server writes the parts of a table anew
//     that have such rows, which takes seconds to minutes, and they wait for it. Of each kind
//     a Store has one at a time. They are not atomic: after an error, call again.
//   - Constraints and materialised views of the host's that refuse a row refuse it for
//     good, and the event may be in its table all the same.
//
// All of it was tested with version 18.16. Of what newer versions have, only what the server
// says it knows is used.
package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/histogram"
	"github.com/pagebeacon/beacon/sessions"
)

// Options of a [Store]. The zero value is the default.
type Options struct {
	// Prefix is what the names of the tables begin with: letters, digits and _, at most
	// 32, lower-case, not a digit first. The default is "beacon_". Stores of different
	// sites may share a database.
	Prefix string

	// Rules say what one session is. They may change from one start to the next: what
	// is stored does not depend on them.
	Rules sessions.Rules

	// Source says which events tell of page views, and whose they are. It is applied when
	// events are stored: another one counts from then on.
	Source sessions.Source

	// Permanent says whether an error of the database can never be mended by a retry, so
	// that the event is refused for good. known is false where the store shall judge
	// itself, as it does without this. That takes for permanent what databases say of values
	// (SQLSTATE 22, 23 and 54, and the like), and for temporary all else. Constraints that
	// the host adds to the tables are of the former: what violates one is refused. Errors of
	// drivers are in err, and one of ClickHouse has a method ClickHouseCode() int.
	Permanent func(err error) (permanent, known bool)
}

// A Store is a [beacon.Sink] that keeps events and page views in a database. It is safe
// for concurrent use, and there may be any number of them on one database.
type Store struct {
	engine    engine
	db        *sql.DB
	dialect   Dialect
	prefix    string
	rules     sessions.Rules
	source    sessions.Source
	permanent func(error) (bool, bool)

	collation string // of MySQL
	maxEvent  int    // how long the JSON of an event may be; 0 is any length

	writer chan struct{} // holds one value while SQLite is written to; nil otherwise

	noRoom atomic.Pointer[eventRow] // see writeAll

	insertEvents, insertViews, insertAttrs statement

	counters counters
}

var (
	_ beacon.Sink          = (*Store)(nil)
	_ beacon.HealthChecker = (*Store)(nil)
)

var validPrefix = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,31}$`)

// Open returns a Store over db, of which the tables are made or brought up to date. The
// database stays the host's: the Store never closes it.
//
// Where the database is away Open fails. docs/durability.md shows a start, with package
// spool, that does not wait for it.
//
// Several processes may Open the same tables at once. Tables of a newer version of this
// package are an error. Where the tables are as they should be, no right to make any is
// needed.
func Open(ctx context.Context, db *sql.DB, d Dialect, o Options) (*Store, error) {
	switch {
	case db == nil:
		return nil, errors.New("store: no database")
	case d == ClickHouse:
		return nil, errors.New("store: ClickHouse is opened by OpenClickHouse")
	case d != PostgreSQL && d != SQLite && d != MySQL:
		return nil, fmt.Errorf("store: no such dialect: %d", int(d))
	}
	s, err := newStore(db, d, o)
	if err != nil {
		return nil, err
	}
	s.engine = s
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// newStore returns a Store without an engine.
func newStore(db *sql.DB, d Dialect, o Options) (*Store, error) {
	s := &Store{db: db, dialect: d, prefix: cmp.Or(o.Prefix, "beacon_"), rules: o.Rules, source: o.Source, permanent: o.Permanent}
	if !validPrefix.MatchString(s.prefix) {
		return nil, fmt.Errorf("store: Options.Prefix %q: want at most 32 lower-case letters, digits and _", o.Prefix)
	}
	if err := o.Rules.Validate(); err != nil {
		return nil, fmt.Errorf("store: Options.Rules: %w", err)
	}
	s.counters.seconds = histogram.Seconds()
	return s, nil
}

// start makes the Store ready.
func (s *Store) start(ctx context.Context) error {
	err := s.engine.inspect(ctx)
	if err == nil {
		s.engine.prepare()
		err = s.engine.migrate(ctx)
	}
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// inspect looks at the database, and says what cannot work there.
func (s *Store) inspect(ctx context.Context) error {
	ask := func(query string, into ...any) error { return s.db.QueryRowContext(ctx, query).Scan(into...) }
	switch s.dialect {
	case PostgreSQL:
		var encoding, client, nulls string
		err := ask("SELECT current_setting('server_encoding'), current_setting('client_encoding'), current_setting('array_nulls')",
			&encoding, &client, &nulls)
		switch {
		case err != nil:
			return err
		case encoding != "UTF8":
			return fmt.Errorf("the encoding of the database is %s: UTF8 is needed", encoding)
		case client != "UTF8":
			return fmt.Errorf("the client_encoding of the connection is %s: UTF8 is needed", client)
		case nulls != "on":
			return errors.New("array_nulls is off, and page views have to be written with NULL")
		}
	case SQLite:
		s.writer = make(chan struct{}, 1)
		var version, main string
		if err := ask("SELECT sqlite_version()", &version); err != nil {
			return err
		}
		if err := ask("SELECT file FROM pragma_database_list WHERE name = 'main'", &main); err != nil {
			return err
		}
		if main == "" && s.db.Stats().MaxOpenConnections != 1 {
			return errors.New("a database in memory is one for each connection: SetMaxOpenConns(1) is needed")
		}
	case MySQL:
		var version, mode string
		var client, connection, results sql.NullString
		var packet int
		if err := ask("SELECT VERSION(), @@sql_mode, @@character_set_client, @@character_set_connection, @@character_set_results, @@max_allowed_packet",
			&version, &mode, &client, &connection, &results, &packet); err != nil {
			return err
		}
		for _, charset := range []string{client.String, connection.String, cmp.Or(results.String, "utf8mb4")} { // of results, NULL is as they are
			if charset != "utf8mb4" {
				return fmt.Errorf("the character set of the connection is %s: utf8mb4 is needed", charset)
			}
		}
		if strings.Contains(mode, "EMPTY_STRING_IS_NULL") {
			return errors.New("the sql_mode has EMPTY_STRING_IS_NULL, and an empty session is none that is not known")
		}
		s.collation = "utf8mb4_0900_bin" // of MySQL; with "a" and "a " not the same
		if strings.Contains(version, "MariaDB") {
			s.collation = "utf8mb4_nopad_bin"
		}
		if s.maxEvent = packet - 64<<10; s.maxEvent < 128<<10 {
			return fmt.Errorf("max_allowed_packet is %d: no event of 128 KiB could be stored", packet)
		}
	}
	return nil
}

// Healthy says whether the database answers, and the tables are there.
func (s *Store) Healthy(ctx context.Context) error {
	version, err := s.version(ctx, s.db)
	if err == nil && version != len(s.engine.migrations()) {
		err = fmt.Errorf("the tables are of version %d instead of %d", version, len(s.engine.migrations()))
	}
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// Consume stores events, and what they say of page views, in one transaction: a nil
// error means that all of it is committed. ClickHouse has no transactions: there a nil
// error means that all of it is stored.
//
// A conflict of transactions is tried again a few times. Other errors of the database are
// temporary, except for what it says of values: then the events are stored in ever smaller
// parts, and a [*beacon.PartialError] that wraps [beacon.ErrPermanent] names those that
// it refuses alone.
func (s *Store) Consume(ctx context.Context, events []beacon.Event) error {
	var f failures
	begin := time.Now()
	rows := s.rows(events, &f)
	s.store(ctx, rows, &f)
	s.counters.count(begin, len(events), &f)
	return f.err(len(events))
}

// store writes rows, in ever smaller parts if the database refuses them for what they are.
func (s *Store) store(ctx context.Context, rows []*eventRow, f *failures) {
	if len(rows) == 0 {
		return
	}
	err := s.writeAll(ctx, rows)
	if err == nil {
		return
	}
	switch v := s.weigh(err); {
	case v == never && len(rows) > 1:
		half := len(rows) / 2
		s.counters.splits.Add(1)
		s.store(ctx, rows[:half], f)
		if f.temporary { // the rest would wait for the same
			f.addRows(later, f.why, rows[half:])
			return
		}
		s.store(ctx, rows[half:], f)
	default:
		f.addRows(v, err, rows)
	}
}

// attempts is how often a transaction is tried that others came in the way of, and
// patience for how long SQLite is, which others may hold for longer.
const (
	attempts = 10
	patience = 10 * time.Second
)

// retry calls fn until it does not conflict with others, a few times.
func (s *Store) retry(ctx context.Context, fn func() error) error {
	begin, pause := time.Now(), 2*time.Millisecond
	for n := 1; ; n++ {
		err := fn()
		if err == nil || s.weigh(err) != again {
			return err
		}
		if n >= attempts && (s.dialect != SQLite || time.Since(begin) > patience) {
			return err
		}
		s.counters.retries.Add(1)
		t := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-ctx.Done():
			t.Stop()
			return errors.Join(ctx.Err(), err)
		case <-t.C:
		}
		pause = min(2*pause, 200*time.Millisecond)
	}
}

// failures are the events of a call that were not stored.
type failures struct {
	failed    []int
	why       error // the first, and a temporary one before a permanent one
	temporary bool
}

func (f *failures) add(v verdict, err error, indexes ...int) {
	temporary := v != never
	if f.why == nil || temporary && !f.temporary {
		f.why, f.temporary = err, temporary
	}
	f.failed = append(f.failed, indexes...)
}

func (f *failures) addRows(v verdict, err error, rows []*eventRow) {
	for _, r := range rows {
		f.add(v, err, r.index)
	}
}

// err returns the error of a call with n events.
func (f *failures) err(n int) error {
	if f.why == nil {
		return nil
	}
	err := fmt.Errorf("store: %w", f.why)
	if !f.temporary {
		err = fmt.Errorf("store: %w: %w", beacon.ErrPermanent, f.why)
	}
	if len(f.failed) == n {
		return err
	}
	slices.Sort(f.failed)
	return &beacon.PartialError{Failed: f.failed, Err: err}
}
