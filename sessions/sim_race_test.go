//go:build race

package sessions_test

const simVisits = 3_000
