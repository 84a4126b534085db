package nats_test

import (
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/pagebeacon/beacon/connect/nats/internal/natstest"
)

// TestComment connects as the package's documentation says.
func TestComment(t *testing.T) {
	url, stop := natstest.Example()
	defer stop()
	conn, err := natsgo.Connect(url, natsgo.MaxReconnects(-1), natsgo.RetryOnFailedConnect(true),
		natsgo.Name("receiver"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.FlushTimeout(time.Minute); err != nil || conn.Opts.Name != "receiver" || conn.Opts.MaxReconnect >= 0 {
		t.Errorf("%v, %+v", err, conn.Opts)
	}
}
