// Package kafka puts a log between receivers and stores: a [Sink] that writes events to a
// topic of Kafka, and a [Consumer] that brings them to any [beacon.Sink].
//
//	Handler → spool → Sink → topic → Consumer → store
//
// On a receiver, which keeps what comes on its own disk while the brokers are away:
//
//	events, err := kafka.NewSink(ctx, kafka.SinkOptions{Topic: "beacons", Client: []kgo.Opt{kgo.SeedBrokers(brokers...)}})
//	kept, err := spool.Open("beacons", events, spool.Options{})
//	h, err := beacon.New(beacon.Config{Sink: kept})
//
// and on as many machines as the store needs:
//
//	c, err := kafka.NewConsumer(ctx, kafka.ConsumerOptions{Topic: "beacons", Group: "store", Client: []kgo.Opt{kgo.SeedBrokers(brokers...)}})
//	err = c.Consume(ctx, store)
//
// The client is franz-go: all Go, with an idempotent producer and the cooperative protocol.
// What speaks Kafka's protocol to it, such as Redpanda, will do as well.
//
// # Guarantees
//
//   - The Sink's nil means that all replicas in sync have the events. The producer is idempotent
//     and its acks are all; options that say otherwise are refused.
//   - The Consumer commits an offset only when the Sink behind it has taken that event and all
//     before it, or when they are in the dead-letter topic. Whatever dies at whatever moment:
//     what was acknowledged comes to the Sink at least once.
//   - Twice happens: a call that is tried again, a consumer that dies, partitions that move. It is
//     the same event with the same ID, which the stores of this project join.
//   - Events of one session have one key, and so one partition, and come in the order in which
//     they were written, but for repetitions; see [connect.Relay] for those that fail.
//     Receivers that share a session do not agree on an order among them. When partitions are
//     added, sessions under way go on in another one.
//   - What the Sink refuses for good, and records that are no events, do not hold up others.
//     They go to a topic of their own, with key, value and headers as they were, and why.
//     They are events like others there: to bring them back, let a Consumer with that Topic and a
//     Group of its own bring them to the Sink that now takes them. Events of a later version of
//     this project count as none, and come back so after an upgrade.
//
// # What stands in the log
//
// The value of a record is the lossless JSON of the event ([beacon.Event.MarshalJSON]), the key
// its session, or its view, or nothing. Unless [SinkOptions].NoHeaders is set its headers make
// it a CloudEvent in binary mode, by the Kafka protocol binding: ce_id, ce_source, ce_type,
// ce_time, ce_subject, ce_specversion, content-type. The timestamp is when it was produced, as
// retention goes by that: what a spool had for days would be deleted at once by its own time.
//
// # What a cluster loses
//
// Brokers acknowledge what is in the memory of the replicas in sync, and let the system write
// it to disk. With three replicas and min.insync.replicas of 2, as [CreateTopic] has it, that
// survives any one machine. What loses acknowledged events, and is looked for by [CheckTopic]:
//
//   - a replication factor of 1, which is the default of brokers (default.replication.factor):
//     all of a partition goes with its disk, and the last seconds with the power
//   - min.insync.replicas of 1, the default: when two of three lag behind, acks=all is one
//   - unclean.leader.election.enable
//   - retention (retention.ms, and retention.bytes, which is by partition) shorter than the
//     longest outage of what is behind the consumers, and repairs take weekends; the lag in
//     [Consumer.Stats] tells how far behind they are
//   - compaction, which keeps one event of each session: refused
//   - a power cut of all replicas at once, as in one rack. Only log.flush.interval.messages=1
//     helps there, at a price that nobody pays: spread the replicas
//
// offsets.retention.minutes, 7 days by default, is for how long a group without members keeps
// its place; after that it begins anew, with the oldest event that is kept.
//
// # Errors
//
// Only what is wrong with an event itself is permanent: it is larger than the topic takes, or
// has no JSON form. Everything else, a missing topic, missing rights, brokers that are away, is
// temporary: all events fail then, and would all become dead letters.
//
// A record that is in flight when its 30 seconds are over may be in the log or not. Its call
// fails, and who repeats it may write it twice.
//
// # Limits
//
// A session of one key is as fast as one partition. A consumer keeps up to
// [ConsumerOptions].MaxBytes of events, about as much for their records, and what the client
// has fetched, 16 MiB a broker; what it cannot read may be as much. There is one commit a
// second: what a consumer that dies had delivered since comes again. While a dead letter is not
// kept nothing behind it is committed in its partition, though it is delivered: all of that
// comes again after a restart, and until then takes a few bytes of memory a record.
package kafka
