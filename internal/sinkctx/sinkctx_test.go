package sinkctx

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestEndedContext: what is asked only after the end is told of it.
func TestEndedContext(t *testing.T) {
	for _, asked := range []bool{false, true} {
		c := New(t.Context(), time.Now().Add(time.Hour))
		if asked {
			_ = c.Done()
		}
		c.End()
		c.End()
		select {
		case <-c.Done():
		default:
			t.Errorf("asked before %v: not done", asked)
		}
		if !errors.Is(c.Err(), context.Canceled) || !errors.Is(context.Cause(c), context.Canceled) {
			t.Errorf("asked before %v: %v", asked, c.Err())
		}
		child, cancel := context.WithCancel(c)
		defer cancel()
		if child.Err() == nil {
			t.Error("a child of it lives")
		}
	}
}

func TestDeadlineWithoutAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(t.Context(), time.Now().Add(time.Second))
		defer c.End()
		if c.Err() != nil {
			t.Error(c.Err())
		}
		time.Sleep(time.Second)
		if !errors.Is(c.Err(), context.DeadlineExceeded) {
			t.Error(c.Err())
		}
	})
}

// TestCauseOfRequest: the visitor is gone, which is no cause to end, also where nobody has
// asked for what the context knows.
func TestCauseOfRequest(t *testing.T) {
	type key struct{}
	request, hangUp := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
	c := New(request, time.Now().Add(time.Hour))
	defer c.End()
	hangUp(errors.New("the visitor is gone"))
	for _, asked := range []bool{false, true} {
		if asked {
			_ = c.Done()
		}
		if err := context.Cause(c); err != nil || c.Err() != nil {
			t.Errorf("asked before %v: %v, %v", asked, err, c.Err())
		}
		if c.Value(key{}) != "value" {
			t.Errorf("asked before %v: the request's values are gone", asked)
		}
	}
}
