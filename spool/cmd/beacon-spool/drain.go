package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/spool"
)

// drain delivers what waits, as the program would whose spool it is.
func drain(c *call) error {
	batch := c.flags.Int("batch", 1000, "")
	timeout := c.flags.Duration("timeout", 5*time.Minute, "")
	args, err := c.parse(1 << 20)
	if err != nil {
		return err
	}
	if *batch < 1 || *timeout <= 0 {
		return fmt.Errorf("%w: -batch and -timeout have to be positive", errUsage)
	}
	dir, command := args[0], args[1:]
	if err := mayWrite(dir); err != nil {
		return err
	}
	if err := isSpool(dir); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(c.ctx)
	defer cancel(nil)
	take := c.write
	if len(command) > 0 {
		take = func(ctx context.Context, lines []byte) error { return c.feed(ctx, command, lines) }
	}
	var taken atomic.Int64
	s, err := spool.Open(dir, beacon.SinkFunc(func(call context.Context, events []beacon.Event) error {
		if err := context.Cause(ctx); err != nil {
			return err // one failure is enough
		}
		lines, err := jsonLines(events)
		if err == nil {
			err = take(call, lines)
		}
		if err != nil {
			cancel(err)
			return err
		}
		taken.Add(int64(len(events)))
		return nil
	}), spool.Options{
		BatchEvents: *batch, Timeout: *timeout,
		Logger: slog.New(slog.NewTextHandler(c.stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return err
	}
	err = s.Flush(ctx)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	cancel(context.Canceled) // Close begins no more
	err = errors.Join(err, s.Close(c.ctx))
	fmt.Fprintf(c.stderr, "%d events drained\n", taken.Load())
	return err
}

// isSpool keeps Open from making a spool of a directory that is none.
func isSpool(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "cursor")); err != nil {
		return fmt.Errorf("not the directory of a spool: %w", err)
	}
	return nil
}

func jsonLines(events []beacon.Event) ([]byte, error) {
	var lines []byte
	for i := range events {
		var err error
		if lines, err = events[i].AppendJSON(lines); err != nil {
			return nil, err
		}
		lines = append(lines, '\n')
	}
	return lines, nil
}

// write takes events by writing them to stdout.
func (c *call) write(_ context.Context, lines []byte) error {
	if _, err := c.stdout.Write(lines); err != nil {
		return err
	}
	f, ok := c.stdout.(*os.File)
	if !ok {
		return nil
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return err
	}
	return f.Sync()
}

// feed has a command take events.
func (c *call) feed(ctx context.Context, command []string, lines []byte) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(lines), c.stdout, c.stderr
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", command[0], err)
	}
	return nil
}
