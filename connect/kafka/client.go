package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// legalTopic is what brokers take for the name of a topic.
var legalTopic = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

func checkTopic(field, topic string) error {
	if !legalTopic.MatchString(topic) || topic == "." || topic == ".." {
		return fmt.Errorf("%s %.64q: a topic's name is 1 to 249 of a-z A-Z 0-9 . _ -", field, topic)
	}
	return nil
}

// newClient makes a client of our choices, the host's, and then what neither may change.
// It connects to nothing before it is asked for something.
func newClient(ours, hosts, fixed []kgo.Opt) (*kgo.Client, error) {
	cl, err := kgo.NewClient(slices.Concat(ours, hosts, fixed)...)
	if err != nil {
		return nil, fmt.Errorf("options of the client: %w", err)
	}
	if err := checkClient(cl); err != nil {
		cl.Close()
		return nil, err
	}
	return cl, nil
}

// checkClient refuses a client whose nil does not mean that the log has it.
func checkClient(cl *kgo.Client) error {
	var errs []error
	if off, ok := cl.OptValue(kgo.DisableIdempotentWrite).(bool); !ok || off {
		errs = append(errs, errors.New("kgo.DisableIdempotentWrite is set: a request whose answer is lost would be written twice, and records out of order"))
	}
	if acks, ok := cl.OptValue(kgo.RequiredAcks).(kgo.Acks); !ok || acks != kgo.AllISRAcks() {
		errs = append(errs, errors.New("kgo.RequiredAcks is not AllISRAcks: a leader that dies would take events along that were acknowledged"))
	}
	if id, ok := cl.OptValue(kgo.TransactionalID).(string); !ok || id != "" {
		errs = append(errs, errors.New("kgo.TransactionalID is set: nothing here begins a transaction"))
	}
	if manual, ok := cl.OptValue(kgo.ManualFlushing).(bool); !ok || manual {
		errs = append(errs, errors.New("kgo.ManualFlushing is set: nothing here flushes by hand"))
	}
	if stop, ok := cl.OptValue(kgo.StopProducerOnDataLossDetected).(bool); !ok || stop {
		errs = append(errs, errors.New("kgo.StopProducerOnDataLossDetected is set: the first loss at a broker would end all delivery until a restart; it is logged, and delivery goes on"))
	}
	return errors.Join(errs...)
}

// slogger passes on what the client warns of.
type slogger struct{ *slog.Logger }

func (s slogger) Level() kgo.LogLevel { return kgo.LogLevelWarn }

func (s slogger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	to := slog.LevelWarn
	switch level {
	case kgo.LogLevelError:
		to = slog.LevelError
	case kgo.LogLevelInfo:
		to = slog.LevelInfo
	case kgo.LogLevelDebug:
		to = slog.LevelDebug
	}
	s.Logger.Log(context.Background(), to, "kafka: client: "+msg, keyvals...)
}

func orDefault[T int | int64 | time.Duration](errs *[]error, field string, v, preset T) T {
	if v < 0 {
		*errs = append(*errs, fmt.Errorf("%s %v: negative", field, v))
	}
	if v == 0 {
		return preset
	}
	return v
}

// closeClient leaves the group and ends a client, which may wait for connections to come to
// their end, for as long as ctx lasts.
func closeClient(ctx context.Context, cl *kgo.Client) error {
	err := cl.LeaveGroupContext(ctx) // else Close goes on trying, without an end
	done := make(chan struct{})
	go func() {
		defer close(done)
		cl.CloseAllowingRebalance()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("kafka: the client has not ended: %w", err)
	}
	return nil
}
