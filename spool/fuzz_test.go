package spool

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
)

const fuzzSegment = 1

// A piece is a record or a gap of a segment.
type piece struct {
	From, To int64
	Gap      bool
}

// pieces scans a segment to its end, and checks what must be so of any.
func pieces(t *testing.T, data []byte, from, end int64) []piece {
	t.Helper()
	scan := newScanner(bytes.NewReader(data), fuzzSegment, from, end)
	var out []piece
	for at := from; ; {
		payload, g, err := scan.next()
		if err == io.EOF {
			if at == 0 && checkHeader(data[:end], fuzzSegment) == nil {
				at = headerSize
			}
			if len(payload) > 0 || g != nil {
				t.Fatal("something came with the end")
			}
			if rest := bytes.TrimLeft(data[min(at, end):end], "\x00"); len(rest) > 0 && at != end {
				t.Fatalf("ended at %d of %d, before %q", at, end, rest)
			}
			return out
		}
		if err != nil {
			return append(out, piece{From: at, To: -1}) // a version of later
		}
		if g != nil {
			if g.from != at && (at != 0 || g.from != headerSize) || g.to <= g.from || g.to > end || scan.off != g.to {
				t.Fatalf("gap %+v at %d", *g, at)
			}
			if n := len(out); n > 0 && out[n-1].Gap && at > headerSize {
				t.Fatalf("gap %+v behind another one", *g)
			}
			out = append(out, piece{g.from, g.to, true})
			at = g.to
			continue
		}
		if at < headerSize { // the header was all right
			at = headerSize
		}
		to := at + frameSize + int64(len(payload))
		if scan.off != to || to > end {
			t.Fatalf("record of %d bytes at %d ends at %d of %d", len(payload), at, scan.off, end)
		}
		frame := data[at : at+frameSize]
		if int(binary.LittleEndian.Uint32(frame)) != len(payload) || !bytes.Equal(payload, data[at+frameSize:to]) ||
			checksum(seed(fuzzSegment), frame[:4], payload) != binary.LittleEndian.Uint32(frame[4:]) {
			t.Fatalf("record at %d is not what is there", at)
		}
		out = append(out, piece{at, to, false})
		at = to
		if len(out) > len(data)+2 {
			t.Fatal("no end")
		}
	}
}

// seedSegments are segments as a spool writes them, and damaged ones.
func seedSegments() [][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	var all [][]byte
	for n := range 4 {
		data := appendHeader(nil, fuzzSegment)
		for i := range 3 {
			e := makeEvent("s", i, rng)
			if n == 3 {
				e = adversarial("s", i, rng)
			}
			rec := append(openFrame(nil), form(e)...)
			if err := closeFrame(rec, 0); err != nil {
				panic(err)
			}
			seal(rec, fuzzSegment)
			data = append(data, rec...)
		}
		switch n {
		case 1:
			data[headerSize+frameSize+10] ^= 4
			data = append(data, make([]byte, 100)...)
		case 2:
			data = data[:len(data)-5]
		}
		all = append(all, data)
	}
	return append(all, nil, make([]byte, 40), all[0][:20], appendHeader(nil, fuzzSegment), []byte(strings.Repeat("{}", 50)))
}

func FuzzScanner(f *testing.F) {
	for _, data := range seedSegments() {
		f.Add(data, int64(0), uint16(17))
	}
	f.Fuzz(func(t *testing.T, data []byte, from int64, edge uint16) {
		size := int64(len(data))
		whole := pieces(t, data, 0, size)

		// Each piece is the same to one who begins there.
		if len(whole) > 0 && whole[len(whole)-1].To >= 0 {
			i := int(uint64(from) % uint64(len(whole)))
			if whole[i].From >= headerSize {
				if d := cmp.Diff(whole[i:], pieces(t, data, whole[i].From, size)); d != "" {
					t.Error("from a piece on:", d)
				}
			}
		}
		if size <= headerSize {
			return
		}

		// Nor does it matter where a window ends: the same bytes, far into a segment.
		body := data[headerSize:]
		plain := pieces(t, append(appendHeader(nil, fuzzSegment), body...), 0, size)
		pad := scanWindow - headerSize - frameSize - int(edge)%(len(body)+1)
		long := appendHeader(nil, fuzzSegment)
		at := len(long)
		long = append(openFrame(long), '{')
		long = append(append(long, bytes.Repeat([]byte{' '}, pad-2)...), '}')
		if err := closeFrame(long, at); err != nil {
			t.Fatal(err)
		}
		seal(long[at:], fuzzSegment)
		shift := int64(len(long) - headerSize)
		long = append(long, body...)
		moved := pieces(t, long, 0, int64(len(long)))[1:]
		for i := range moved {
			moved[i].From -= shift
			moved[i].To -= shift
		}
		if len(plain) == 0 {
			plain = []piece{}
		}
		if d := cmp.Diff(plain, moved); d != "" {
			t.Error("behind much else:", d)
		}
	})
}

// What any file in the directory may hold must not stop a spool, or be lost.
func FuzzSpoolRoundTrip(f *testing.F) {
	for _, data := range seedSegments() {
		f.Add(data, []byte("cursor"), "id", "text", []byte("x"))
	}
	f.Fuzz(func(t *testing.T, segment, cur []byte, id, text string, data []byte) {
		fs := newMemFS(contents(map[string][]byte{segmentName(fuzzSegment, dataSuffix): segment, cursorName: cur}))
		scan := newScanner(bytes.NewReader(segment), fuzzSegment, 0, int64(len(segment)))
		for range 3 {
			if _, _, err := scan.next(); err != nil && err != io.EOF {
				return // a version of later, which Open refuses
			}
		}
		o := crashOptions(Always)
		h := newHistory(fs)
		s, err := start(fs, beacon.SinkFunc(func(_ context.Context, events []beacon.Event) error {
			for _, e := range events {
				h.mu.Lock() // what was there before is delivered while the new one is stored
				_, ours := h.sent[e.ID]
				h.mu.Unlock()
				if ours {
					h.took([]beacon.Event{e})
				}
			}
			return nil
		}), o)
		if err != nil {
			t.Fatal(err)
		}
		e := beacon.Event{ID: "new-1" + strings.ToValidUTF8(id, ""), Page: text, Body: beacon.Binary{Type: text, Data: data}}
		if err := h.consume(s, e); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := s.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(ctx); err != nil {
			t.Fatal(err)
		}
		if len(h.problems) > 0 || len(h.delivered) == 0 {
			t.Error(h.problems, h.delivered)
		}
	})
}
