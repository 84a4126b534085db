package nats_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/connect"
	beaconnats "github.com/pagebeacon/beacon/connect/nats"
	"github.com/pagebeacon/beacon/connect/nats/internal/natstest"
)

func TestSinkMessage(t *testing.T) {
	t.Parallel()
	conn := natstest.Connect(t, natstest.Start(t, nil).URL())
	one(t, conn, "beacon")
	sink := newSink(t, beaconnats.SinkOptions{Conn: conn})
	e := visit("a \"session\"\r\nX-Forged: 1", 0, 1)[0]
	e.ID = "an id\r\nX-Forged: 2"
	if err := sink.Consume(t.Context(), []beacon.Event{e}); err != nil {
		t.Fatal(err)
	}
	m := messages(t, conn, "beacon")[0]
	want := nats.Header{
		"Nats-Expected-Stream": {"beacon"},
		"Nats-Msg-Id":          m.Header["Nats-Msg-Id"],
		"ce-specversion":       {"1.0"},
		"ce-id":                {"an%20id%0D%0AX-Forged:%202"},
		"ce-source":            {"//example.com/beacon"},
		"ce-type":              m.Header["ce-type"],
		"ce-time":              {"2026-01-02T03:04:05Z"},
		"ce-subject":           {"a%20%22session%22%0D%0AX-Forged:%201"},
		"content-type":         {"application/json"},
	}
	if d := cmp.Diff(want, m.Header); d != "" {
		t.Error(d)
	}
	if id := m.Header.Get("Nats-Msg-Id"); !strings.HasPrefix(id, "sha256:") || strings.ContainsAny(id, "\r\n ") {
		t.Errorf("message ID %q", id)
	}
	if d := cmp.Diff([]beacon.Event{e}, stored(t, conn, "beacon"), cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Error(d)
	}
	// Headers that no server takes cost the event nothing but themselves.
	e = visit(strings.Repeat("s", 100<<10), 1, 1)[0]
	if err := sink.Consume(t.Context(), []beacon.Event{e}); err != nil {
		t.Fatal(err)
	}
	if m := messages(t, conn, "beacon")[1]; m.Header.Get("ce-id") != "" || m.Header.Get("Nats-Msg-Id") == "" {
		t.Error(m.Header)
	}
}

