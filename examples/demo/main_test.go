package main

import (
	"context"
	"io"
	"log"
	"net"
	"testing"
	"time"
)

func TestServe(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, ln, log.New(io.Discard, "", 0)) }()

	next := listen(t, "http://"+ln.Addr().String(), "")
	want(t, next(), "hello", "")
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("serve: %v", err)
		}
	case <-time.After(4 * time.Second):
		t.Error("an open event stream keeps the server from ending")
	}
}
