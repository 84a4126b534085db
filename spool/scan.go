package spool

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"time"
)

const (
	scanWindow = 1 << 20
	maxResync  = 1<<21 - 1 // up to here a record behind a gap proves itself; see found
	resyncWork = 64        // bytes to read in vain for each byte of a file
)

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

	// lax is for a tool with someone in front of it: large records behind one gap may
	// come before another.
	lax bool

	buf        []byte // bytes of f from base on
	base       int64
	wasted     int64 // bytes read for what turned out not to be a record
	unreadable bool  // some of f could not be read; it was taken for 0xFF
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
	if p, ok := s.record(s.off); ok {
		s.off += int64(frameSize + len(p))
		return p, nil, nil
	}
	if !s.exact && s.zeroUpTo(s.off, s.end) {
		s.off = s.end
		return nil, nil, io.EOF
	}
	g = &gap{from: s.off, why: "checksum or length does not fit"}
	for s.off = s.candidate(s.off + 1); s.off < s.end && !s.found(s.off); {
		s.off = s.candidate(s.off + 1)
	}
	g.to, g.torn = s.off, s.off == s.end
	return nil, g, nil
}

// again forgets what was read, and goes back to an offset: a writer may have been in
// the middle of something.
func (s *scanner) again(off int64) { s.off, s.buf, s.base = off, nil, 0 }

// length returns the length that the frame at off gives its payload, if that begins as
// one does and lies within the file.
func (s *scanner) length(frame []byte, off int64) (n int64, ok bool) {
	if len(frame) < frameSize+1 {
		return 0, false
	}
	n = int64(binary.LittleEndian.Uint32(frame))
	return n, n >= int64(minRecord) && n <= maxRecord && off+frameSize+n <= s.end && frame[frameSize] == '{'
}

// record returns the payload of the record at off, if there is one.
//
// Only a file made for it has so many lengths that lead nowhere that it would be read
// resyncWork times. What is too large for what is left of that is not read.
func (s *scanner) record(off int64) (payload []byte, ok bool) {
	n, ok := s.length(s.bytes(off, frameSize+1), off)
	if !ok || s.wasted+n > resyncWork*off+2*s.end {
		return nil, false
	}
	rec := s.bytes(off, frameSize+int(n))
	if int64(len(rec)) < frameSize+n || rec[len(rec)-1] != '}' ||
		checksum(s.seed, rec[:4], rec[frameSize:]) != binary.LittleEndian.Uint32(rec[4:]) {
		s.wasted += n
		return nil, false
	}
	return rec[frameSize:], true
}

// candidate returns the first offset from off on at which a payload may begin behind a
// frame, or the end.
func (s *scanner) candidate(off int64) int64 {
	for len(s.bytes(off, frameSize+1)) > frameSize {
		payloads := s.buf[off-s.base+frameSize:]
		if i := bytes.IndexByte(payloads, '{'); i >= 0 {
			return off + int64(i)
		}
		off += int64(len(payloads))
	}
	return s.end
}

// found says whether a record begins at off, which is behind a gap.
//
// Nothing that a client sent may pass for one there, not even with a bit flipped. Bytes
// of a client are in JSON texts, which have bytes of less than 0x20 only as white space
// between the tokens, which the writer does not make. The two highest bytes of a length
// up to maxResync are such bytes. Of a larger length it is one, which a bit may make: so
// behind a larger record there has to be the frame of another one, or the end. What a
// client put together ends before the text around it does, if it is JSON itself: behind it
// comes more of that text, which is no frame.
func (s *scanner) found(off int64) bool {
	n, ok := s.length(s.bytes(off, frameSize+1), off)
	if !ok {
		return false
	}
	if n <= maxResync {
		_, ok := s.record(off)
		return ok
	}
	if !s.lax && !s.followed(off+frameSize+n) {
		return false
	}
	payload, ok := s.record(off)
	return ok && json.Valid(payload)
}

// followed says whether a frame, what was not written to yet, or the end comes at end.
func (s *scanner) followed(end int64) bool {
	if end == s.end {
		return true
	}
	frame := make([]byte, frameSize+1)
	n, _ := s.f.ReadAt(frame, end) // what cannot be read is no frame
	_, ok := s.length(frame[:n], end)
	return ok || !s.exact && n > 0 && frame[0] == 0
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
