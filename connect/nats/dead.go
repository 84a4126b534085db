package nats

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect"
)

// Headers of a dead letter, beside those that the message had.
const (
	DeadWhy      = "Beacon-Why"      // the error for which it is here
	DeadStream   = "Beacon-Stream"   // the stream that it came from,
	DeadSequence = "Beacon-Sequence" // its place in that,
	DeadSubject  = "Beacon-Subject"  // and its subject there
	DeadCut      = "Beacon-Cut"      // what had to be left out for the size: "headers", or "data" as well
)

// A letter is a message that cannot be delivered.
type letter struct {
	of      *message
	subject string
	header  nats.Header
	data    []byte
	why     error
}

const (
	longestWhy = 1 << 10
	retryBury  = time.Second
)

// deadStream is how the stream of dead letters is made, beside that one.
func deadStream(main jetstream.StreamConfig, name, prefix string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: name, Subjects: []string{prefix + ".*"},
		Storage: jetstream.FileStorage, Replicas: main.Replicas, Placement: main.Placement, Compression: main.Compression,
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxBytes: main.MaxBytes, MaxAge: 30 * 24 * time.Hour,
		Duplicates: 2 * time.Minute,
	}
}

// bury keeps events that the Sink does not take. The log has their messages as they were,
// unless it has forgotten them meanwhile or does not give them to this user; then the
// letter is what the Sink of this package would have written.
func (r *run) bury(ctx context.Context, letters []connect.Letter[*message]) error {
	var failed []int
	var last error
	for i, l := range letters {
		if err := r.c.send(ctx, r.original(ctx, l)); err != nil {
			failed, last = append(failed, i), err
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return &beacon.PartialError{Failed: failed, Err: last}
}

func (r *run) original(ctx context.Context, l connect.Letter[*message]) letter {
	of := letter{of: l.Tag, subject: l.Tag.subject, why: l.Why}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	if m, err := r.stream.GetMsg(ctx, l.Tag.seq); err == nil && m.Time.Equal(l.Tag.at) {
		of.header, of.data = m.Header, m.Data
		return of
	}
	of.data, _ = l.Event.AppendJSON(nil) // it was made of JSON, so it has one
	return of
}

// send writes a dead letter. One that was hardly small enough for the log before leaves
// out what it must: the log has the rest as long as it keeps the message.
func (c *Consumer) send(ctx context.Context, l letter) error {
	own := nats.Header{}
	why := strings.ToValidUTF8(l.why.Error(), "?")
	own.Set(DeadWhy, why[:min(len(why), longestWhy)])
	own.Set(DeadStream, c.o.Stream)
	own.Set(DeadSequence, strconv.FormatUint(l.of.seq, 10))
	own.Set(DeadSubject, l.subject)
	// The message's own ID is another stream's. This one is for a letter that is sent again.
	own.Set(jetstream.MsgIDHeader, c.o.Stream+":"+strconv.FormatUint(l.of.seq, 10))
	own.Set(jetstream.ExpectedStreamHeader, c.o.Dead)
	subject := c.prefix + "." + l.subject[strings.LastIndexByte(l.subject, '.')+1:]

	whole := nats.Header{}
	for name, values := range l.header {
		if !strings.HasPrefix(name, "Nats-") {
			whole[name] = values
		}
	}
	maps.Copy(whole, own)
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	_, err := c.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Header: whole, Data: l.data})
	if err != nil && neverTaken(err) {
		own.Set(DeadCut, "headers")
		_, err = c.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Header: own, Data: l.data})
	}
	if err != nil && neverTaken(err) {
		own.Set(DeadCut, "data")
		_, err = c.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Header: own})
	}
	if err != nil {
		return fmt.Errorf("nats: dead letter: %w", err)
	}
	return nil
}

// buryLetters keeps messages that are no events, until ctx ends.
func (r *run) buryLetters(ctx context.Context) {
	for {
		r.mu.Lock()
		var l letter
		if len(r.letters) > 0 {
			l = r.letters[0]
		}
		r.mu.Unlock()
		if l.of == nil {
			select {
			case <-r.dying:
				continue
			case <-ctx.Done():
				return
			}
		}
		if err := r.c.send(ctx, l); err != nil {
			if ctx.Err() != nil {
				return
			}
			r.c.log.Error("nats: consumer: a message that is no event is not kept", "stream", r.c.o.Stream, "sequence", l.of.seq, "error", err)
			sleep(ctx, retryBury)
			continue
		}
		r.c.log.Warn("nats: consumer: a message is no event", "stream", r.c.o.Stream, "sequence", l.of.seq, "error", l.why)
		r.mu.Lock()
		r.letters = r.letters[1:]
		r.mu.Unlock()
		r.done([]*message{l.of})
	}
}
