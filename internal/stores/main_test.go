package stores_test

import (
	"os"
	"testing"

	"github.com/pagebeacon/beacon/internal/stores"
)

func TestMain(m *testing.M) {
	if spec := os.Getenv(jobEnv); spec != "" {
		runReceiver(spec) // this is a process that a test has started, to kill it
	}
	os.Exit(stores.Run(m))
}
