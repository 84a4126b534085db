package nats

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// StreamOptions says how [EnsureStream] makes a stream. A zero field has the default
// that it names.
type StreamOptions struct {
	Name    string // default "beacon"; no dots, blanks or wildcards
	Subject string // the messages' subjects are this, a dot and a number; default "beacon"

	// Replicas is on how many servers each message is; default 3. With 1, which has to be
	// asked for, the death of a disk loses what was acknowledged, and that of its server
	// stops everything until it is back.
	Replicas int

	// MaxAge is after which a message goes, read or not; default 7 days. It has to be
	// longer than the longest time that nobody may be there to consume.
	MaxAge time.Duration

	// MaxBytes is the most that the stream keeps on one server, from where on it refuses
	// what is new; default 0, which is what the server itself has for streams.
	MaxBytes int64

	// Duplicates is for how long the servers know a message that comes a second time;
	// default 2 minutes. They keep its ID in memory all this time, about 100 bytes for each.
	Duplicates time.Duration

	// Config, if set, may change anything else: placement, compression, tags. What comes of
	// it is checked like a stream that was there before.
	Config func(*jetstream.StreamConfig)
}

// dayLong is how much of an outage a log should outlast before it is worth a warning.
const dayLong = 24 * time.Hour

// shortWindow is a duplicate window that retries of a few minutes' outage outlast.
const shortWindow = time.Minute

// EnsureStream makes the stream unless it is there, and the one for dead letters beside
// it, which is named NAME_dead, has the subjects SUBJECT.dead.* and keeps what it has for
// 30 days. Both are in files; a full one refuses what is new and drops nothing that it has.
//
// It waits for servers that are not ready, for as long as ctx lasts: a cluster that has just
// started has no leader for some seconds.
//
// A stream that is there is not changed, but is an error if it would lose what it has
// acknowledged: see [NewSink]. So is one with fewer replicas than asked for.
func EnsureStream(ctx context.Context, conn *nats.Conn, o StreamOptions) error {
	if conn == nil {
		return errors.New("nats: StreamOptions: no connection")
	}
	if o.Replicas < 0 || o.MaxAge < 0 || o.MaxBytes < 0 || o.Duplicates < 0 {
		return errors.New("nats: StreamOptions: a negative number")
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return fmt.Errorf("nats: %w", err)
	}
	if conn.IsClosed() {
		return nats.ErrConnectionClosed
	}
	prefix := cmp.Or(o.Subject, defaultSubject)
	c := jetstream.StreamConfig{
		Name: cmp.Or(o.Name, defaultStream), Subjects: []string{prefix + ".*"},
		Storage: jetstream.FileStorage, Replicas: cmp.Or(o.Replicas, 3),
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
		MaxAge: cmp.Or(o.MaxAge, 7*24*time.Hour), MaxBytes: cmp.Or(o.MaxBytes, -1),
		Duplicates: cmp.Or(o.Duplicates, 2*time.Minute),
	}
	c.Duplicates = min(c.Duplicates, c.MaxAge) // or the server refuses it
	if err := checkNames(c.Name, prefix); err != nil {
		return err
	}
	if o.Config != nil {
		o.Config(&c)
	}
	dead := deadStream(c, deadName(c.Name), deadSubject(prefix))
	for {
		err := ensure(ctx, js, c, prefix+".0")
		if err == nil {
			err = ensure(ctx, js, dead, deadSubject(prefix)+".0")
		}
		if err == nil || ctx.Err() != nil || !unready(err) {
			return err
		}
		sleep(ctx, retryReady)
	}
}

// ensure makes a stream, or checks the one of that name. The subject is one that it has
// to have.
func ensure(ctx context.Context, js jetstream.JetStream, c jetstream.StreamConfig, subject string) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	if _, err := verify(c, []string{subject}, false); err != nil {
		return err
	}
	s, err := js.CreateStream(ctx, c)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		s, err = js.Stream(ctx, c.Name)
	}
	if err != nil {
		if e, ok := errors.AsType[*jetstream.APIError](err); ok && e.ErrorCode == notClustered {
			return fmt.Errorf("nats: stream %q: %w; with a single server ask for it: StreamOptions.Replicas: 1", c.Name, err)
		}
		return fmt.Errorf("nats: stream %q: %w", c.Name, err)
	}
	is := s.CachedInfo().Config
	if is.Replicas < c.Replicas {
		return fmt.Errorf("nats: stream %q has %d replicas, and %d are asked for", c.Name, is.Replicas, c.Replicas)
	}
	_, err = verify(is, []string{subject}, false)
	return err
}

