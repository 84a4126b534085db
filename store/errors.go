package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"reflect"
	"strings"
)

// A verdict is what can be done about an error of a database.
type verdict int

const (
	later verdict = iota // a retry may mend it, once something else has changed
	again                // a retry at once may: a deadlock, a conflict of two transactions
	never                // the database refuses these rows, and always will
)

// weigh says what an error of the database means. When in doubt it is later: what is
// kept for a retry is not lost.
func (s *Store) weigh(err error) verdict {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, driver.ErrBadConn) {
		return later
	}
	if s.permanent != nil {
		if permanent, known := s.permanent(err); known {
			if permanent {
				return never
			}
			return later
		}
	}
	return s.engine.judge(err)
}

// judge says what the code of an error means.
func (s *Store) judge(err error) verdict {
	switch s.dialect {
	case PostgreSQL:
		return judgeSQLState(sqlState(err))
	case SQLite:
		return judgeSQLite(errorCode(err))
	case MySQL:
		if strings.Contains(err.Error(), "packet for query is too large") { // of the driver, without a number
			return never
		}
		return judgeMySQL(errorCode(err))
	}
	return later
}

func judgeSQLState(state string) verdict {
	if len(state) != 5 {
		return later
	}
	switch state {
	case "40001", "40P01": // serialization failure, deadlock
		return again
	case "54001": // statement too complex: of the server's limits, not of the rows
		return later
	}
	switch state[:2] {
	case "22", // data exception
		"23", // integrity constraint violation: of a constraint or trigger of the host's
		"54": // program limit exceeded
		return never
	}
	return later
}

func judgeSQLite(code int) verdict {
	if code == 18 || code == 20 { // TOOBIG, MISMATCH, which have no extended codes
		return never
	}
	switch code & 0xff { // of an extended code
	case 5, 6: // BUSY, LOCKED
		return again
	case 19: // CONSTRAINT
		return never
	}
	return later
}

func judgeMySQL(number int) verdict {
	switch number {
	case 1205, // lock wait timeout
		1213, // deadlock
		1020: // record has changed since last read (snapshot isolation of MariaDB)
		return again
	case 1048, // column cannot be null
		1062,             // duplicate entry, of a key of the host's
		1118,             // row size too large
		1153,             // packet too large
		1264, 1406, 1690, // out of range, data too long
		1292, 1366, 3854, // incorrect value, incorrect string
		1451, 1452, // foreign key
		1644, 1645, // SIGNAL of a trigger
		3140, 3141, 3819, 4025: // invalid JSON, check constraint
		return never
	}
	return later
}

// sqlState returns the SQLSTATE of an error of PostgreSQL. Drivers have a method for it,
// or a field Code of five characters.
func sqlState(err error) (state string) {
	walk(err, func(err error) bool {
		if x, ok := err.(interface{ SQLState() string }); ok {
			state = x.SQLState()
			return true
		}
		if f := field(err, "Code"); f.IsValid() && f.Kind() == reflect.String && f.Len() == 5 {
			state = f.String()
			return true
		}
		return false
	})
	return state
}

// errorCode returns the number of an error of MySQL or SQLite, or 0. Drivers have it in
// a field Number or Code, or return it from a method Code.
func errorCode(err error) (code int) {
	walk(err, func(err error) bool {
		if x, ok := err.(interface{ Code() int }); ok {
			code = x.Code()
			return true
		}
		for _, name := range []string{"Number", "Code"} {
			switch f := field(err, name); {
			case !f.IsValid():
			case f.CanInt():
				code = int(f.Int())
				return true
			case f.CanUint():
				code = int(f.Uint())
				return true
			}
		}
		if m := reflect.ValueOf(err).MethodByName("Code"); m.IsValid() && m.Type().NumIn() == 0 && m.Type().NumOut() == 1 {
			switch out := m.Call(nil)[0]; {
			case out.CanInt():
				code = int(out.Int())
				return true
			case out.CanUint():
				code = int(out.Uint())
				return true
			}
		}
		return false
	})
	return code
}

// field returns a field of the struct that err is or points to.
func field(err error, name string) reflect.Value {
	v := reflect.ValueOf(err)
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return reflect.Value{}
	}
	return v.FieldByName(name)
}

// walk calls fn for err and what it wraps, until fn has found something.
func walk(err error, fn func(error) bool) bool {
	for err != nil {
		if fn(err) {
			return true
		}
		switch x := err.(type) {
		case interface{ Unwrap() error }:
			err = x.Unwrap()
		case interface{ Unwrap() []error }:
			for _, e := range x.Unwrap() {
				if walk(e, fn) {
					return true
				}
			}
			return false
		default:
			return false
		}
	}
	return false
}
