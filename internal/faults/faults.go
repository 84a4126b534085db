// Package faults holds the tests that break things while beacons are being
// stored: kill -9, power cuts, failing system calls, full disks, outages of
// what is behind, clients that hang up, and shutdowns under load. And it
// measures what durability costs.
//
// The tests load a program of their own, the test binary run again, which serves
// a beacon.Handler in front of a spool.Spool. An event counts as acknowledged
// once this side has read the 204, or the report of a writer inside the program.
// After the fault nothing acknowledged may be missing.
//
// They need root on Linux, and strace, e2fsprogs, xfsprogs and util-linux. By default
// each is short; with BEACON_FAULTS=full in the environment they run at length.
// BEACON_SPEED=1 adds the measurements, which want a build without -race.
package faults
