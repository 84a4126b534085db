package beaconprom

import (
	"slices"

	"github.com/pagebeacon/beacon"
)

// refusals are the words by which the library says why it answered 4xx.
var refusals = []string{
	beacon.ReasonMethod, beacon.ReasonOrigin, beacon.ReasonHost, beacon.ReasonToken,
	beacon.ReasonTooBusy, beacon.ReasonTooHeavy, beacon.ReasonLimited,
	beacon.ReasonBodyTooLarge, beacon.ReasonTooInflated, beacon.ReasonQueryTooLarge,
	beacon.ReasonTooManyFields, beacon.ReasonTooManyEvents, beacon.ReasonTooDeep,
	beacon.ReasonBodyTooSlow, beacon.ReasonBodyBroken, beacon.ReasonMultipart, beacon.ReasonEncoding,
	beacon.ReasonSinkRefused,
}

// other is the label of all reasons that are neither the library's nor in Options.Reasons.
const other = "other"

// handlerFamilies are the metrics of a Handler. more are reasons of the host's own.
func handlerFamilies(more []string) []family[beacon.Stats] {
	reasons := slices.Concat(refusals, more)
	return []family[beacon.Stats]{
		counters("beacon_requests_total", "Requests that came to an end, by how: delivered (the sink took the events), dropped (on purpose), preflight, refused (4xx) or failed (5xx).", "outcome",
			func(s *beacon.Stats) map[string]uint64 {
				m := map[string]uint64{"delivered": s.Delivered, "dropped": s.Dropped, "preflight": s.Preflights, "failed": s.Failed, "refused": 0}
				for _, n := range s.Refused {
					m["refused"] += n
				}
				return m
			}),
		counters("beacon_refused_requests_total", "Requests that were answered 4xx, by reason.", "reason",
			func(s *beacon.Stats) map[string]uint64 {
				m := map[string]uint64{other: 0}
				for _, r := range reasons { // all of them: a rate needs a 0 to begin with
					m[r] = 0
				}
				for r, n := range s.Refused {
					if _, ok := m[r]; !ok {
						r = other
					}
					m[r] += n
				}
				return m
			}),
		counter("beacon_events_total", "Events that the sink of the handler took.", func(s *beacon.Stats) uint64 { return s.Events }),
		gauge("beacon_active_requests", "Requests that have come and are not answered.", func(s *beacon.Stats) int64 { return s.Active }),
		gauge("beacon_inflight_bytes", "Memory in use by requests, of beacon_inflight_limit_bytes.", func(s *beacon.Stats) int64 { return s.InFlight }),
		gauge("beacon_inflight_limit_bytes", "Config.MaxInFlight: near it requests wait, and are refused as too-busy.", func(s *beacon.Stats) int64 { return s.MaxInFlight }),
		histogram("beacon_body_size_bytes", "Sizes of the bodies that were read to their end, as they came.", func(s *beacon.Stats) beacon.Histogram { return s.BodyBytes }),
		histogram("beacon_sink_duration_seconds", "What calls of the sink of the handler took, whatever they returned.", func(s *beacon.Stats) beacon.Histogram { return s.SinkSeconds }),
	}
}
