// Package connect is what the connectors to a log share, and what a host needs to write
// another one. Packages connect/kafka and connect/nats are connectors.
//
// One process needs no log. A site with several receivers puts one between them and its
// store: receivers, each with its spool, write to the log; consumers read from it and
// bring the events to any [beacon.Sink].
//
//	Handler → spool → Sink of the connector → log → consumer of the connector → Sink → store
//
// An event comes at least once, and in effect exactly once, because the stores join: the
// same event again changes nothing, in any order, from any number of writers. So there is
// no transaction across systems here, and nobody owns a part of the log.
//
// # The sending half
//
// A connector's Sink writes a message for each event: its value is the lossless JSON of
// [beacon.Event.AppendJSON], beside it stand the [Headers], and [Key] says which events
// have to stay in order. It returns nil when the log has them, on as many machines as it
// should, and not before.
//
// # The receiving half
//
// A consumer reads messages, makes events of them with [encoding/json.Unmarshal], and gives them to
// a [Relay], which brings them past a Sink that may be slow, away, or unable to take one
// of them. What the Relay says is done, and nothing else, may be committed or
// acknowledged. The example has a whole one.
package connect

import (
	"errors"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/delivery"
)

// ErrClosed is what [Relay.Add] and [Relay.Healthy] return after [Relay.Close].
var ErrClosed = errors.New("connect: closed")

// Key returns what keeps the events of a visit in order: its Session, else its View. A
// log that has partitions or subjects chooses among them by it. An event that has
// neither may go anywhere.
func Key(e *beacon.Event) string { return delivery.Session(e) }
