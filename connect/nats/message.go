package nats

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/fnv"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect"
)

// Bounds of what stands beside the data. The server has one of 64 KB for all of it, and
// keeps message IDs in memory.
const (
	longestID      = 128
	longestHeaders = 16 << 10
)

// message makes the message of an event. Its data is the lossless JSON form; what is in the
// headers is for others to look at, and for the server: no consumer of this package needs it.
func (s *Sink) message(e *beacon.Event) (*nats.Msg, error) {
	data, err := e.AppendJSON(make([]byte, 0, 1<<10)) // most fit
	if err != nil {
		return nil, err
	}
	attributes := connect.Headers(e)
	values := make([]string, 0, len(attributes)+2) // of all headers: spares each a slice of its own
	h := make(nats.Header, len(attributes)+2)
	set := func(name, value string) {
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	set(jetstream.ExpectedStreamHeader, s.o.Stream)
	if id := messageID(e); id != "" {
		set(jetstream.MsgIDHeader, id)
	}
	size := 0
	for _, a := range attributes {
		size += len(a.Name) + len(a.Value)
	}
	if size <= longestHeaders {
		for _, a := range attributes {
			set(headerName(a.Name), a.Encoded())
		}
	}
	return &nats.Msg{Subject: s.subjects[shard(e, len(s.subjects))], Header: h, Data: data}, nil
}

// headerName is what the NATS protocol binding of CloudEvents calls an attribute.
func headerName(attribute string) string {
	switch attribute { // the usual ones without a new string
	case "datacontenttype":
		return "content-type"
	case "specversion":
		return "ce-specversion"
	case "id":
		return "ce-id"
	case "source":
		return "ce-source"
	case "type":
		return "ce-type"
	case "time":
		return "ce-time"
	case "subject":
		return "ce-subject"
	}
	return "ce-" + attribute
}

// shard chooses the subject of an event: the same one for all of a session.
func shard(e *beacon.Event, shards int) int {
	key := connect.Key(e)
	if key == "" {
		key = e.ID
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	return int(h.Sum32() % uint32(shards))
}

// messageID is what the servers know a repeated message by. A spool that tries again sends
// the same event, with the same Received. A browser that repeats a request makes a twin that
// has another: it is kept, because the clock of its page view is told by whichever came
// soonest after it was sent, and the log must not choose by who was first.
//
// IDs are text of the client. One that a header would change, so that it might be taken
// for another, stands as its hash.
func messageID(e *beacon.Event) string {
	if e.ID == "" {
		return ""
	}
	id := e.ID
	if len(id) > longestID || !plain(id) {
		sum := sha256.Sum256([]byte(id))
		id = "sha256:" + hex.EncodeToString(sum[:])
	}
	if e.Received.IsZero() {
		return id
	}
	b := make([]byte, 0, len(id)+14)
	b = append(append(b, id...), '@')
	return string(strconv.AppendInt(b, e.Received.UnixNano(), 36))
}

// plain says whether s is visible ASCII only.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
