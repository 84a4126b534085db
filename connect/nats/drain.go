package nats

import (
	"context"
	"time"
)

// drain ends the Relay, and gives back what it did not bring through.
func (r *run) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.c.o.DrainTimeout)
	defer cancel()
	r.giveBack(r.waiting())
	holding, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(max(r.c.o.AckWait/4, time.Millisecond))
		defer t.Stop()
		for {
			select {
			case <-t.C:
				r.hold()
			case <-holding:
				return
			}
		}
	}()
	err := r.relay.Close(ctx)
	close(holding)
	<-done
	if err != nil {
		r.c.log.Warn("nats: consumer: given back", "durable", r.c.o.Durable, "error", err)
	}
	r.giveBack(r.left())
	if r.c.o.Conn.IsConnected() {
		flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = r.c.o.Conn.FlushWithContext(flush) // what does not get there is known after AckWait
	}
}

// waiting returns what the Relay does not have.
func (r *run) waiting() (of []*message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.queue {
		of = append(of, a.of)
	}
	for _, l := range r.letters {
		of = append(of, l.of)
	}
	r.queue, r.letters = nil, nil
	return of
}

// left returns what is held. From then on nothing is: what the client library is late to
// hand over goes back at once.
func (r *run) left() (of []*message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	for _, m := range r.held {
		of = append(of, m)
	}
	return of
}

func (r *run) giveBack(of []*message) {
	r.reply(nak, of)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.letGo(of)
}