func TestSinkDuplicates(t *testing.T) {
	t.Parallel()
	conn := natstest.Connect(t, natstest.Start(t, nil).URL())
	one(t, conn, "beacon")
	sink := newSink(t, beaconnats.SinkOptions{Conn: conn})
	twin := visit("s", 0, 1)[0]
	twin.Received = twin.Received.Add(time.Nanosecond)
	odd := visit("s", 1, 4)
	odd[0].ID, odd[1].ID = "id\r", "id\n" // a header makes a blank of both
	odd[2].ID, odd[3].ID = strings.Repeat("x", 70_000)+"a", strings.Repeat("x", 70_000)+"b"
	for range 2 {
		for _, some := range [][]beacon.Event{visit("s", 0, 1), {twin}, odd, {{Body: beacon.Empty{}}}} {
			if err := sink.Consume(t.Context(), some); err != nil {
				t.Fatal(err)
			}
		}
	}
	again := append(visit("t", 0, 2), visit("t", 0, 2)...) // in one call
	if err := sink.Consume(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, e := range stored(t, conn, "beacon") {
		ids = append(ids, e.ID[max(0, len(e.ID)-4):])
	}
	// What has no ID cannot be known again.
	if d := cmp.Diff([]string{"s:0", "s:0", "id\r", "id\n", "xxxa", "xxxb", "", "", "t:0", "t:1"}, ids); d != "" {
		t.Error(d)
	}
	if s := sink.Stats(); s.Events != 18 || s.Refused != 0 || s.Dead != 0 || s.InFlight != 0 {
		t.Errorf("%+v", s)
	}
}

func TestSinkKeepsSessionsInOneSubject(t *testing.T) {
	t.Parallel()
	conn := natstest.Connect(t, natstest.Start(t, nil).URL())
	one(t, conn, "beacon")
	sink := newSink(t, beaconnats.SinkOptions{Conn: conn, Shards: 4})
	for i := range 100 {
		if err := sink.Consume(t.Context(), visit(fmt.Sprint("s", i%50), i, 2)); err != nil {
			t.Fatal(err)
		}
	}
	subjects, sessions := map[string]int{}, map[string]string{}
	for i, m := range messages(t, conn, "beacon") {
		subjects[m.Subject]++
		s := fmt.Sprint("s", i/2%50)
		if was := sessions[s]; was != "" && was != m.Subject {
			t.Errorf("session %s is in %s and in %s", s, was, m.Subject)
		}
		sessions[s] = m.Subject
	}
	for i := range 4 {
		if n := subjects[fmt.Sprint("beacon.", i)]; n < 10 {
			t.Errorf("%d of 200 messages in subject %d", n, i)
		}
	}
	if len(subjects) != 4 {
		t.Error(subjects)
	}
}

func TestSinkRefusesForGoodOnlyWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*server.Options, *jetstream.StreamConfig){
		"the server's bound": func(o *server.Options, _ *jetstream.StreamConfig) { o.MaxPayload = 4 << 10 },
		"the stream's bound": func(_ *server.Options, c *jetstream.StreamConfig) { c.MaxMsgSize = 4 << 10 },
	} {
		t.Run(name, func(t *testing.T) {
			var c jetstream.StreamConfig
			s := natstest.Start(t, func(o *server.Options) { edit(o, &c) })
			conn := natstest.Connect(t, s.URL())
			err := beaconnats.EnsureStream(until(t), conn, beaconnats.StreamOptions{Replicas: 1, Config: func(to *jetstream.StreamConfig) { to.MaxMsgSize = c.MaxMsgSize }})
			if err != nil {
				t.Fatal(err)
			}
			sink := newSink(t, beaconnats.SinkOptions{Conn: conn})
			events := visit("s", 0, 5)
			events[2].Body = beacon.Text(strings.Repeat("x", 5<<10))
			events[3].Time = time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC) // which JSON has no form for
			err = sink.Consume(t.Context(), events)
			part, ok := errors.AsType[*beacon.PartialError](err)
			if !ok || !beacon.IsPermanent(err) {
				t.Fatal(err)
			}
			if d := cmp.Diff([]int{2, 3}, part.Failed); d != "" {
				t.Error(d)
			}
			if err := sink.Consume(t.Context(), events[2:3]); !beacon.IsPermanent(err) {
				t.Error(err)
			}
			if got := stored(t, conn, "beacon"); len(got) != 3 {
				t.Errorf("%d are stored", len(got))
			}
			if s := sink.Stats(); s.Events != 3 || s.Dead != 3 || s.Refused != 0 {
				t.Errorf("%+v", s)
			}
			if err := sink.Healthy(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A full stream refuses what is new, keeps what it has, and goes on when there is room.
func TestSinkStreamFull(t *testing.T) {
	t.Parallel()
	conn := natstest.Connect(t, natstest.Start(t, nil).URL())
	err := beaconnats.EnsureStream(until(t), conn, beaconnats.StreamOptions{Replicas: 1, Config: func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 }})
	if err != nil {
		t.Fatal(err)
	}
	sink := newSink(t, beaconnats.SinkOptions{Conn: conn})
	events := visit("s", 0, 12)
	err = sink.Consume(t.Context(), events)
	part, ok := errors.AsType[*beacon.PartialError](err)
	if wait, asks := beacon.RetryAfter(err); !ok || beacon.IsPermanent(err) || !asks || wait != 5*time.Second {
		t.Fatal(err)
	}
	if d := cmp.Diff([]int{10, 11}, part.Failed); d != "" {
		t.Error(d)
	}
	if err := sink.Healthy(t.Context()); err == nil || !strings.Contains(err.Error(), "full") {
		t.Error(err)
	}
	if got := stored(t, conn, "beacon"); len(got) != 10 || got[0].ID != "s:0" {
		t.Error(len(got), "are stored")
	}
	js, _ := jetstream.New(conn)
	s, err := js.Stream(until(t), "beacon")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(until(t)); err != nil {
		t.Fatal(err)
	}
	if err := sink.Consume(t.Context(), events[10:]); err != nil {
		t.Error(err)
	}
	if err := sink.Healthy(t.Context()); err != nil {
		t.Error(err)
	}
}

// While the server is away every call fails at once and for now, and those after it do
// not; a Sink can be made meanwhile.
func TestSinkServerAway(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, nil)
	conn := natstest.Connect(t, s.URL())
	one(t, conn, "beacon")
	first := newSink(t, beaconnats.SinkOptions{Conn: conn})
	s.Stop()
	eventually(t, "the client knows", func() bool { return !conn.IsConnected() }) // before that nobody can say what came of it
	late := natstest.Connect(t, s.URL(), nats.RetryOnFailedConnect(true))
	second := newSink(t, beaconnats.SinkOptions{Conn: late})
	for name, sink := range map[string]*beaconnats.Sink{"made before": first, "made meanwhile": second} {
		err := sink.Consume(t.Context(), visit("refused", 0, 3)) // and must not be sent later
		if wait, asks := beacon.RetryAfter(err); err == nil || beacon.IsPermanent(err) || !asks || wait != time.Second {
			t.Errorf("%s: %v", name, err)
		}
		if err := sink.Healthy(t.Context()); err == nil {
			t.Errorf("%s: healthy", name)
		}
	}
	s.Start()
	for name, sink := range map[string]*beaconnats.Sink{"made before": first, "made meanwhile": second} {
		eventually(t, name+": goes on", func() bool { return sink.Consume(t.Context(), visit(name, 0, 3)) == nil })
		if err := sink.Healthy(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := stored(t, conn, "beacon"); len(got) != 6 {
		t.Errorf("%d are stored: %v", len(got), got)
	}
}

// What was sent and not answered is not taken, however long the answer may be on its way.
func TestSinkNoAnswer(t *testing.T) {
	t.Parallel()
	conn := natstest.Connect(t, natstest.Start(t, nil).URL())
	one(t, conn, "beacon")
	sink := newSink(t, beaconnats.SinkOptions{Conn: conn, Timeout: 300 * time.Millisecond, MaxPending: 4})
	js, _ := jetstream.New(conn)
	if err := js.DeleteStream(until(t), "beacon"); err != nil {
		t.Fatal(err)
	}
	mute, err := conn.Subscribe("beacon.*", func(*nats.Msg) {}) // so there is somebody who might answer
	if err != nil {
		t.Fatal(err)
	}
	err = sink.Consume(t.Context(), visit("s", 0, 3))
	if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, jetstream.ErrAsyncPublishTimeout) || beacon.IsPermanent(err) {
		t.Error(err)
	}
	if err := sink.Consume(t.Context(), visit("s", 0, 9)); err == nil || beacon.IsPermanent(err) { // more than may be pending
		t.Error(err)
	}
	if err := mute.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	if err := sink.Consume(t.Context(), visit("s", 0, 3)); err == nil || beacon.IsPermanent(err) { // nobody there
		t.Error(err)
	}
	one(t, conn, "beacon")
	eventually(t, "it goes on", func() bool { return sink.Consume(t.Context(), visit("s", 0, 9)) == nil })
	if s := sink.Stats(); s.Events != 9 || s.InFlight != 0 || s.Refused < 15 {
		t.Errorf("%+v", s)
	}
}

func TestSinkClose(t *testing.T) {
	conn := natstest.Connect(t, natstest.Start(t, nil).URL())
	one(t, conn, "beacon")
	noLeaks(t, func() {
		sink := newSink(t, beaconnats.SinkOptions{Conn: conn})
		mute, err := conn.Subscribe("beacon.*", func(*nats.Msg) {})
		if err != nil {
			t.Fatal(err)
		}
		js, _ := jetstream.New(conn)
		if err := sink.Consume(t.Context(), visit("s", 0, 3)); err != nil {
			t.Fatal(err)
		}
		if err := js.DeleteStream(until(t), "beacon"); err != nil {
			t.Fatal(err)
		}
		failed := make(chan error)
		go func() { failed <- sink.Consume(t.Context(), visit("s", 3, 3)) }()
		eventually(t, "a call is under way", func() bool { return sink.Stats().InFlight == 3 })
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := sink.Close(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := <-failed; err == nil || beacon.IsPermanent(err) {
			t.Error(err)
		}
		for range 2 {
			if err := sink.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if err := sink.Consume(t.Context(), visit("s", 6, 1)); !errors.Is(err, connect.ErrClosed) {
			t.Error(err)
		}
		if err := sink.Healthy(t.Context()); !errors.Is(err, connect.ErrClosed) {
			t.Error(err)
		}
		_ = mute.Unsubscribe()
		one(t, conn, "beacon")
	})
}
