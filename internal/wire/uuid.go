package wire

import (
	"math/rand/v2"
	"time"
)

// NewUUID returns a random UUIDv7 (RFC 9562 §5.7): unique without coordination,
// ordered by time so that databases index it well, and not a secret.
func NewUUID(now time.Time) string {
	var u [16]byte
	ms := now.UnixMilli()
	hi, lo := rand.Uint64(), rand.Uint64()
	for i := range 6 {
		u[i] = byte(ms >> (40 - 8*i))
	}
	for i := range 8 {
		u[8+i] = byte(lo >> (8 * i))
	}
	u[6], u[7] = byte(hi)&0x0F|0x70, byte(hi>>8)
	u[8] = u[8]&0x3F | 0x80

	const hex = "0123456789abcdef"
	var s [36]byte
	n := 0
	for i, b := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			s[n] = '-'
			n++
		}
		s[n], s[n+1] = hex[b>>4], hex[b&15]
		n += 2
	}
	return string(s[:])
}
