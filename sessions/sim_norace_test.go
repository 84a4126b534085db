//go:build !race

package sessions_test

// simVisits is how many visits are simulated; what the race detector finds it finds in few.
const simVisits = 20_000
