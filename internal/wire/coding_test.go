package wire

import (
	"bytes"
	"compress/gzip"
	"runtime"
	"sync"
	"testing"
)

// TestWaitingInflatesNothing: who waits for room has no decompressor, which is larger than
// most of what it makes.
func TestWaitingInflatesNothing(t *testing.T) {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	_, _ = zw.Write(make([]byte, 10_000))
	_ = zw.Close()

	const n, most = 300, 8 << 10
	var asked, all sync.WaitGroup
	hold := make(chan struct{})
	before := heap()
	asked.Add(n)
	for range n {
		all.Go(func() {
			first := true
			_, _, err := Inflate(b.Bytes(), "gzip", false, InflateLimits{Bytes: 1 << 20, Ratio: 100, Hold: func(int64) error {
				if first {
					first = false
					asked.Done()
				}
				<-hold
				return nil
			}})
			if err != nil {
				t.Error(err)
			}
		})
	}
	asked.Wait()
	if each := (heap() - before) / n; each > most {
		t.Errorf("%d bytes each", each)
	}
	close(hold)
	all.Wait()
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // of pools, too
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
