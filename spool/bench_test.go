//go:build unix

package spool_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/spool"
)

var taken = beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil })

func cpuTime() time.Duration {
	var ru syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// BenchmarkConsume takes events of about 300 bytes from concurrent callers, each of
// which waits until its event is durable, and delivers them to a sink that takes
// them at once.
func BenchmarkConsume(b *testing.B) {
	for _, mode := range []struct {
		name string
		sync spool.Sync
	}{{"always", spool.Always}, {"never", spool.Never}} {
		for _, writers := range []int{1, 16, 64, 256} {
			b.Run(fmt.Sprintf("%s/%d", mode.name, writers), func(b *testing.B) {
				dir, err := os.MkdirTemp(".", "bench") // not in a temporary directory, which may be in memory
				if err != nil {
					b.Fatal(err)
				}
				defer os.RemoveAll(dir)
				s, err := spool.Open(dir, taken, spool.Options{Sync: mode.sync, DiskTimeout: time.Hour})
				if err != nil {
					b.Fatal(err)
				}
				event := events("session", 0, 1)[0]
				b.ReportAllocs()
				b.ResetTimer()
				cpu := cpuTime()
				var left atomic.Int64
				left.Store(int64(b.N))
				var wg sync.WaitGroup
				for range writers {
					wg.Go(func() {
						for left.Add(-1) >= 0 {
							if err := s.Consume(context.Background(), []beacon.Event{event}); err != nil {
								b.Error(err)
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N), "cpu-ns/op")
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
				b.StopTimer()
				if err := s.Close(context.Background()); err != nil {
					b.Error(err)
				}
			})
		}
	}
}

// BenchmarkBacklog delivers what an earlier run left, which is read back from disk.
func BenchmarkBacklog(b *testing.B) {
	dir, err := os.MkdirTemp(".", "bench")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	o := spool.Options{Sync: spool.Never, DiskTimeout: time.Hour, MaxBytes: 64 << 30}
	away := beacon.SinkFunc(func(context.Context, []beacon.Event) error { return errors.New("away") })
	s, err := spool.Open(dir, away, o)
	if err != nil {
		b.Fatal(err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for left := b.N; left > 0; left -= 1000 {
		if err := s.Consume(context.Background(), events("session", 0, min(left, 1000))); err != nil {
			b.Fatal(err)
		}
	}
	_ = s.Close(ended) // nothing is delivered
	b.ReportAllocs()
	b.ResetTimer()
	cpu := cpuTime()
	if s, err = spool.Open(dir, taken, o); err != nil {
		b.Fatal(err)
	}
	if err := s.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N), "cpu-ns/op")
	b.StopTimer()
	if err := s.Close(context.Background()); err != nil {
		b.Error(err)
	}
}
