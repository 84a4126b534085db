package wire

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
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
}

// ErrTooInflated is the error of [Inflate] for what exceeds its limits.
var ErrTooInflated = errors.New("too large when decompressed")

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
			if plain, err = expand(body, "zlib", lim); err == nil || errors.Is(err, ErrTooInflated) {
				return plain, "deflate", err
			}
		}
		plain, err = expand(body, "deflate", lim)
		if err != nil && !errors.Is(err, ErrTooInflated) && looksLikeText(body) {
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
	if err != nil && !errors.Is(err, ErrTooInflated) {
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

// MaybeInflates says whether [Inflate] may make more of a body of that kind than it is.
func MaybeInflates(body []byte, coding string, kind Kind) bool {
	return coding != "" || kind.MaybeCompressed() && (isGzip(body) || isZlib(body))
}

// expand decompresses body up to its cap. It never reads further than that, so
// a bomb costs what its cap allows.
func expand(body []byte, format string, lim InflateLimits) ([]byte, error) {
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
	limit := min(lim.Cap(len(body)), math.MaxInt64-1) // one more is read
	out, err := readUpTo(r, 4*len(body), limit+1)
	switch {
	case int64(len(out)) > limit:
		return nil, fmt.Errorf("%w: %d bytes become more than %d", ErrTooInflated, len(body), limit)
	case err != nil:
		return nil, err
	case src.Len() > 0:
		return nil, errors.New("data after the compressed stream")
	}
	return out, nil
}

// readUpTo reads r up to its end or the limit. Nothing that was read is copied but
// once, at the end, and not even that if the guess of its size was not too small.
func readUpTo(r io.Reader, guess int, limit int64) ([]byte, error) {
	var chunks [][]byte
	chunk := make([]byte, 0, min(limit, int64(guess)))
	for total := int64(0); ; {
		n, err := r.Read(chunk[len(chunk):cap(chunk)])
		chunk, total = chunk[:len(chunk)+n], total+int64(n)
		if err == nil && total < limit {
			if len(chunk) == cap(chunk) {
				chunks = append(chunks, chunk)
				chunk = make([]byte, 0, min(limit-total, max(total, 4<<10)))
			}
			continue
		}
		if err == io.EOF {
			err = nil
		}
		if chunks == nil {
			return chunk, err
		}
		return bytes.Join(append(chunks, chunk), nil), err
	}
}

// gzipReaders spares each body the 40 KiB of state that a decompressor has.
var gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}