// verify returns what is wrong with a stream that has to keep what it acknowledges, and
// what is doubtful. The subjects are those that it has to have.
func verify(c jetstream.StreamConfig, subjects []string, discardOld bool) (doubts []string, err error) {
	var errs []error
	wrong := func(format string, a ...any) {
		errs = append(errs, fmt.Errorf("nats: stream %q "+format, append([]any{c.Name}, a...)...))
	}
	if c.Storage != jetstream.FileStorage {
		wrong("is in memory: what it acknowledges does not outlast its servers")
	}
	if c.PersistMode == jetstream.AsyncPersistMode {
		wrong("acknowledges before it has written (persist_mode async)")
	}
	if c.NoAck {
		wrong("acknowledges nothing (no_ack)")
	}
	if c.Mirror != nil || c.Sealed {
		wrong("takes no messages: it is a mirror or sealed")
	}
	if c.Retention == jetstream.InterestPolicy {
		wrong("drops what comes while there is no consumer (retention interest)")
	}
	bounded := c.MaxBytes > 0 || c.MaxMsgs > 0
	if c.Discard == jetstream.DiscardOld && bounded && !discardOld {
		wrong("drops the oldest when it is full, read or not (discard old): set discard new, or AllowDiscardOld")
	}
	if c.MaxMsgsPerSubject > 0 && !c.DiscardNewPerSubject && !discardOld {
		wrong("drops all but the last %d of each subject, read or not", c.MaxMsgsPerSubject)
	}
	for _, subject := range subjects {
		if !takes(c.Subjects, subject) {
			wrong("does not take the subject %q, but %q", subject, c.Subjects)
			break
		}
	}
	if c.Replicas < 2 {
		doubts = append(doubts, "it is on one server only")
	}
	if 0 < c.MaxAge && c.MaxAge < dayLong {
		doubts = append(doubts, fmt.Sprintf("it forgets after %v: an outage of the consumers that is longer loses events", c.MaxAge))
	}
	if c.Duplicates < shortWindow {
		doubts = append(doubts, fmt.Sprintf("it knows duplicates for %v only: retries are stored again", c.Duplicates))
	}
	return doubts, errors.Join(errs...)
}

// takes says whether one of the patterns covers the subject.
func takes(patterns []string, subject string) bool {
	tokens := strings.Split(subject, ".")
	for _, p := range patterns {
		parts := strings.Split(p, ".")
		for i, part := range parts {
			if part == ">" && i < len(tokens) {
				return true
			}
			if i >= len(tokens) || part != "*" && part != tokens[i] {
				break
			}
			if i == len(parts)-1 && len(parts) == len(tokens) {
				return true
			}
		}
	}
	return false
}

const (
	defaultStream  = "beacon"
	defaultSubject = "beacon"
	defaultShards  = 16
)

// deadName is the stream for what cannot be delivered from that one. Its subjects have a
// token more than those, so that no pattern for one level covers both.
func deadName(stream string) string { return stream + "_dead" }

func deadSubject(prefix string) string { return prefix + ".dead" }

// checkNames finds names that the server would take for something else, or not at all.
func checkNames(stream, prefix string) error {
	if strings.ContainsAny(stream, ".*>/\\ \t\r\n") {
		return fmt.Errorf("nats: %q is no name for a stream", stream)
	}
	for token := range strings.SplitSeq(prefix, ".") {
		if token == "" || strings.ContainsAny(token, "*> \t\r\n") || strings.HasPrefix(prefix, "$") {
			return fmt.Errorf("nats: %q is no subject to publish to", prefix)
		}
	}
	return nil
}
