package kafka

import (
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect"
	"github.com/twmb/franz-go/pkg/kgo"
)

// headerName puts an attribute where the Kafka protocol binding of CloudEvents has it
// (§3.2): "ce_" before the name, but datacontenttype is the header content-type.
func headerName(attribute string) string {
	switch attribute { // these cost nothing
	case "specversion":
		return "ce_specversion"
	case "id":
		return "ce_id"
	case "source":
		return "ce_source"
	case "type":
		return "ce_type"
	case "time":
		return "ce_time"
	case "subject":
		return "ce_subject"
	case "datacontenttype":
		return "content-type"
	}
	return "ce_" + attribute
}

// A headerArena cuts the headers of the records of a call out of a few pieces of memory.
type headerArena struct {
	headers []kgo.RecordHeader
	bytes   []byte
}

// of returns the headers of an event; n more records are to come, with this one.
func (a *headerArena) of(e *beacon.Event, n int) []kgo.RecordHeader {
	attributes := connect.Headers(e)
	if len(a.headers)+len(attributes) > cap(a.headers) {
		a.headers = make([]kgo.RecordHeader, 0, len(attributes)*min(n, 100))
	}
	size := 0
	for _, h := range attributes {
		size += len(h.Value)
	}
	if len(a.bytes)+size > cap(a.bytes) {
		a.bytes = make([]byte, 0, size*min(n, 100))
	}
	from := len(a.headers)
	for _, h := range attributes {
		at := len(a.bytes)
		a.bytes = append(a.bytes, h.Value...)
		a.headers = append(a.headers, kgo.RecordHeader{Key: headerName(h.Name), Value: a.bytes[at:len(a.bytes):len(a.bytes)]})
	}
	return a.headers[from:len(a.headers):len(a.headers)]
}
