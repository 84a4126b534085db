package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
	"time"
)

// The file format is described in FORMAT.md. All numbers are little-endian.
const (
	magic       = "\x89BCNWAL\n" // like PNG's: not text, and shows what line ending conversion did
	version     = 1
	headerSize  = 32
	frameSize   = 8 // before each payload: its length and its checksum
	maxRecord   = 1<<29 - 1
	maxResync   = 1<<21 - 1 // see record
	minRecord   = len("{}")
	scanWindow  = 1 << 20
	blockSize   = 4096
	dataSuffix  = ".seg"
	deadSuffix  = ".dead"
	badSuffix   = ".bad"
	lockName    = "lock"
	cursorName  = "cursor"
	cursorSlots = 2
	cursorSize  = 32
	cursorMore  = 12 // the number, which older versions do not write
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A position is a place in the spool: a byte of a segment. Positions are ordered.
type position struct {
	segment uint64
	offset  int64
}

func (p position) before(q position) bool {
	return p.segment < q.segment || p.segment == q.segment && p.offset < q.offset
}

func segmentName(seq uint64, suffix string) string { return fmt.Sprintf("%016x%s", seq, suffix) }

// badName is the name of the copy of what is at an offset of a segment; try tells
// apart those of several attempts.
func badName(seq uint64, offset int64, try int) string {
	if try > 0 {
		return fmt.Sprintf("%016x-%x-%d%s", seq, offset, try, badSuffix)
	}
	return fmt.Sprintf("%016x-%x%s", seq, offset, badSuffix)
}

// parseName takes the name of a segment apart; ok is false for other files.
func parseName(name string) (seq uint64, suffix string, ok bool) {
	hex, rest, found := strings.Cut(name, ".")
	suffix = "." + rest
	if !found || len(hex) < 16 || suffix != dataSuffix && suffix != deadSuffix && suffix != badSuffix {
		return 0, "", false
	}
	seq, err := strconv.ParseUint(hex[:16], 16, 64)
	return seq, suffix, err == nil && (len(hex) == 16 || suffix == badSuffix)
}

func appendHeader(b []byte, seq uint64) []byte {
	start := len(b)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint64(b, seq)
	b = append(b, make([]byte, 8)...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

func checkHeader(h []byte, seq uint64) error {
	switch {
	case len(h) < headerSize:
		return errors.New("header is cut short")
	case string(h[:8]) != magic:
		return errors.New("not a segment")
	case crc32.Checksum(h[:28], castagnoli) != binary.LittleEndian.Uint32(h[28:]):
		return errors.New("header is damaged")
	case binary.LittleEndian.Uint32(h[8:]) != version:
		return fmt.Errorf("%w %d", errVersion, binary.LittleEndian.Uint32(h[8:]))
	case binary.LittleEndian.Uint64(h[12:]) != seq:
		return fmt.Errorf("is segment %016x by its header", binary.LittleEndian.Uint64(h[12:]))
	}
	return nil
}

var errVersion = errors.New("unknown format version")

// seed is what the checksums of a segment begin with, so that the records of one
// are not valid in another: a file system may hand out old blocks after a crash.
func seed(seq uint64) uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], seq)
	return crc32.Update(0, castagnoli, b[:])
}

func checksum(seed uint32, length, payload []byte) uint32 {
	return crc32.Update(crc32.Update(seed, castagnoli, length), castagnoli, payload)
}

// openFrame makes room for the frame of a record whose payload is appended next;
// closeFrame writes its length once it is there, and seal the checksums of all
// records in buf, which needs the segment.
func openFrame(buf []byte) []byte { return append(buf, make([]byte, frameSize)...) }

func closeFrame(buf []byte, start int) error {
	n := len(buf) - start - frameSize
	if n > maxRecord {
		return fmt.Errorf("record of %d bytes is too large", n)
	}
	binary.LittleEndian.PutUint32(buf[start:], uint32(n))
	return nil
}

