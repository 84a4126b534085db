package fleet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// natsServer builds the server, once.
var natsServer = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "beacon-nats-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "nats-server")
	atEnd(func() { os.RemoveAll(dir) })
	cmd := exec.Command("go", "build", "-o", path, "github.com/nats-io/nats-server/v2")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("nats-server: %w\n%s", err, out)
	}
	return path, nil
})

// A jetStream is three servers in processes of their own, which are a cluster.
type jetStream struct {
	pool
	dirs    []string
	ports   []int // of clients
	watcher *natsgo.Conn
}

// startJetStream starts one with its files below dir, or in dirs, of which each may be on a
// volume of its own. sync is the server's sync_interval; empty is its default.
func startJetStream(dir, sync string, dirs ...string) (*jetStream, error) {
	path, err := natsServer()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(6)
	if err != nil {
		return nil, err
	}
	j := &jetStream{ports: ports[:3], dirs: dirs}
	var routes []string
	for _, p := range ports[3:] {
		routes = append(routes, fmt.Sprintf("nats-route://127.0.0.1:%d", p))
	}
	if sync != "" {
		sync = "sync_interval: " + sync
	}
	j.kind = "jetstream"
	j.make = func(n int) (*process, error) {
		name := fmt.Sprintf("n%d", n)
		for len(j.dirs) <= n {
			j.dirs = append(j.dirs, filepath.Join(dir, fmt.Sprintf("n%d", len(j.dirs))))
		}
		conf := filepath.Join(dir, name+".conf")
		text := fmt.Sprintf(`server_name: %s
listen: "127.0.0.1:%d"
write_deadline: "10s"
jetstream { store_dir: %q, max_mem: 64M, max_file: 20G, %s }
cluster { name: fleet, listen: "127.0.0.1:%d", routes: [%s] }
`, name, ports[n], j.dirs[n], sync, ports[3+n], strings.Join(routes, ", "))
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			return nil, err
		}
		return start(exec.Command(path, "-c", conf), name, dir, false)
	}
	for n := range 3 {
		if err := j.start(n); err != nil {
			return nil, err
		}
	}
	if j.watcher, err = natsgo.Connect(strings.Join(j.urls(), ","), natsgo.MaxReconnects(-1), natsgo.RetryOnFailedConnect(true), natsgo.ReconnectWait(100*time.Millisecond)); err != nil {
		return nil, err
	}
	return j, j.await()
}

func (j *jetStream) urls() (urls []string) {
	for _, p := range j.ports {
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", p))
	}
	return urls
}

// await waits until the cluster has a leader that makes streams.
func (j *jetStream) await() error {
	js, err := jetstream.New(j.watcher)
	if err != nil {
		return err
	}
	return poll("a JetStream cluster", func(ctx context.Context) error {
		_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "PROBE", Subjects: []string{"probe"}, Replicas: 3})
		return err
	})
}

// leader returns which process leads the stream, or -1.
func (j *jetStream) leader(ctx context.Context, stream string) int {
	js, err := jetstream.New(j.watcher)
	if err != nil {
		return -1
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	s, err := js.Stream(ctx, stream)
	if err != nil || s.CachedInfo().Cluster == nil {
		return -1
	}
	n := -1
	fmt.Sscanf(s.CachedInfo().Cluster.Leader, "n%d", &n)
	return n
}

// disturb kills one, the leader if there is one and it shall be, and starts it again later.
func (j *jetStream) disturb(ctx context.Context, leader bool, away time.Duration) (what string, err error) {
	n := -1
	if leader {
		n = j.leader(ctx, streamName)
	}
	what = "the log's leader was killed"
	if n < 0 {
		n = rand.IntN(3)
		what = "a node of the log was killed"
	}
	j.get(n).kill()
	sleep(ctx, away)
	return what, j.start(n)
}

func (j *jetStream) spec() LogSpec { return LogSpec{Kind: j.kind, Servers: j.urls(), Replicas: 3} }

func (j *jetStream) processes() *pool { return &j.pool }

func (j *jetStream) end() {
	if j.watcher != nil {
		j.watcher.Close()
	}
	j.kill()
}

// poll asks again until there is no error.
func poll(what string, f func(context.Context) error) error {
	end := time.Now().Add(patience)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err := f(ctx)
		cancel()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: %w", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

var (
	endMu sync.Mutex
	ends  []func()
)

// atEnd does something when all tests have ended.
func atEnd(f func()) {
	endMu.Lock()
	defer endMu.Unlock()
	ends = append(ends, f)
}
