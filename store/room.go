package store

import (
	"context"
	"slices"
)

// On a disk that is full some rows still fit, where a page has room left, and others do
// not. What stands in front of a Store would take those for poison: it is told that they
// fail, and that others are stored. So a row that found no room is remembered, and
// written with whatever comes next, until there is room for it: nothing is taken before.
// That row may be stored before it is brought again, as after a commit whose answer was
// lost.

// writeAll writes rows, and what found no room before.
func (s *Store) writeAll(ctx context.Context, rows []*eventRow) error {
	waiting := s.noRoom.Load()
	if waiting == nil {
		err := s.retry(ctx, func() error { return s.engine.write(ctx, rows) })
		if err != nil && s.engine.full(err) {
			largest := slices.MaxFunc(rows, func(a, b *eventRow) int { return a.size() - b.size() })
			s.noRoom.CompareAndSwap(nil, largest)
		}
		return err
	}
	all := append(slices.Clone(rows), waiting)
	err := s.retry(ctx, func() error { return s.engine.write(ctx, all) })
	if err != nil && s.weigh(err) != never {
		return err
	}
	s.noRoom.CompareAndSwap(waiting, nil)
	if err == nil {
		return nil
	}
	return s.writeAll(ctx, rows) // one of them is refused for what it is
}

// full says whether an error is about a disk, or a quota, that has no room left.
func (s *Store) full(err error) bool {
	switch s.dialect {
	case PostgreSQL:
		return sqlState(err) == "53100"
	case SQLite:
		return errorCode(err)&0xff == 13
	}
	switch errorCode(err) {
	case 1114, // table is full
		1021, // disk full
		1030: // error of the storage engine, such as 28
		return true
	}
	return false
}
