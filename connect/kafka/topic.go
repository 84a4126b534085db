package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TopicOptions are the options of [CreateTopic]. Zero is the default that each field names.
type TopicOptions struct {
	// Partitions is how many; by default 12. It is the largest number of consumers that
	// have something to do. More can be added later; what is one session's then goes on in
	// another partition, once.
	Partitions int

	// Replicas is on how many brokers each partition is, and MinInSync on how many of them
	// an event has to be before it is acknowledged: by default 3 and 2, so that any one broker
	// may die, and others still take events. With 1, which is for development, acknowledged
	// events go with their broker.
	Replicas, MinInSync int

	// Retention is how long events are kept, whoever has read them or not; by default 7 days.
	// It has to be longer than any outage of what consumers write to.
	Retention time.Duration

	// Configs are further configurations of the topic by Kafka's names, such as
	// "max.message.bytes".
	Configs map[string]string
}

// CreateTopic creates the topic if it is not there, with the options, and in any case
// checks it, see [CheckTopic]: an error says that it loses events by design, or that it is
// on fewer brokers than o asks for. A consumer's dead-letter topic is made with it too; a
// longer Retention suits that.
func CreateTopic(ctx context.Context, topic string, o TopicOptions, client ...kgo.Opt) error {
	errs := []error{checkTopic("topic", topic)}
	o.Partitions = orDefault(&errs, "TopicOptions.Partitions", o.Partitions, 12)
	o.Replicas = orDefault(&errs, "TopicOptions.Replicas", o.Replicas, 3)
	o.MinInSync = orDefault(&errs, "TopicOptions.MinInSync", o.MinInSync, min(2, o.Replicas))
	o.Retention = orDefault(&errs, "TopicOptions.Retention", o.Retention, 7*24*time.Hour)
	if o.MinInSync > o.Replicas {
		errs = append(errs, fmt.Errorf("TopicOptions.MinInSync %d of %d Replicas: nothing could be written", o.MinInSync, o.Replicas))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("kafka: invalid options: %w", err)
	}
	cl, err := kgo.NewClient(client...)
	if err != nil {
		return fmt.Errorf("kafka: options of the client: %w", err)
	}
	defer cl.Close()
	if err := createTopic(ctx, cl, topic, o); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("kafka: create topic %s: %w", topic, err)
	}
	found, err := CheckTopic(ctx, cl, topic)
	for end := time.Now().Add(settling); errors.Is(err, kerr.UnknownTopicOrPartition) && time.Now().Before(end) && ctx.Err() == nil; {
		time.Sleep(settling / 100)
		found, err = CheckTopic(ctx, cl, topic)
	}
	switch {
	case err != nil:
		return err
	case found.Err != nil:
		return found.Err
	case found.Replicas < o.Replicas:
		return fmt.Errorf("kafka: topic %s is there, on %d brokers instead of %d", topic, found.Replicas, o.Replicas)
	case found.MinInSync > 0 && found.MinInSync < o.MinInSync:
		return fmt.Errorf("kafka: topic %s is there, with min.insync.replicas %d instead of %d", topic, found.MinInSync, o.MinInSync)
	}
	return nil
}

// settling is how long a topic that was made may be unknown to some brokers.
const settling = 10 * time.Second

func createTopic(ctx context.Context, cl *kgo.Client, topic string, o TopicOptions) error {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, int32(o.Partitions), int16(o.Replicas)
	configs := map[string]string{
		"cleanup.policy": "delete", "min.insync.replicas": strconv.Itoa(o.MinInSync),
		"retention.ms": strconv.FormatInt(o.Retention.Milliseconds(), 10),
	}
	maps.Copy(configs, o.Configs)
	for k, v := range configs {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = k, &v
		t.Configs = append(t.Configs, c)
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			if t.ErrorMessage != nil {
				return fmt.Errorf("%w (%s)", err, *t.ErrorMessage)
			}
			return err
		}
	}
	return nil
}

// A TopicReport is what [CheckTopic] finds. A number is 0 where the cluster does not say.
type TopicReport struct {
	Partitions, Replicas, MinInSync int // Replicas of the partition that has the fewest
	Retention                       time.Duration
	MaxMessageBytes                 int64

	Risks []string // why acknowledged events may be lost
	Err   error    // why they will be
}

