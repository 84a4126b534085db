package spool

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
)

// found scans a segment and returns the IDs of its events, and its gaps.
func found(t *testing.T, data []byte, exact bool) (all []string) {
	t.Helper()
	scan := newScanner(bytes.NewReader(data), 1, 0, int64(len(data)))
	scan.exact = exact
	for {
		payload, g, err := scan.next()
		switch {
		case err == io.EOF:
			return all
		case err != nil:
			t.Fatal(err)
		case g != nil:
			all = append(all, "gap")
		default:
			_, id, _ := strings.Cut(string(payload[:min(len(payload), 50)]), `"id":"`)
			id, _, _ = strings.Cut(id, `"`)
			all = append(all, id)
		}
	}
}

// A bit that flips costs the record it is in, also where large ones follow it.
func TestFlipBeforeLargeRecords(t *testing.T) {
	t.Parallel()
	event := func(id string, size int) string {
		return form(beacon.Event{ID: id, Body: beacon.Text(strings.Repeat("x", size))})
	}
	payloads := []string{event("a", 100), event("b", 3<<20), event("c", 5<<19), event("d", 5<<19), event("e", 10), event("f", 5<<19)}
	segment := segmentOf(t, 1, payloads...)
	rng := rand.New(rand.NewPCG(1, 1))
	start := headerSize
	for i, p := range payloads {
		for n, off := range []int{0, 1, 2, 3, 4 + rng.IntN(4), 8, frameSize + len(p) - 1, frameSize + rng.IntN(len(p))} {
			data := bytes.Clone(segment)
			data[start+off] ^= 1 << rng.IntN(8)
			want := strings.Split("abcdef", "")
			want[i] = "gap"
			exact := n%2 == 0
			if !exact {
				data = append(data, make([]byte, 5000)...) // allocated
			}
			if d := cmp.Diff(want, found(t, data, exact)); d != "" {
				t.Errorf("record %d, byte %d: %s", i, off, d)
			}
		}
		start += frameSize + len(p)
	}
}

// A flipped bit makes a record of what a client sent: a large one, with the right
// checksum for the segment that it guessed. It must not be taken for one.
func TestForgedLargeRecord(t *testing.T) {
	t.Parallel()
	const length = "!! " // and a zero, which is a space with a flipped bit
	n := int('!') | int('!')<<8 | int(' ')<<16
	if n <= maxResync {
		t.Fatal("that is no large record")
	}
	for _, c := range []struct {
		name   string
		forged string // begins the record
		ends   string // ends it
		behind string // ends what was sent
	}{
		{"within the event", `{"v":1,"id":"forged","page":"`, `"}`, `}}`},
		{"with the event", `{"v":1,"id":"forged","page":"`, `"}}}`, ``},
		{"before what looks like another", `{"v":1,"id":"forged","page":"`, `"}`, `,"!!` + "  " + `CCCC{":1}}}`},
	} {
		forged := append([]byte(c.forged), bytes.Repeat([]byte{'x'}, n-len(c.forged)-len(c.ends))...)
		forged = append(forged, c.ends...)
		nonce := forged[n-len(c.ends)-10 : n-len(c.ends)]
		frame := []byte{length[0], length[1], length[2], 0}
		before := crc32.Update(crc32.Update(seed(1), castagnoli, frame), castagnoli, forged[:n-len(c.ends)-10])
		rng := rand.New(rand.NewPCG(1, 1))
		var sum [4]byte
		for letter := func(b byte) bool { return 'a' <= b|0x20 && b|0x20 <= 'z' }; ; {
			for i := range nonce {
				nonce[i] = 'a' + byte(rng.IntN(26))
			}
			binary.LittleEndian.PutUint32(sum[:], crc32.Update(before, castagnoli, forged[n-len(c.ends)-10:]))
			if sum[2] == '"' && sum[3] == ':' && letter(sum[0]) && letter(sum[1]) {
				break
			}
		}
		sent := fmt.Sprintf(`{"v":1,"id":"sent","body":{"kind":"json","json":{"%s %s%s%s`, length, sum[:], forged, c.behind)
		data := segmentOf(t, 1, sent, `{"v":1,"id":"next"}`)
		at := bytes.Index(data, []byte(length+" "+string(sum[:])))
		data[at+3] ^= 1 << 5
		scan := newScanner(bytes.NewReader(data), 1, int64(at), int64(len(data)))
		if _, ok := scan.record(int64(at)); !ok {
			t.Fatalf("%s: the test has not made what it wants to", c.name)
		}
		if d := cmp.Diff([]string{"gap", "next"}, found(t, data, true)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

// counting counts what is read.
type counting struct {
	io.ReaderAt
	bytes int64
}

func (c *counting) ReadAt(b []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(b, off)
	c.bytes += int64(n)
	return n, err
}

// The time that a file takes grows as the file does, whatever is in it.
func TestScanIsLinear(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1 << 19, 1 << 21, 3 << 20} {
		// Frames of records that go up to the end, where their last byte is right.
		data := appendHeader(nil, 1)
		for len(data) < size {
			data = binary.LittleEndian.AppendUint32(data, uint32(size-len(data)-frameSize))
			data = append(data, `CCCC{}`...)
		}
		data = append(data[:size-1], '}')
		r := &counting{ReaderAt: bytes.NewReader(data)}
		scan := newScanner(r, 1, 0, int64(size))
		for {
			if _, _, err := scan.next(); err != nil {
				break
			}
		}
		if times := (r.bytes + scan.wasted) / int64(size); times > 4*resyncWork {
			t.Errorf("%d bytes: went over each %d times", size, times)
		}
	}
}
