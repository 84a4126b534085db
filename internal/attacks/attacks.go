// Package attacks holds the tests that attack a beacon.Handler over the loopback
// interface, at the rates at which the attacks hurt once: events that multiply what
// was sent, the budget held by those who send nothing, floods, and events that a store
// dislikes.
//
// The server, the attacker and the honest visitors are three processes, so that the
// memory and the time of the server are its own. A row passes if the server's resident
// memory stays below
//
//	base + 22 KB × connections + 2 × (MaxInFlight + queues)
//
// with GOMEMLIMIT unset, and honest beacons from another network are served all the
// while: at least 99 in 100 answered 204, the slowest in 100 within 250 ms, or longer on a
// machine that does other things meanwhile. Rows marked as without do the same with a
// protection turned off, and have to fail: otherwise the attack would be none.
//
// By default each row takes seconds; with -full it takes a minute, and all of them the
// better part of an hour (-timeout 2h). What disks do to the delivery, and a next sink
// that misbehaves, is in package faults.
package attacks
