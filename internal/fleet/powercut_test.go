package fleet

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// TestPowerCut takes the power away from machines of JetStream. With sync_interval always
// nothing that was acknowledged is lost, not even if that happens to all of them at once.
// With the server's default it is, which is what makes the first row a proof.
func TestPowerCut(t *testing.T) {
	parallel(t)
	t.Run("always", func(t *testing.T) {
		parallel(t)
		c := newCuts(t, "always")
		for n := range 3 {
			c.write(t, 1)
			c.cut(t, n)
		}
		c.write(t, 2)
		before := c.messages(t)
		c.cut(t, 0, 1, 2)
		if after := c.messages(t); after < before {
			t.Errorf("of %d acknowledged messages %d are there after a power cut of all machines", before, after)
		} else {
			t.Logf("all of %d acknowledged messages are there after a power cut of each machine, and of all", before)
		}
		// What is there has to be what was sent, too.
		for n := range 2 {
			if err := c.consumers.start(n); err != nil {
				t.Fatal(err)
			}
		}
		c.settle(c.ctx, t, c.all)
	})
	t.Run("default", func(t *testing.T) {
		parallel(t)
		c := newCuts(t, "")
		c.write(t, 4)
		before := c.messages(t)
		c.cut(t, 0, 1, 2)
		after := c.messages(t)
		t.Logf("with the default sync_interval of 2 minutes %d of %d acknowledged messages are lost", before-after, before)
		if after >= before {
			t.Error("nothing is lost: the cut does not cut")
		}
	})
}

// cuts is a fleet whose log is on volumes, and a load of which a part is sent at a time.
type cuts struct {
	*fleet
	ctx     context.Context
	js      *jetStream
	volumes []*volume
	all     *want
	sent    int // visits
}

func newCuts(t *testing.T, sync string) *cuts {
	c := &cuts{all: wanted(t, pick(1_500, 60_000))}
	dir, err := os.MkdirTemp("/var/tmp", "beacon-power-") // on a disk
	if err != nil {
		t.Fatal(err)
	}
	var roots []string
	t.Cleanup(func() {
		for _, v := range c.volumes {
			if err := v.unmount(); err != nil {
				t.Error(err)
			}
		}
		os.RemoveAll(dir)
	})
	for n := range 3 {
		v, err := newVolume(dir, string(rune('a'+n)), pick[int64](256, 1024))
		if err != nil {
			t.Fatal(err)
		}
		c.volumes, roots = append(c.volumes, v), append(roots, v.root)
	}
	ctx, cancel := context.WithTimeout(t.Context(), pick(5*time.Minute, time.Hour))
	t.Cleanup(cancel)
	c.ctx = ctx
	c.fleet = begin(t, plan{log: "jetstream", store: "sqlite", sync: sync, volumes: roots, receivers: 2})
	c.js = c.log.(*jetStream)
	return c
}

// write sends so many fifths of all, and waits until the log has it.
func (c *cuts) write(t *testing.T, times int) {
	t.Helper()
	for range times {
		l := c.browsers(c.all)
		l.first, l.visits = c.sent, min(c.all.visits, c.sent+c.all.visits/5+1)
		if err := l.run(c.ctx); err != nil {
			t.Fatal(err)
		}
		c.sent = l.visits
	}
	await(t, "the log has all", func() bool { _, pending, err := c.inLog(); return err == nil && pending == 0 })
}

// cut takes the power away from machines, and lets them start again.
func (c *cuts) cut(t *testing.T, nodes ...int) {
	t.Helper()
	for _, n := range nodes {
		if err := c.volumes[n].cut(); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range nodes {
		c.js.get(n).kill()
	}
	for _, n := range nodes {
		if err := errors.Join(c.volumes[n].restored(), c.js.start(n)); err != nil {
			t.Fatal(err)
		}
	}
	if len(nodes) == 1 {
		await(t, "the node has what the others have", func() bool { return c.current() })
	}
}

// current says whether all replicas of the stream are.
func (c *cuts) current() bool {
	s, err := c.stream()
	if err != nil || s.CachedInfo().Cluster == nil || s.CachedInfo().Cluster.Leader == "" {
		return false
	}
	for _, r := range s.CachedInfo().Cluster.Replicas {
		if !r.Current || r.Offline {
			return false
		}
	}
	return true
}

func (c *cuts) stream() (jetstream.Stream, error) {
	js, err := jetstream.New(c.js.watcher)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(c.ctx, 2*time.Second)
	defer cancel()
	return js.Stream(ctx, streamName)
}

// messages returns how many the log has; none if there is no stream any more.
func (c *cuts) messages(t *testing.T) (n uint64) {
	t.Helper()
	if err := c.js.await(); err != nil {
		t.Fatal(err)
	}
	await(t, "the stream answers", func() bool {
		s, err := c.stream()
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			n = 0
			return true
		}
		if err != nil || s.CachedInfo().Cluster == nil || s.CachedInfo().Cluster.Leader == "" {
			return false
		}
		n = s.CachedInfo().State.Msgs
		return true
	})
	return n
}
