package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
)

// The file format is described in FORMAT.md. All numbers are little-endian.
const (
	magic       = "\x89BCNWAL\n" // like PNG's: not text, and shows what line ending conversion did
	version     = 1
	headerSize  = 32
	frameSize   = 8 // before each payload: its length and its checksum
	maxRecord   = 1<<29 - 1
	minRecord   = len("{}")
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

// badOffset is the offset in a badName, and 0 in the name of a whole segment.
func badOffset(name string) int64 {
	_, rest, _ := strings.Cut(strings.TrimSuffix(name, badSuffix), "-")
	hex, _, _ := strings.Cut(rest, "-")
	off, err := strconv.ParseInt(hex, 16, 64)
	if err != nil || off < headerSize {
		return 0
	}
	return off
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
