package beaconprom

import (
	"github.com/pagebeacon/beacon/limit"
	"github.com/pagebeacon/beacon/sessions"
	"github.com/pagebeacon/beacon/sink"
)

// queueFamilies are the metrics of a VolatileQueue.
var queueFamilies = []family[sink.QueueStats]{
	counter("beacon_queue_taken_events_total", "Events that the queue took into memory.", func(s *sink.QueueStats) uint64 { return s.Taken }),
	counter("beacon_queue_refused_events_total", "Events that the queue did not take: it is full or closed.", func(s *sink.QueueStats) uint64 { return s.Refused }),
	counter("beacon_queue_delivered_events_total", "Events that the sink behind the queue took.", func(s *sink.QueueStats) uint64 { return s.Delivered }),
	counters("beacon_queue_lost_events_total", "Events that are lost: the sink behind refused them for good or they were given up (permanent), or Close had no time for them (closing).", "cause",
		func(s *sink.QueueStats) map[string]uint64 {
			return map[string]uint64{"permanent": s.LostPermanent, "closing": s.LostClosing}
		}),
	gauge("beacon_queue_pending_events", "Events in memory.", func(s *sink.QueueStats) int { return s.Pending }),
	gauge("beacon_queue_pending_bytes", "Memory of these, as QueueOptions.MaxBytes counts.", func(s *sink.QueueStats) int64 { return s.PendingBytes }),
}

// limiterFamilies are the metrics of a Limiter.
var limiterFamilies = []family[limit.Stats]{
	counter("beacon_limit_admitted_requests_total", "Requests that passed the limiter and were charged to a network.", func(s *limit.Stats) uint64 { return s.Admitted }),
	counters("beacon_limit_limited_requests_total", "Requests of networks that sent too much, by what there was too much of (events or bytes): refused, or passed in a dry run.", "by",
		func(s *limit.Stats) map[string]uint64 {
			return map[string]uint64{"events": s.LimitedEvents, "bytes": s.LimitedBytes}
		}),
	counter("beacon_limit_unkeyed_requests_total", "Requests that passed because their peer is nobody's network.", func(s *limit.Stats) uint64 { return s.Unkeyed }),
	gauge("beacon_limit_networks", "Networks that the limiter remembers.", func(s *limit.Stats) int { return s.Networks }),
	counter("beacon_limit_evicted_networks_total", "Networks that were forgotten before their buckets were full again.", func(s *limit.Stats) uint64 { return s.Evicted }),
}

// trackerFamilies are the metrics of a Tracker.
var trackerFamilies = []family[sessions.TrackerStats]{
	gauge("beacon_tracker_keys", "Keys of sessions that the tracker holds.", func(s *sessions.TrackerStats) int { return s.Keys }),
	gauge("beacon_tracker_page_views", "Page views and activity that the tracker holds.", func(s *sessions.TrackerStats) int { return s.PageViews }),
	gauge("beacon_tracker_bytes", "Memory of all that the tracker holds.", func(s *sessions.TrackerStats) int64 { return s.Bytes }),
	gauge("beacon_tracker_waiting_keys", "Keys of which there is something to be told.", func(s *sessions.TrackerStats) int { return s.Waiting }),
	counter("beacon_tracker_evicted_keys_total", "Keys that were forgotten because memory was full.", func(s *sessions.TrackerStats) uint64 { return s.Evicted }),
	counter("beacon_tracker_panics_total", "Panics of OnRevision, each of which cost one revision.", func(s *sessions.TrackerStats) uint64 { return s.Panics }),
}

// dailyFamilies are the metrics of a Daily.
var dailyFamilies = []family[sessions.DailyStats]{
	counters("beacon_daily_unkeyed_events_total", "Events that got no key: they had no address (no_address), or are of a day whose secret is forgotten (too_late).", "cause",
		func(s *sessions.DailyStats) map[string]uint64 {
			return map[string]uint64{"no_address": s.NoAddress, "too_late": s.TooLate}
		}),
	gauge("beacon_daily_remembered_visitors", "Visitors who keep their key over a midnight.", func(s *sessions.DailyStats) int { return s.Remembered }),
	counter("beacon_daily_forgotten_events_total", "Events of visitors for whom there was no room to be remembered.", func(s *sessions.DailyStats) uint64 { return s.Forgotten }),
}