// CheckTopic asks the cluster how a topic is set up. The error says that it could not be
// asked. What it looks for:
//
//   - cleanup.policy "compact" keeps one event of each session: that is an Err
//   - one replica, or min.insync.replicas of 1: what is acknowledged is on one machine, and
//     gone with it
//   - unclean.leader.election.enable: a broker that has not all may become the leader
//   - retention of less than a day: an outage over night loses what came first
//
// It takes the right to Describe and DescribeConfigs; without the latter it knows of
// replicas only.
func CheckTopic(ctx context.Context, cl *kgo.Client, topic string) (TopicReport, error) {
	var found TopicReport
	meta, err := topicMetadata(ctx, cl, topic)
	if err != nil {
		return found, explain(topic, err)
	}
	found.Partitions = len(meta.Partitions)
	for i, p := range meta.Partitions {
		if n := len(p.Replicas); i == 0 || n < found.Replicas {
			found.Replicas = n
		}
	}
	configs, err := topicConfigs(ctx, cl, topic)
	if err != nil && !errors.Is(err, kerr.TopicAuthorizationFailed) && !errors.Is(err, kerr.ClusterAuthorizationFailed) {
		return found, explain(topic, err)
	}
	found.MaxMessageBytes, _ = strconv.ParseInt(configs["max.message.bytes"], 10, 64)
	found.MinInSync, _ = strconv.Atoi(configs["min.insync.replicas"])
	ms, msErr := strconv.ParseInt(configs["retention.ms"], 10, 64)
	if msErr == nil && ms > 0 {
		found.Retention = time.Duration(min(ms, int64(290*365*24*time.Hour/time.Millisecond))) * time.Millisecond
	}
	found.judge(topic, configs)
	return found, nil
}

func (r *TopicReport) judge(topic string, configs map[string]string) {
	policy := configs["cleanup.policy"]
	if strings.Contains(policy, "compact") {
		r.Err = fmt.Errorf("kafka: topic %s has cleanup.policy %q: compaction keeps the last event of each session and removes the others", topic, policy)
	}
	switch {
	case r.Replicas == 1:
		r.Risks = append(r.Risks, "it has one replica: what is acknowledged is gone with its broker")
	case r.MinInSync == 1:
		r.Risks = append(r.Risks, "min.insync.replicas is 1: what is acknowledged may be on one broker only")
	case r.MinInSync > 0 && r.MinInSync >= r.Replicas:
		r.Risks = append(r.Risks, "min.insync.replicas is the number of replicas: no event is taken while one broker is away")
	}
	if configs["unclean.leader.election.enable"] == "true" {
		r.Risks = append(r.Risks, "unclean.leader.election.enable is true: a broker that does not have all that is acknowledged may become the leader")
	}
	if r.Retention > 0 && r.Retention < 24*time.Hour {
		r.Risks = append(r.Risks, fmt.Sprintf("retention.ms is %v: what consumers have not read by then is gone", r.Retention))
	}
}

// topicMetadata returns what the cluster knows about a topic that is there.
func topicMetadata(ctx context.Context, cl *kgo.Client, topic string) (*kmsg.MetadataResponseTopic, error) {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &topic
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, err
	}
	for i := range resp.Topics {
		t := &resp.Topics[i]
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return nil, err
		}
		if t.Topic != nil && *t.Topic == topic {
			return t, nil
		}
	}
	return nil, kerr.UnknownTopicOrPartition
}

func topicConfigs(ctx context.Context, cl *kgo.Client, topic string) (map[string]string, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	r.ConfigNames = []string{"cleanup.policy", "max.message.bytes", "min.insync.replicas", "retention.ms", "unclean.leader.election.enable"}
	req.Resources = append(req.Resources, r)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, err
	}
	configs := map[string]string{}
	for _, r := range resp.Resources {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return nil, err
		}
		for _, c := range r.Configs {
			if c.Value != nil {
				configs[c.Name] = *c.Value
			}
		}
	}
	return configs, nil
}

// healthyTopic is nil if each partition can be written to, and read.
func healthyTopic(ctx context.Context, cl *kgo.Client, topic string) error {
	meta, err := topicMetadata(ctx, cl, topic)
	if err != nil {
		return explain(topic, err)
	}
	for _, p := range meta.Partitions {
		if err := kerr.ErrorForCode(p.ErrorCode); err != nil && !errors.Is(err, kerr.ReplicaNotAvailable) {
			return fmt.Errorf("kafka: topic %s, partition %d: %w", topic, p.Partition, err)
		}
		if p.Leader < 0 {
			return fmt.Errorf("kafka: topic %s, partition %d: no broker leads it", topic, p.Partition)
		}
	}
	return nil
}
