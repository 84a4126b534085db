package beacon

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/pagebeacon/beacon/internal/bind"
	"github.com/pagebeacon/beacon/internal/wire"
)

// Bind fills the struct that dst points to: from a [JSON] body or the body of a
// [Report] by "json" tags, from a [Form] by "schema" tags, and from the query by
// "schema" tags if the form is empty or the body is of another kind.
//
// A Go type takes the same values however they came:
//
//   - A [time.Duration] is a number of milliseconds, or text such as "1.5s". A
//     [time.Time] is milliseconds since the epoch, or RFC 3339.
//   - Strings are copies, which do not keep the request's memory alive. Files are not.
//
// For JSON, beyond that, what encoding/json does. For forms and queries:
//
//   - A field is matched by its tag, or by its name in any case; unknown keys are
//     ignored, and fields without a key keep the value they had.
//   - The first of several values counts, unless the field is a slice.
//   - A dot in a key leads into a nested struct where there is one, else it
//     stands for an underscore: key "rt.start" fills `schema:"rt_start"`.
//   - Numbers, bool ("on" is true), string, [encoding.TextUnmarshaler], pointers to
//     and slices of these, nested and embedded structs; *[File] and []*[File] for
//     files. NaN and infinities do not fit a float.
//   - An empty value does not fit a number or a bool, and leaves it alone.
//   - The options "required" and "default" of the schema package are refused:
//     they cannot tell an absent value from a zero one.
//
// Values that do not fit are returned as joined [FieldError] values, of a form in the
// order of their keys, and all other fields are filled. So is a body of [Text] or
// [Binary] without a query, of which there is nothing to bind; see [Config.Type]. Any
// other error is a mistake in the type of dst.
func (e Event) Bind(dst any) error { return e.bind(dst) }

func (e *Event) bind(dst any) error {
	switch b := e.Body.(type) {
	case JSON:
		return bindJSON(b, dst)
	case Report:
		return bindJSON(b.Body, dst)
	case Form:
		if len(b) > 0 {
			return bindForm(b, dst)
		}
	case Text, Binary:
		if len(e.Query) == 0 {
			if err := bindForm(nil, dst); err != nil {
				return err
			}
			return fieldError("body", "", "nothing to bind in a body that is "+b.Kind())
		}
	}
	return bindForm(e.Query, dst)
}

// On returns a Sink that calls fn with each event bound to a T, which must be a
// struct. What did not fit is in the event's Errors, and fn is called all the
// same: dirty data is no reason to lose a beacon.
//
// Where the body is a JSON array, which is how many clients send several events at
// once, fn is called with each element as an event of its own, of which the ID has
// ".0", ".1" and so on behind it. One of more than 1,000 elements is left whole.
//
// All events are offered to fn. If it fails for some of them, the error is a
// [*PartialError], which is permanent only if all its errors are: whoever tries again
// does so with those, and, of an array, with all elements.
//
// On panics if T cannot be bound, as it would for every event.
func On[T any](fn func(ctx context.Context, e Event, v T) error) Sink {
	if err := forms.Check(reflect.TypeFor[T]()); err != nil {
		panic(fmt.Errorf("beacon: bind: %w", err))
	}
	call := func(ctx context.Context, e *Event) error {
		var v T
		bad := e.bind(&v)
		if bad == nil {
			return withoutParts(fn(ctx, *e, v))
		}
		// A full slice expression, so that appending cannot reach into a list
		// that another copy of the event shares.
		x := *e
		x.Errors = append(x.Errors[:len(x.Errors):len(x.Errors)], fieldErrors(bad)...)
		return withoutParts(fn(ctx, x, v))
	}
	return SinkFunc(func(ctx context.Context, events []Event) error {
		var failed []int
		var errs []error
		for i := range events {
			var err error
			if items := events[i].elements(); items == nil {
				err = call(ctx, &events[i])
			} else {
				err = onEach(ctx, events[i], items, call)
			}
			if err != nil {
				failed, errs = append(failed, i), append(errs, err)
			}
		}
		err := JoinErrors(errs...)
		if len(events) == 1 || err == nil {
			return err
		}
		return &PartialError{Failed: failed, Err: err}
	})
}

// onEach calls call with each element of an event's body as an event of its own.
func onEach(ctx context.Context, e Event, items [][]byte, call func(context.Context, *Event) error) error {
	id, errs := e.ID, make([]error, len(items))
	for n, item := range items {
		e.ID, e.Body = numbered(id, n), JSON(item[:len(item):len(item)])
		errs[n] = call(ctx, &e)
	}
	return JoinErrors(errs...)
}

// maxElements is up to how many elements of an array are events of their own: what is
// sent in two bytes each would otherwise be half a million calls.
const maxElements = 1000

// elements returns the elements of a body that is a JSON array, or nil if it is none, or
// has none or too many.
func (e *Event) elements() [][]byte {
	if body, ok := e.Body.(JSON); ok {
		if items, _ := wire.SplitJSONArray(body, maxElements); len(items) <= maxElements {
			return items
		}
	}
	return nil
}

// fieldErrors flattens what Bind returned.
func fieldErrors(err error) []FieldError {
	switch x := err.(type) {
	case FieldError:
		return []FieldError{x}
	case interface{ Unwrap() []error }:
		var list []FieldError
		for _, y := range x.Unwrap() {
			list = append(list, fieldErrors(y)...)
		}
		return list
	}
	return []FieldError{fieldError("body", "", err.Error())}
}

var forms = bind.NewForms(reflect.TypeFor[*File]())

func bindForm(form Form, dst any) error {
	bad, err := forms.Fill(dst, len(form), func(i int) bind.Field {
		f := bind.Field{Name: form[i].Name, Value: form[i].Value}
		if form[i].File != nil {
			f.File = form[i].File
		}
		return f
	})
	return misfits(bad, err)
}

func bindJSON(b []byte, dst any) error {
	if len(b) == 0 {
		return nil
	}
	return misfits(bind.JSON(dst, b))
}

func misfits(bad []bind.Misfit, err error) error {
	if err != nil {
		return fmt.Errorf("beacon: bind: %w", err)
	}
	if len(bad) == 0 {
		return nil
	}
	errs := make([]error, len(bad))
	for i, x := range bad {
		errs[i] = fieldError(x.Key, x.Value, x.Reason)
	}
	return errors.Join(errs...)
}
