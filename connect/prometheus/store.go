package beaconprom

import (
	"time"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/store"
)

// storeFamilies are the metrics of a Store.
var storeFamilies = []family[store.Stats]{
	counter("beacon_store_calls_total", "Calls of Consume.", func(s *store.Stats) uint64 { return s.Calls }),
	counter("beacon_store_errors_total", "Calls of Consume that did not take all.", func(s *store.Stats) uint64 { return s.Errors }),
	counter("beacon_store_stored_events_total", "Events that are in the database.", func(s *store.Stats) uint64 { return s.Stored }),
	counter("beacon_store_refused_events_total", "Events that the database refused for what they are.", func(s *store.Stats) uint64 { return s.Refused }),
	counter("beacon_store_failed_events_total", "Events that the database did not take for now, each time that they were brought.", func(s *store.Stats) uint64 { return s.Failed }),
	counter("beacon_store_retries_total", "Transactions that others came in the way of, and that were tried again at once.", func(s *store.Stats) uint64 { return s.Retries }),
	counter("beacon_store_splits_total", "Transactions that were refused for what is in them, and tried again in two parts.", func(s *store.Stats) uint64 { return s.Splits }),
	timestamp("beacon_store_last_stored_timestamp_seconds", "When the database last took something.", func(s *store.Stats) time.Time { return s.LastStored }),
	histogram("beacon_store_call_duration_seconds", "What calls of Consume took, whatever they returned.", func(s *store.Stats) beacon.Histogram { return s.Seconds }),
}
