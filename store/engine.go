package store

import "context"

// An engine is what differs from one kind of database to another in more than words. A
// *Store itself is that of the databases with transactions; that of ClickHouse puts
// methods of its own in place of some.
type engine interface {
	// inspect looks at the database, and says what cannot work there.
	inspect(ctx context.Context) error

	// prepare makes the statements that write.
	prepare()

	// migrate brings the tables to the newest version, and the view of the sessions to
	// the rules.
	migrate(ctx context.Context) error

	// migrations are the statements that bring the tables from a version to the next, and
	// viewSQL is the one that makes the view of the sessions.
	migrations() [][]string
	viewSQL() string

	// meta returns what is written about the tables under a name, or "".
	meta(ctx context.Context, q querier, name string) (string, error)

	// write stores rows, all or, with an error, perhaps some of them.
	write(ctx context.Context, rows []*eventRow) error

	// judge says what the code of an error means, and full whether it is about room.
	judge(err error) verdict
	full(err error) bool

	// candidates are the page views that q may be about.
	candidates(q Query) *question

	// page asks for events, and says how far it looks.
	page(ctx context.Context, w where, q Query) (*question, reach, error)

	// These erase, and return how many events and page views that were.
	forget(ctx context.Context, keys []any) (int64, error)
	forgetAttr(ctx context.Context, name, value string) (int64, error)
	prune(ctx context.Context, before int64) (int64, error)
}

// A reach is how far a question looks: up to what was received at a time, and that
// included. Without, it is as far as its limit allows.
type reach struct {
	bounded bool
	until   int64
}

var (
	_ engine = (*Store)(nil)
	_ engine = (*clickHouse)(nil)
)
