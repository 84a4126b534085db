// Package nats connects receivers and consumers by NATS JetStream: a Sink that writes
// events to a stream, and a Consumer that brings them from there to any other Sink.
//
//	receiver: Handler → spool → nats.Sink ─┐
//	receiver: Handler → spool → nats.Sink ─┼─ stream ─┬─ nats.Consumer → store
//	receiver: Handler → spool → nats.Sink ─┘          └─ nats.Consumer → store
//
// # What is promised
//
// [Sink.Consume] returns nil when the stream has acknowledged every event, and a
// [Consumer] acknowledges a message when the Sink behind it has taken its event. So an
// event comes at least once, whichever process dies. The stores of package store join:
// there it is exactly once in effect.
//
// When the leader of a stream dies, nothing is acknowledged for some seconds, until there
// is another one (5 to 7 in a cluster of three servers). Consume fails for now then, so a
// receiver needs a spool in front of the Sink, as package spool has it.
//
// # What the servers have to promise
//
// A server keeps what it acknowledged over the end of its process, but by default it tells
// the disk to keep it only every two minutes (sync_interval). If it loses power, it
// loses up to two minutes of what it had acknowledged, and may lose the stream itself.
// Three replicas in places that do not lose power together make up for that. If they may,
// or to be sure, put this into server.conf of each; it costs most of the throughput of a
// single server, less of three:
//
//	jetstream {
//		store_dir: /var/lib/nats
//		sync_interval: always
//	}
//
// A client cannot see this setting, so nothing here can check it. What can be seen is
// checked: see [NewSink]. [EnsureStream] makes a stream that is as it should be.
//
// Other mistakes that lose events: a MaxAge that is shorter than an outage of the consumers
// (messages go, read or not), one replica (one disk), discard old (a full stream drops the
// oldest, read or not), a limit per subject, and retention by interest.
//
// # The connection
//
// It is the host's, with its TLS and credentials. It should never give up:
//
//	conn, err := natsgo.Connect(url, natsgo.MaxReconnects(-1), natsgo.RetryOnFailedConnect(true),
//		natsgo.Name("receiver"))
//
// By default the client ends a connection after 60 attempts, two minutes, and nothing
// brings it back. RetryOnFailedConnect lets a receiver start while the servers are away. A
// Sink and a Consumer may share a connection, but acknowledgements of the one wait behind
// messages of the other then.
//
// # Subjects and order
//
// Subjects are a prefix and a number, beacon.0 to beacon.15, chosen by a hash of
// [connect.Key]: the session. It is not the session itself because the servers keep state
// for each subject of a stream, in memory, for as long as it has messages.
//
// A Sink writes events of one call in order. When one of a session fails and comes again,
// it is behind those that did not fail. One Consumer gives the events of a session in the
// order in which it received them. Several processes that share a durable consumer each
// get some of them. Nothing in this module needs order: page views are joined by minima,
// maxima and the largest Seq. A host that does need it sets [ConsumerOptions].Shards, and
// then has to see to it itself that every shard is read, by one process.
//
// # Duplicates
//
// The message ID (Nats-Msg-Id) is the event's ID with its time of receipt, so that what a
// spool sends twice is in the stream once, if it comes within the duplicate window. A
// browser's twin of a request has another time of receipt, and is there beside it. That
// spares work, and nothing depends on it.
package nats