func seal(buf []byte, seq uint64) {
	seed := seed(seq)
	for len(buf) > 0 {
		n := frameSize + int(binary.LittleEndian.Uint32(buf))
		binary.LittleEndian.PutUint32(buf[4:], checksum(seed, buf[:4], buf[frameSize:n]))
		buf = buf[n:]
	}
}

// A scanner reads the records of a segment up to end. What is not a record it
// reports, and goes on behind it: a flipped bit costs the record it is in.
type scanner struct {
	f    io.ReaderAt
	seq  uint64
	seed uint32
	off  int64 // of the next record
	end  int64

	// exact says that records go up to end: zeros before it are not the rest of a
	// segment that was allocated and not written.
	exact bool

	buf        []byte // bytes of f from base on
	base       int64
	unreadable bool // some of f could not be read; it was taken for 0xFF
}

func newScanner(f io.ReaderAt, seq uint64, off, end int64) *scanner {
	return &scanner{f: f, seq: seq, seed: seed(seq), off: off, end: end}
}

// A gap is bytes that are not records.
type gap struct {
	from, to int64
	torn     bool // nothing but the end follows: what a crash in the middle of a write leaves
	why      string
}

// next returns the payload of the next record, valid until the call after. At a
// gap it returns that instead. It returns io.EOF at the end.
func (s *scanner) next() (payload []byte, g *gap, err error) {
	if s.off >= s.end {
		return nil, nil, io.EOF
	}
	if s.off < headerSize {
		herr := checkHeader(s.bytes(0, int(min(headerSize, s.end))), s.seq)
		if errors.Is(herr, errVersion) {
			return nil, nil, herr
		}
		s.off = min(headerSize, s.end)
		if herr != nil {
			if s.zeroUpTo(0, s.end) && (!s.exact || s.end <= headerSize) {
				s.off = s.end // the crash came before anything was written
				return nil, nil, io.EOF
			}
			// The records do not need it, and may be all right.
			return nil, &gap{from: 0, to: s.off, torn: s.off == s.end, why: herr.Error()}, nil
		}
	}
	if s.off == s.end {
		return nil, nil, io.EOF
	}
	if p, ok := s.record(s.off, maxRecord); ok {
		s.off += int64(frameSize + len(p))
		return p, nil, nil
	}
	if !s.exact && s.zeroUpTo(s.off, s.end) {
		s.off = s.end
		return nil, nil, io.EOF
	}
	g = &gap{from: s.off, why: "checksum or length does not fit"}
	for s.off++; s.off < s.end; s.off++ {
		if _, ok := s.record(s.off, maxResync); ok {
			break
		}
	}
	g.to, g.torn = s.off, s.off == s.end
	return nil, g, nil
}

// record returns the payload of the record at off, if there is one of at most limit
// bytes.
//
// It is also how the reader finds its way back behind a gap. Nothing that a client
// sent can pass for a record there, not even with a bit flipped: the two highest
// bytes of a length up to maxResync are less than 0x20, and a JSON text has such
// bytes only as white space between its tokens, which the writer does not make.
func (s *scanner) record(off, limit int64) (payload []byte, ok bool) {
	frame := s.bytes(off, frameSize+1)
	if len(frame) < frameSize+1 {
		return nil, false
	}
	n := int64(binary.LittleEndian.Uint32(frame))
	if n < int64(minRecord) || n > limit || off+frameSize+n > s.end || frame[frameSize] != '{' {
		return nil, false
	}
	rec := s.bytes(off, frameSize+int(n))
	if int64(len(rec)) < frameSize+n || rec[len(rec)-1] != '}' ||
		checksum(s.seed, rec[:4], rec[frameSize:]) != binary.LittleEndian.Uint32(rec[4:]) {
		return nil, false
	}
	return rec[frameSize:], true
}

