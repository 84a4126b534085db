package main

import (
	"encoding/binary"
	"hash/crc32"
)

// gzipOf returns b as gzip -9n makes it, without a name or a time: what the names are
// searched for. The libraries' matches are other ones, and 50 bytes more.
func gzipOf(b []byte) ([]byte, error) {
	d := deflater{keep: true}
	d.size(b)
	w := &bitWriter{out: []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3}} // deflate, slowest, Unix
	ll, dl := codeLengths(d.literal[:], 15), codeLengths(d.dist[:], 15)
	h := newHeader(ll, dl)
	w.write(1|2<<1, 3) // the last block, with codes of its own
	w.write(uint(h.literal-257), 5)
	w.write(uint(h.dist-1), 5)
	w.write(uint(h.told-4), 4)
	for _, s := range lengthOrder[:h.told] {
		w.write(uint(h.lengths[s]), 3)
	}
	c := codes(h.lengths)
	for _, s := range h.symbols {
		w.write(c[s[0]], h.lengths[s[0]])
		w.write(uint(s[1]), repeatBits[s[0]])
	}
	lc, dc := codes(ll), codes(dl)
	for _, t := range d.tokens {
		if t.dist == 0 {
			w.write(lc[t.value], ll[t.value])
			continue
		}
		code := lengthCode[t.value]
		w.write(lc[code], ll[code])
		w.write(uint(t.value-lengthBase[code]), lengthBits[code])
		code = distCode(t.dist)
		w.write(dc[code], dl[code])
		w.write(uint(t.dist-1)&(1<<distBits[code]-1), distBits[code])
	}
	w.write(lc[256], ll[256])
	w.write(0, 7) // to the end of the byte
	out := binary.LittleEndian.AppendUint32(w.out, crc32.ChecksumIEEE(b))
	return binary.LittleEndian.AppendUint32(out, uint32(len(b))), nil
}

// bitWriter writes bits from the lowest on.
type bitWriter struct {
	out     []byte
	waiting uint
	n       int
}

func (w *bitWriter) write(v uint, n int) {
	w.waiting |= v << w.n
	for w.n += n; w.n >= 8; w.n -= 8 {
		w.out = append(w.out, byte(w.waiting))
		w.waiting >>= 8
	}
}
