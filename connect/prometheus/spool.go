package beaconprom

import (
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/spool"
)

// spoolFamilies are the metrics of a Spool. Its percentiles of the last syncs are left out:
// what the histogram says can be added up.
var spoolFamilies = []family[spool.Stats]{
	counter("beacon_spool_stored_events_total", "Events that the spool took.", func(s *spool.Stats) uint64 { return s.Stored }),
	counter("beacon_spool_refused_events_total", "Events that the spool did not take: it is full, its disk fails, or it is closed.", func(s *spool.Stats) uint64 { return s.Refused }),
	counter("beacon_spool_delivered_events_total", "Events that the next sink took.", func(s *spool.Stats) uint64 { return s.Delivered }),
	counter("beacon_spool_dead_events_total", "Events that were put into a dead-letter file, as the next sink does not take them.", func(s *spool.Stats) uint64 { return s.Dead }),
	counter("beacon_spool_dropped_dead_events_total", "Dead letters that went, as there were too many.", func(s *spool.Stats) uint64 { return s.DeadDropped }),
	counter("beacon_spool_left_events_total", "Events for whose dead letter there was no room: left in their files until the next start.", func(s *spool.Stats) uint64 { return s.Left }),
	counter("beacon_spool_later_events_total", "Events of a later version, left for a program that knows it.", func(s *spool.Stats) uint64 { return s.Later }),

	gauge("beacon_spool_bytes", "What events take on disk.", func(s *spool.Stats) int64 { return s.Bytes }),
	gauge("beacon_spool_limit_bytes", "Options.MaxBytes: with that many bytes the spool is full, and refuses.", func(s *spool.Stats) int64 { return s.MaxBytes }),
	gauge("beacon_spool_pending_bytes", "Bytes of events that wait for delivery.", func(s *spool.Stats) int64 { return s.Pending }),
	gauge("beacon_spool_pending_events", "Events that wait for delivery; an estimate where a part of a file was delivered.", func(s *spool.Stats) int64 { return s.PendingEvents }),
	gauge("beacon_spool_dead_letter_bytes", "Size of the dead-letter files.", func(s *spool.Stats) int64 { return s.DeadBytes }),
	gauge("beacon_spool_damaged_file_bytes", "Size of the files that keep what is damaged.", func(s *spool.Stats) int64 { return s.BadBytes }),
	known("beacon_spool_free_bytes", "What the volume has left for this user; not there where the system does not say.", func(s *spool.Stats) (int64, bool) { return s.Free, s.Free >= 0 }),

	gauge("beacon_spool_oldest_event_age_seconds", "How long ago the event that is delivered next was received; 0 if none waits.", func(s *spool.Stats) float64 { return seconds(s.Oldest) }),
	timestamp("beacon_spool_last_delivery_timestamp_seconds", "When the next sink last took something.", func(s *spool.Stats) time.Time { return s.LastDelivery }),
	since("beacon_spool_stuck_seconds", "For how long attempts to deliver have brought nothing; 0 while they do.", func(s *spool.Stats) time.Time { return s.StuckSince }),
	gauge("beacon_spool_sink_hanging", "1 while a call of the next sink does not return although its time is over.", func(s *spool.Stats) int { return truth(s.SinkHangs) }),
	counter("beacon_spool_sink_errors_total", "Calls of the next sink that failed, in part or as a whole, and are made again.", func(s *spool.Stats) uint64 { return s.SinkErrors }),
	histogram("beacon_spool_sink_duration_seconds", "What calls of the next sink took, whatever they returned.", func(s *spool.Stats) beacon.Histogram { return s.SinkSeconds }),

	counter("beacon_spool_disk_errors_total", "Operations of the disk that failed.", func(s *spool.Stats) uint64 { return s.DiskErrors }),
	counter("beacon_spool_damaged_places_total", "Places in files that did not pass their checksum.", func(s *spool.Stats) uint64 { return s.Damaged }),
	counter("beacon_spool_damaged_bytes_total", "Bytes that did not pass their checksum.", func(s *spool.Stats) uint64 { return uint64(s.DamagedBytes) }),
	counter("beacon_spool_torn_ends_total", "Ends of files that a crash left in the middle of a write, of events that nobody was promised.", func(s *spool.Stats) uint64 { return s.Torn }),
	timestamp("beacon_spool_last_sync_timestamp_seconds", "When the disk last did what it was to.", func(s *spool.Stats) time.Time { return s.LastSync }),
	gauge("beacon_spool_syncing_seconds", "For how long the disk has been at a write; 0 while it is at none.", func(s *spool.Stats) float64 { return seconds(s.Syncing) }),
	histogram("beacon_spool_sync_duration_seconds", "What writes with their syncs took.", func(s *spool.Stats) beacon.Histogram { return s.SyncSeconds }),
}
