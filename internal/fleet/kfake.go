package fleet

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// kfakes are kfake in a process of its own, which has three brokers and forces all that it
// writes to the disk. There is no Kafka in Go, and no other here: kill -9 takes all three.
type kfakes struct {
	pool
	ports []int
}

func startKafka(dir string) (*kfakes, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	k := &kfakes{ports: ports}
	k.kind = "kafka"
	k.make = func(int) (*process, error) {
		return startRole(Role{Kind: "kafka", Name: "kafka", Dir: filepath.Join(dir, "kafka"), Ports: ports}, dir)
	}
	return k, k.start(0)
}

func (k *kfakes) spec() LogSpec {
	s := LogSpec{Kind: k.kind}
	for _, p := range k.ports {
		s.Servers = append(s.Servers, fmt.Sprintf("127.0.0.1:%d", p))
	}
	return s
}

// disturb lets partitions have other leaders, or kills all brokers.
func (k *kfakes) disturb(ctx context.Context, leader bool, away time.Duration) (string, error) {
	if leader {
		resp, err := http.Get(k.get(0).addr + "/shuffle")
		if err != nil {
			return "", err
		}
		return "partitions have other leaders", resp.Body.Close()
	}
	k.get(0).kill()
	sleep(ctx, away)
	return "all brokers were killed", k.start(0)
}

func (k *kfakes) processes() *pool { return &k.pool }

func (k *kfakes) end() { k.kill() }

// runKafka is the main function of the process.
func runKafka(r Role) error {
	c, err := kfake.NewCluster(
		kfake.NumBrokers(len(r.Ports)), kfake.Ports(r.Ports...),
		kfake.DataDir(r.Dir), kfake.SyncWrites(),
		kfake.GroupMinSessionTimeout(time.Second),
	)
	if err != nil {
		return err
	}
	return r.serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c.ShufflePartitionLeaders()
		fmt.Fprintln(w, "ok")
	}))
}
