package spool

import (
	"context"
	"errors"
	"time"

	"github.com/pagebeacon/beacon"
)

var (
	// ErrFull is why Consume refuses events, and Healthy says no: [Options.MaxBytes]
	// are in use. Consume returns it in a [*beacon.RetryAfterError].
	ErrFull = errors.New("spool: full")

	// ErrClosed is what Consume, Healthy and Flush return after Close. It is
	// temporary: the process that comes next may take the events.
	ErrClosed = errors.New("spool: closed")

	// ErrLocked is why Open fails: another process, or this one, has the directory
	// open.
	ErrLocked = errors.New("spool: directory is in use")

	// ErrStalled is why Consume refuses events, and Healthy says no: the disk has not
	// answered for [Options.DiskTimeout]. When it does the spool goes on by itself.
	// Consume returns it in a [*beacon.RetryAfterError].
	ErrStalled = errors.New("spool: the disk hangs")

	// ErrLost is why Consume refuses events, and Healthy says no: the directory, its
	// lock or the current segment was removed or replaced. That is looked for once a
	// second, before events are acknowledged, so what was acknowledged in the second
	// before it was noticed may be lost when the process ends. The spool stays like this
	// until it is opened again. Consume returns it in a [*beacon.RetryAfterError].
	ErrLost = errors.New("spool: the directory is not the one that was opened")
)

// retryAfter is what a client is told when the spool cannot take its events.
const retryAfter = 5 * time.Second

// unable says why no events can be taken, whatever their size. It is called under mu.
func (s *Spool) unable() error {
	switch {
	case s.closed:
		return ErrClosed
	case s.lost != nil:
		return retry(s.lost)
	case s.disk.stalled:
		return retry(ErrStalled)
	}
	return nil
}

// checkRoom returns ErrFull if there is no room for n bytes of records. It is called under
// mu.
func (s *Spool) checkRoom(n int) error {
	if s.used+s.onWay+int64(n) > s.opts.MaxBytes {
		return retry(ErrFull)
	}
	return nil
}

// checkEvery is how often the spool looks whether its directory is still there.
const checkEvery = time.Second

// stillThere looks whether what is written can be found again. It is called by the
// goroutine of the commits, before it acknowledges them.
func (s *Spool) stillThere() error {
	s.mu.Lock()
	lost := s.lost
	s.mu.Unlock()
	if lost != nil || time.Since(s.checked) < checkEvery {
		return lost
	}
	s.checked = time.Now()
	err := s.fs.intact(s.log.f)
	if err == nil {
		return nil
	}
	s.mu.Lock()
	s.lost = err
	s.refuseClaims(retry(err))
	s.mu.Unlock()
	s.logger.Error("spool: directory lost", "error", err)
	return err
}

// Healthy returns nil if the spool can take events, and otherwise [ErrFull], [ErrClosed],
// [ErrStalled], [ErrLost], or what the disk said. If nothing was written for a second it
// tries whether that would go, so that a host that gets no events finds out, and can
// recover; it waits for that no longer than for its context or until the disk counts as
// hanging. That the next sink fails is no reason: that is what a spool is for. That a call
// of it does not return is one, since nobody can mend that but a restart.
func (s *Spool) Healthy(ctx context.Context) error {
	s.mu.Lock()
	err := s.unable()
	switch {
	case err != nil:
	case !s.hanging.IsZero():
		err = errSinkHangs
	case s.used+min(64<<10, s.opts.MaxBytes/16) > s.opts.MaxBytes:
		err = ErrFull
	case time.Since(s.tried) < checkEvery:
		err = s.failure
	default:
		g := s.gathering() // without events of its own
		s.mu.Unlock()
		return bare(g.wait(ctx))
	}
	s.mu.Unlock()
	return bare(err)
}

// bare returns an error without what a client is told.
func bare(err error) error {
	if r, ok := errors.AsType[*beacon.RetryAfterError](err); ok {
		return r.Err
	}
	return err
}
