package beaconprom

import (
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect"
)

// logFamilies are the metrics of a connector's Sink, which writes to a log.
var logFamilies = []family[connect.SinkStats]{
	counter("beacon_log_events_total", "Events that the log has.", func(s *connect.SinkStats) uint64 { return s.Events }),
	counter("beacon_log_refused_events_total", "Events that the log did not take for now.", func(s *connect.SinkStats) uint64 { return s.Refused }),
	counter("beacon_log_dead_events_total", "Events that the log will never take.", func(s *connect.SinkStats) uint64 { return s.Dead }),
	gauge("beacon_log_inflight_events", "Events on their way to the log.", func(s *connect.SinkStats) int64 { return s.InFlight }),
}

// consumerFamilies are the metrics of a connector's Consumer, which reads from a log.
var consumerFamilies = []family[connect.ConsumerStats]{
	counter("beacon_consumer_received_messages_total", "Messages that came from the log.", func(s *connect.ConsumerStats) uint64 { return s.Received }),
	counter("beacon_consumer_redelivered_messages_total", "Messages that came, and had come before, as the log says.", func(s *connect.ConsumerStats) uint64 { return s.Redelivered }),
	counter("beacon_consumer_undecodable_messages_total", "Messages that are no event, and are where dead letters are.", func(s *connect.ConsumerStats) uint64 { return s.Undecodable }),
	known("beacon_consumer_lag_messages", "Messages in the log that are not settled; not there while that is not known.", func(s *connect.ConsumerStats) (int64, bool) { return s.Lag, s.Lag >= 0 }),

	counter("beacon_consumer_added_events_total", "Events that were read from messages.", func(s *connect.ConsumerStats) uint64 { return s.Added }),
	counter("beacon_consumer_delivered_events_total", "Events that the sink took.", func(s *connect.ConsumerStats) uint64 { return s.Delivered }),
	counter("beacon_consumer_dead_events_total", "Events that became dead letters, as the sink does not take them.", func(s *connect.ConsumerStats) uint64 { return s.Dead }),
	counter("beacon_consumer_forgotten_events_total", "Events that were let go of, as the log gave them to another consumer.", func(s *connect.ConsumerStats) uint64 { return s.Forgotten }),
	gauge("beacon_consumer_held_events", "Events in memory, not settled.", func(s *connect.ConsumerStats) int { return s.Held }),
	gauge("beacon_consumer_held_limit_events", "RelayOptions.MaxEvents: how many may be in memory.", func(s *connect.ConsumerStats) int { return s.MaxHeld }),
	gauge("beacon_consumer_held_bytes", "Memory of the events that are held.", func(s *connect.ConsumerStats) int64 { return s.HeldBytes }),
	gauge("beacon_consumer_held_limit_bytes", "RelayOptions.MaxBytes: how much memory they may take.", func(s *connect.ConsumerStats) int64 { return s.MaxBytes }),

	gauge("beacon_consumer_oldest_event_age_seconds", "How long ago the first of the events that are held was received; 0 if there is none.", func(s *connect.ConsumerStats) float64 { return seconds(s.Oldest) }),
	timestamp("beacon_consumer_last_delivery_timestamp_seconds", "When the sink last took something.", func(s *connect.ConsumerStats) time.Time { return s.LastDelivery }),
	since("beacon_consumer_stuck_seconds", "For how long the sink has taken nothing although it was called; 0 while it does.", func(s *connect.ConsumerStats) time.Time { return s.StuckSince }),
	gauge("beacon_consumer_sink_hanging", "1 while a call of the sink does not return although its time is over.", func(s *connect.ConsumerStats) int { return truth(s.SinkHangs) }),
	counter("beacon_consumer_sink_errors_total", "Calls of the sink that failed, in part or as a whole.", func(s *connect.ConsumerStats) uint64 { return s.SinkErrors }),
	counter("beacon_consumer_dead_letter_errors_total", "Attempts to write dead letters that failed.", func(s *connect.ConsumerStats) uint64 { return s.DeadErrors }),
	histogram("beacon_consumer_sink_duration_seconds", "What calls of the sink took, whatever they returned.", func(s *connect.ConsumerStats) beacon.Histogram { return s.SinkSeconds }),
}
