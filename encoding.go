package beacon

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
)

// inflate undoes the content coding of body. coding is the Content-Encoding
// header; sniff says that the type leaves room for a compressed body that does
// not declare itself, as apps send it in an untyped Blob to save the preflight
// that the header would cost. done is the coding that was undone, or, if it is
// not one of ours, the one that was left.
//
// A body that declares a coding it does not have was decoded on its way by a
// proxy that left the header: it is taken as it is. One that merely looks
// compressed and is not, too.
func inflate(body []byte, coding string, sniff bool, lim *Limits) (plain []byte, done string, err error) {
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
			if plain, err = expand(body, "zlib", lim); err == nil || isTooLarge(err) {
				return plain, "deflate", err
			}
		}
		plain, err = expand(body, "deflate", lim)
		if err != nil && !isTooLarge(err) && looksLikeText(body) {
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
	if err != nil && !isTooLarge(err) {
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

func isTooLarge(err error) bool {
	e, ok := errors.AsType[*RequestError](err)
	return ok && e.Status == http.StatusRequestEntityTooLarge
}

// ratioFloor is the decompressed size up to which [Limits.MaxRatio] does not
// count: a few kilobytes of zeros are no bomb.
const ratioFloor = 64 << 10

// inflatedCap is the most that n compressed bytes may become.
func inflatedCap(n int, lim *Limits) int64 {
	if int64(lim.MaxRatio) > lim.MaxDecoded/int64(max(n, 1)) {
		return lim.MaxDecoded // and the product might overflow
	}
	return min(lim.MaxDecoded, max(ratioFloor, int64(n)*int64(lim.MaxRatio)))
}

// expand decompresses body up to its cap. It never reads further than that, so
// a bomb costs what its cap allows.
func expand(body []byte, format string, lim *Limits) ([]byte, error) {
	limit := min(inflatedCap(len(body), lim), math.MaxInt64-1) // one more is read
	src := bytes.NewReader(body)
	var r io.Reader
	switch format {
	case "gzip":
		z := gzipReaders.Get().(*gzip.Reader)
		defer gzipReaders.Put(z)
		if err := z.Reset(src); err != nil {
			return nil, malformed(ReasonEncoding, err)
		}
		r = z
	case "zlib":
		z, err := zlib.NewReader(src)
		if err != nil {
			return nil, malformed(ReasonEncoding, err)
		}
		r = z
	default:
		r = flate.NewReader(src)
	}
	out := bytes.NewBuffer(make([]byte, 0, min(limit+1, int64(4*len(body)))))
	n, err := io.Copy(out, io.LimitReader(r, limit+1))
	switch {
	case n > limit:
		return nil, tooLarge(ReasonTooInflated, "%d bytes inflate to more than %d", len(body), limit)
	case err != nil:
		return nil, malformed(ReasonEncoding, err)
	case src.Len() > 0:
		return nil, malformed(ReasonEncoding, errors.New("data after the compressed stream"))
	}
	return out.Bytes(), nil
}

// gzipReaders spares each body the 40 KiB of state that a decompressor has.
var gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}
