package intake

import (
	"net/http"
	"slices"
)

// Headers are those of a request that mean something to a beacon, each by its first value.
type Headers struct {
	ContentType, ContentEncoding    string
	Origin                          string
	HasOrigin                       bool // it may be empty
	FetchSite, FetchMode, FetchDest string
	UserAgent, Referer              string
	Purpose                         string // Sec-Purpose, or else Purpose, or X-Moz
	IdempotencyKey                  string
	PingTo, PingFrom                string
	HasPingTo                       bool
	GPC, DNT                        bool

	weight int // of all headers, in bytes that net/http keeps of them
}

// commonHeaders is how many bytes of headers a connection has room for in any case.
const commonHeaders = 4 << 10

// A header costs more than its text: a place in a map for its name, and one in a list for
// each of its values. Without them a megabyte of short ones would pass for nothing.
const (
	nameCost  = 64
	valueCost = 24
)

// ReadHeaders reads the headers of r. All have to be weighed, and on the way along them
// those that matter are found for less than it takes to look them up.
func ReadHeaders(r *http.Request) (h Headers) {
	h.weight = len(r.RequestURI)
	purpose := 0 // how much the name of the one that was found says
	for name, values := range r.Header {
		h.weight += nameCost + len(name)
		for _, v := range values {
			h.weight += valueCost + len(v)
		}
		if len(values) == 0 {
			continue
		}
		v := values[0]
		switch name { // canonical, as net/http has it
		case "Content-Type":
			h.ContentType = v
		case "Content-Encoding":
			h.ContentEncoding = v
		case "Origin":
			h.Origin, h.HasOrigin = v, true
		case "Sec-Fetch-Site":
			h.FetchSite = v
		case "Sec-Fetch-Mode":
			h.FetchMode = v
		case "Sec-Fetch-Dest":
			h.FetchDest = v
		case "User-Agent":
			h.UserAgent = v
		case "Referer":
			h.Referer = v
		case "Idempotency-Key":
			h.IdempotencyKey = v
		case "Ping-To":
			h.PingTo, h.HasPingTo = v, true
		case "Ping-From":
			h.PingFrom = v
		case "Sec-Gpc":
			h.GPC = slices.Contains(values, "1") // GPC §3: one with exactly this value counts, among whatever others
		case "Dnt":
			h.DNT = slices.Contains(values, "1")
		case "Sec-Purpose":
			h.Purpose, purpose = v, 3
		case "Purpose":
			if purpose < 2 {
				h.Purpose, purpose = v, 2
			}
		case "X-Moz":
			if purpose < 1 {
				h.Purpose, purpose = v, 1
			}
		}
	}
	return h
}

// Uncommon is how many bytes more net/http keeps of the request until it is answered than
// a connection has room for; not more if it is negative.
func (h *Headers) Uncommon() int64 { return int64(h.weight - commonHeaders) }