func (s *scanner) zeroUpTo(off, end int64) bool {
	for off < end {
		b := s.bytes(off, int(min(scanWindow, end-off)))
		if len(b) == 0 {
			return true // the file is shorter than it was
		}
		for _, c := range b {
			if c != 0 {
				return false
			}
		}
		off += int64(len(b))
	}
	return true
}

// bytes returns n bytes at off, or fewer where the file or the part to scan ends.
func (s *scanner) bytes(off int64, n int) []byte {
	n = int(min(int64(n), s.end-off))
	if n <= 0 {
		return nil
	}
	if i := off - s.base; i >= 0 && i+int64(n) <= int64(len(s.buf)) {
		return s.buf[i : i+int64(n)]
	}
	want := int(min(int64(max(n, scanWindow)), s.end-off))
	if cap(s.buf) < want {
		s.buf = make([]byte, want)
	}
	s.buf, s.base = s.buf[:want], off
	got, err := s.f.ReadAt(s.buf, off)
	if err != nil && err != io.EOF {
		got = s.salvage(off)
	}
	s.buf = s.buf[:got]
	return s.buf[:min(n, got)]
}

// salvage reads block by block what a medium error left, and takes each block that
// cannot be read for 0xFF, which is neither a record nor the end.
func (s *scanner) salvage(off int64) int {
	for i := 0; i < len(s.buf); i += blockSize {
		block := s.buf[i:min(i+blockSize, len(s.buf))]
		var err error
		for try := range 3 {
			time.Sleep(time.Duration(try) * 10 * time.Millisecond)
			var n int
			if n, err = s.f.ReadAt(block, off+int64(i)); err == nil {
				break
			} else if err == io.EOF {
				return i + n
			}
		}
		if err != nil {
			s.unreadable = true
			for j := range block {
				block[j] = 0xFF
			}
		}
	}
	return len(s.buf)
}

// A cursor says how far the spool has been delivered. It is a hint that saves
// duplicates after a restart, never a reason to skip what is there: the spool does
// not use the number of a segment again.
//
// It has two slots that are written in turn, in place, so that writing it needs no
// space and a torn write leaves the other.
type cursor struct {
	count  uint64
	at     position
	number uint64 // of the last segment that was made
}

func (c cursor) slot() int64 { return int64(c.count%cursorSlots) * blockSize }

func (c cursor) append(b []byte) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint64(b, c.count)
	b = binary.LittleEndian.AppendUint64(b, c.at.segment)
	b = binary.LittleEndian.AppendUint64(b, uint64(c.at.offset))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
	b = binary.LittleEndian.AppendUint64(b, c.number)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// readCursor returns the later of the slots that are intact, and whether one that
// was written is not. It has to know what is there: a later cursor that came back
// would pass for the delivery of segments that were made since.
func readCursor(f io.ReaderAt) (c cursor, damaged bool, err error) {
	for slot := range int64(cursorSlots) {
		b := make([]byte, cursorSize+cursorMore)
		n, err := f.ReadAt(b, slot*blockSize)
		if err != nil && err != io.EOF {
			return c, false, err
		}
		if strings.Trim(string(b), "\x00") == "" {
			continue
		}
		if n < cursorSize || crc32.Checksum(b[:28], castagnoli) != binary.LittleEndian.Uint32(b[28:]) || binary.LittleEndian.Uint32(b) != version {
			damaged = true
			continue
		}
		if n == len(b) && crc32.Checksum(b[:40], castagnoli) == binary.LittleEndian.Uint32(b[40:]) {
			c.number = max(c.number, binary.LittleEndian.Uint64(b[32:]))
		}
		if count := binary.LittleEndian.Uint64(b[4:]); count >= c.count {
			c.count = count
			c.at = position{binary.LittleEndian.Uint64(b[12:]), int64(binary.LittleEndian.Uint64(b[20:]))}
		}
	}
	return c, damaged, nil
}
