package stores_test

import (
	"os"
	"testing"

	"github.com/pagebeacon/beacon/internal/stores"
)

func TestMain(m *testing.M) { os.Exit(stores.Run(m)) }
