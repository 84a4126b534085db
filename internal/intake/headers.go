package intake

import "net/http"

// commonHeaders is how many bytes of headers a connection has room for in any case.
const commonHeaders = 4 << 10

// A header costs more than its text: a place in a map for its name, and one in a list for
// each of its values. Without them a megabyte of short ones would pass for nothing.
const (
	nameCost  = 64
	valueCost = 24
)

// uncommonHeaders is how many bytes more net/http keeps of a request until it is answered;
// not more if it is negative.
func uncommonHeaders(r *http.Request) int64 {
	n := len(r.RequestURI) - commonHeaders
	for name, values := range r.Header {
		n += nameCost + len(name)
		for _, v := range values {
			n += valueCost + len(v)
		}
	}
	return int64(n)
}
