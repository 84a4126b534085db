package wire

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
)

// InflateLimits bound what a compressed body may become.
type InflateLimits struct {
	Bytes int64
	Ratio int // decompressed to compressed size; a few kilobytes may exceed it

	// Hold, if set, is asked before memory of that size is allocated. Its error ends the
	// inflating.
	Hold func(bytes int64) error
}

// ErrTooInflated is the error of [Inflate] for what exceeds its limits.
var ErrTooInflated = errors.New("too large when decompressed")

// errHeld marks an error of Hold.
var errHeld = errors.New("no memory to decompress")

// ends says whether err is about the limits, and not about what is in the body.
func ends(err error) bool { return errors.Is(err, ErrTooInflated) || errors.Is(err, errHeld) }

// ratioFloor is the decompressed size up to which the ratio does not count: a few
// kilobytes of zeros are no bomb.
const ratioFloor = 64 << 10

// Cap is the most that n compressed bytes may become.
func (l InflateLimits) Cap(n int) int64 {
	if int64(l.Ratio) > l.Bytes/int64(max(n, 1)) {
		return l.Bytes // and the product might overflow
	}
	return min(l.Bytes, max(ratioFloor, int64(n)*int64(l.Ratio)))
}

// Inflate undoes the content coding of body. coding is the Content-Encoding
// header; sniff says that the type leaves room for a compressed body that does
// not declare itself, as apps send it in an untyped Blob to save the preflight
// that the header would cost. done is the coding that was undone, or, if it is
// not one of ours, the one that was left.
//
// A body that declares a coding it does not have was decoded on its way by a
// proxy that left the header: it is taken as it is. One that merely looks
// compressed and is not, too.
func Inflate(body []byte, coding string, sniff bool, lim InflateLimits) (plain []byte, done string, err error) {
	declared := strings.ToLower(strings.TrimSpace(coding))
	switch declared {
	case "gzip", "x-gzip":
		if !bytes.HasPrefix(body, gzipMagic) {
			return body, "", nil
		}
		plain, err = expand(body, "gzip", lim)
		return plain, "gzip", err
	case "deflate":
		// RFC 9110 means zlib by "deflate"; old senders mean the bare stream.
		if isZlib(body) {
			if plain, err = expand(body, "zlib", lim); err == nil || ends(err) {
				return plain, "deflate", err
			}
		}
		plain, err = expand(body, "deflate", lim)
		if err != nil && !ends(err) && looksLikeText(body) {
			return body, "", nil
		}
		return plain, "deflate", err
	case "", "identity":
	default:
		return body, coding, nil
	}
	if !sniff {
		return body, "", nil
	}
	format, name := "", ""
	switch {
	case isGzip(body):
		format, name = "gzip", "gzip"
	case isZlib(body):
		format, name = "zlib", "deflate"
	default:
		return body, "", nil
	}
	plain, err = expand(body, format, lim)
	if err != nil && !ends(err) {
		return body, "", nil
	}
	return plain, name, err
}

// gzipMagic starts every gzip member (RFC 1952 §2.3): its ID, and deflate.
var gzipMagic = []byte{0x1F, 0x8B, 8}

// isGzip says whether b may be a whole member: header, empty stream and trailer.
func isGzip(b []byte) bool { return len(b) >= 18 && bytes.HasPrefix(b, gzipMagic) }

// isZlib checks the header of RFC 1950 §2.2: deflate with a window of up to 32
// KiB, no preset dictionary, and the check bits.
func isZlib(b []byte) bool {
	return len(b) >= 8 && b[0]&0x0F == 8 && b[0]>>4 <= 7 && b[1]&0x20 == 0 &&
		(uint(b[0])<<8|uint(b[1]))%31 == 0
}

func looksLikeText(b []byte) bool {
	return bytes.IndexFunc(b, func(r rune) bool { return r < ' ' && r != '\t' && r != '\r' && r != '\n' }) < 0
}

// expand decompresses body up to its cap. It never reads further than that, so
// a bomb costs what its cap allows.
func expand(body []byte, format string, lim InflateLimits) ([]byte, error) {
	limit := min(lim.Cap(len(body)), math.MaxInt64-1) // one more is read
	// First of all, since it may take a while, and a decompressor is 40 KiB of state.
	first, err := lim.room(min(limit+1, guess(body, format)))
	if err != nil {
		return nil, err
	}
	src := bytes.NewReader(body)
	var r io.Reader
	switch format {
	case "gzip":
		z := gzipReaders.Get().(*gzip.Reader)
		defer gzipReaders.Put(z)
		if err := z.Reset(src); err != nil {
			return nil, err
		}
		r = z
	case "zlib":
		z, err := zlib.NewReader(src)
		if err != nil {
			return nil, err
		}
		r = z
	default:
		r = flate.NewReader(src)
	}
	out, err := readUpTo(r, first, limit, lim)
	switch {
	case errors.Is(err, ErrTooInflated):
		return nil, fmt.Errorf("%w: %d bytes become more than %d", ErrTooInflated, len(body), limit)
	case err != nil:
		return nil, err
	case src.Len() > 0:
		return nil, errors.New("data after the compressed stream")
	}
	return out, nil
}

// guess is about what a body becomes. A gzip member ends with its size (RFC 1952 §2.3.1).
func guess(body []byte, format string) int64 {
	n := int64(len(body))
	if format != "gzip" || n < 18 {
		return 4 * n
	}
	return int64(binary.LittleEndian.Uint32(body[n-4:])) + 1 // which is where the end is found
}

// room makes room for n bytes, if there may be so much.
func (l InflateLimits) room(n int64) ([]byte, error) {
	if l.Hold != nil {
		if err := l.Hold(n); err != nil {
			return nil, fmt.Errorf("%w: %w", errHeld, err)
		}
	}
	return make([]byte, 0, n), nil
}

// readUpTo reads r to its end, unless that is beyond the limit, into a first chunk and
// others behind it. Nothing that was read is copied but once, at the end, and not even
// that if the first had room for all.
func readUpTo(r io.Reader, chunk []byte, limit int64, lim InflateLimits) ([]byte, error) {
	var chunks [][]byte
	for total := int64(0); ; {
		n, err := r.Read(chunk[len(chunk):cap(chunk)])
		chunk, total = chunk[:len(chunk)+n], total+int64(n)
		switch {
		case total > limit:
			return nil, ErrTooInflated
		case err == nil && len(chunk) < cap(chunk):
		case err == nil:
			chunks = append(chunks, chunk)
			if chunk, err = lim.room(min(limit+1-total, max(total, 4<<10))); err != nil {
				return nil, err
			}
		case err != io.EOF:
			return nil, err
		case chunks == nil:
			return chunk, nil
		default:
			all := make([]byte, 0, total) // for which the chunks make room
			for _, c := range append(chunks, chunk) {
				all = append(all, c...)
			}
			return all, nil
		}
	}
}

// gzipReaders spares each body the 40 KiB of state that a decompressor has.
var gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}
