package spool

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
)

// keepAside copies what is not a record into a file of its own. Where that fails,
// it makes a second name for the whole segment, which takes no space.
func (b *backlog) keepAside(g *gap) error {
	s, seq := b.s, b.scan.seq
	kept := g.to - g.from
	name, err := b.copyGap(g)
	if err != nil {
		name = segmentName(seq, badSuffix)
		if err := s.fs.link(segmentName(seq, dataSuffix), name); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		if err := s.fs.sync(); err != nil {
			return err
		}
		kept = b.scan.end
	}
	s.mu.Lock()
	s.kept[name] = kept
	level, what := slog.LevelError, "spool: damaged"
	if g.torn && s.crashed[seq] { // in a write that was not acknowledged
		level, what = slog.LevelInfo, "spool: torn end"
		s.stats.Torn++
	} else {
		s.stats.Damaged++
		s.stats.DamagedBytes += g.to - g.from
	}
	s.mu.Unlock()
	s.logger.Log(context.Background(), level, what, "segment", segmentName(seq, dataSuffix), "from", g.from, "to", g.to,
		"why", g.why, "kept", name)
	s.boundKept()
	return nil
}

func (b *backlog) copyGap(g *gap) (name string, err error) {
	if b.scan.unreadable {
		return "", errors.New("unreadable")
	}
	var f file
	for n := range 100 { // there may be one from before a crash, and incomplete
		name = badName(b.scan.seq, g.from, n)
		if f, err = b.s.fs.create(name, 0); !errors.Is(err, os.ErrExist) {
			break
		}
	}
	if err != nil {
		return "", err
	}
	buf := make([]byte, min(g.to-g.from, scanWindow))
	for off := g.from; off < g.to && err == nil; {
		var n int
		n, err = b.f.ReadAt(buf[:min(int64(len(buf)), g.to-off)], off)
		if n > 0 {
			_, err = f.WriteAt(buf[:n], off-g.from)
			off += int64(n)
		} else if err == nil {
			err = io.ErrUnexpectedEOF
		}
	}
	if err == nil {
		err = f.sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, b.s.fs.remove(name))
	}
	return name, b.s.fs.sync()
}
