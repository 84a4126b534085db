package live

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pagebeacon/beacon"
)

const (
	refusalsKept = 50
	reasonsKept  = 64
	otherReasons = "other"
)

// A refusal is a request that was not taken. Time is milliseconds since the epoch.
type refusal struct {
	N      uint64 `json:"n"`
	Time   int64  `json:"time"`
	Status int    `json:"status"`
	Reason string `json:"reason"`
	Why    string `json:"why,omitempty"`
	About  []pair `json:"about,omitempty"`
	Body   *file  `json:"body,omitempty"`
}

// newRefusal keeps nothing of what it is given but copies.
func newRefusal(r *http.Request, data []byte, why *beacon.RequestError, at time.Time) refusal {
	p := purse(4 << 10)
	x := refusal{Time: at.UnixMilli()}
	if why != nil {
		x.Status, x.Reason = why.Status, p.text(why.Reason, 60)
		if why.Err != nil {
			x.Why = p.text(strings.TrimPrefix(why.Err.Error(), "beacon: "), 2*nameBytes)
		}
	}
	if r != nil {
		add := func(name, value string) {
			if value != "" {
				x.About = append(x.About, pair{Name: name, Value: p.text(value, nameBytes)})
			}
		}
		path := ""
		if r.URL != nil {
			path = r.URL.Path
		}
		add("Request", strings.TrimSpace(r.Method+" "+path))
		add("Content type", r.Header.Get("Content-Type"))
		add("Origin", r.Header.Get("Origin"))
		add("Referer", r.Header.Get("Referer"))
		add("User agent", r.Header.Get("User-Agent"))
	}
	if len(data) > 0 {
		x.Body = p.file(beacon.File{Data: data})
	}
	return x
}

// refusals are the last ones, and how many there were of each reason.
type refusals struct {
	kept    []refusal // oldest first
	total   uint64
	reasons map[string]uint64
}

func (r *refusals) add(x refusal) {
	r.total++
	x.N = r.total
	if len(r.kept) == refusalsKept {
		r.kept = slices.Delete(r.kept, 0, 1)
	}
	r.kept = append(r.kept, x)
	reason := x.Reason
	if r.reasons == nil {
		r.reasons = map[string]uint64{}
	}
	if _, known := r.reasons[reason]; !known && len(r.reasons) >= reasonsKept {
		reason = otherReasons
	}
	r.reasons[reason]++
}

// since returns those after the first n, and the counts, as JSON; nil if there are none.
func (r *refusals) since(n uint64) []byte {
	if n == r.total {
		return nil
	}
	fresh := r.kept[len(r.kept)-int(min(r.total-n, uint64(len(r.kept)))):]
	data, _ := json.Marshal(struct {
		Total   uint64            `json:"total"`
		Reasons map[string]uint64 `json:"reasons"`
		Items   []refusal         `json:"items"`
	}{r.total, r.reasons, fresh}) // texts and numbers
	return data
}
