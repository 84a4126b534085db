package peers

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"sync/atomic"

	"go.etcd.io/bbolt"
	_ "modernc.org/sqlite" // without cgo, as a host that is deployed as one file has it
)

// A Store has a value on stable storage when Put returns.
type Store interface {
	Put(value []byte) error

	// All is how many values there are, and the last of them.
	All() (n int, last []byte, err error)

	Close() error
}

var bucket = []byte("events")

// A bolt groups those who wait, as bbolt does for whoever asks.
type bolt struct {
	db *bbolt.DB
	n  atomic.Uint64
}

// Bolt opens bbolt in a directory.
func Bolt(dir string) (Store, error) {
	db, err := bbolt.Open(filepath.Join(dir, "bolt"), 0o600, nil)
	if err != nil {
		return nil, err
	}
	return &bolt{db: db}, db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket(bucket)
		return err
	})
}

func (b *bolt) Put(value []byte) error {
	key := binary.BigEndian.AppendUint64(nil, b.n.Add(1))
	return b.db.Batch(func(tx *bbolt.Tx) error { return tx.Bucket(bucket).Put(key, value) })
}

func (b *bolt) All() (n int, last []byte, err error) {
	return n, last, b.db.View(func(tx *bbolt.Tx) error {
		n = tx.Bucket(bucket).Stats().KeyN
		_, v := tx.Bucket(bucket).Cursor().Last()
		last = append(last, v...)
		return nil
	})
}

func (b *bolt) Close() error { return b.db.Close() }

// A lite has one goroutine that stores all who wait in one transaction, since SQLite
// has one writer at a time.
type lite struct {
	db     *sql.DB
	insert *sql.Stmt
	in     chan waiting
	done   chan struct{}
}

type waiting struct {
	value []byte
	done  chan error
}

// SQLite opens a database in a directory.
func SQLite(dir string) (Store, error) {
	file := url.URL{Scheme: "file", Opaque: filepath.Join(dir, "sqlite"),
		RawQuery: "_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"}
	db, err := sql.Open("sqlite", file.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	var journal string
	var synchronous int
	err = errors.Join(
		db.QueryRow("PRAGMA journal_mode").Scan(&journal),
		db.QueryRow("PRAGMA synchronous").Scan(&synchronous),
	)
	if err != nil || journal != "wal" || synchronous != 2 {
		return nil, fmt.Errorf("journal %q, synchronous %d: %w", journal, synchronous, err)
	}
	if _, err := db.Exec("CREATE TABLE events (n INTEGER PRIMARY KEY, value BLOB NOT NULL)"); err != nil {
		return nil, err
	}
	insert, err := db.Prepare("INSERT INTO events (value) VALUES (?)")
	if err != nil {
		return nil, err
	}
	l := &lite{db, insert, make(chan waiting, 1024), make(chan struct{})}
	go l.run()
	return l, nil
}

func (l *lite) Put(value []byte) error {
	w := waiting{value, make(chan error, 1)}
	l.in <- w
	return <-w.done
}

func (l *lite) run() {
	defer close(l.done)
	var group []waiting
	for w := range l.in {
		group = append(group[:0], w)
		for len(l.in) > 0 && len(group) < cap(l.in) {
			group = append(group, <-l.in)
		}
		err := l.store(group)
		for _, w := range group {
			w.done <- err
		}
	}
}

func (l *lite) store(group []waiting) error {
	tx, err := l.db.Begin()
	if err != nil {
		return err
	}
	insert := tx.StmtContext(context.Background(), l.insert)
	for _, w := range group {
		if _, err := insert.Exec(w.value); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}

func (l *lite) All() (n int, last []byte, err error) {
	err = l.db.QueryRow("SELECT count(*), (SELECT value FROM events ORDER BY n DESC LIMIT 1) FROM events").Scan(&n, &last)
	return n, last, err
}

func (l *lite) Close() error {
	close(l.in)
	<-l.done
	return l.db.Close()
}
