package fleet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// A chaos breaks a fleet, again and again, and mends it.
type chaos struct {
	f      *fleet
	away   time.Duration // that what is broken stays so
	cancel context.CancelFunc
	wg     sync.WaitGroup
	rounds sync.WaitGroup // the first of each list

	mu     sync.Mutex
	did    map[string]int
	failed []string
}

// chaos starts one. Two are at it beside each other: what is the host's is broken every so
// often, and the log and the database, which take some seconds to recover, every other.
func (f *fleet) chaos(own, others, away time.Duration) *chaos {
	c := &chaos{f: f, away: away, did: map[string]int{}}
	var ctx context.Context
	ctx, c.cancel = context.WithCancel(context.Background())
	processes := []func(context.Context) (string, error){c.killReceiver, c.killReceiver, c.killConsumer, c.killConsumer, c.leave, c.guest}
	var outside []func(context.Context) (string, error)
	if f.log != nil {
		outside = append(outside,
			func(ctx context.Context) (string, error) { return f.log.disturb(ctx, true, c.away) },
			func(ctx context.Context) (string, error) { return f.log.disturb(ctx, false, c.away) })
	}
	if f.db.server != nil {
		outside = append(outside, func(ctx context.Context) (string, error) {
			return "the database was killed", f.db.disturb(ctx, c.away)
		})
	}
	c.rounds.Add(2)
	c.wg.Go(func() { c.run(ctx, own, processes) })
	c.wg.Go(func() { c.run(ctx, others, outside) })
	return c
}

// run does all of a list, each time in another order.
func (c *chaos) run(ctx context.Context, every time.Duration, all []func(context.Context) (string, error)) {
	round := sync.OnceFunc(c.rounds.Done)
	defer round()
	for len(all) > 0 && ctx.Err() == nil {
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, do := range all {
			if sleep(ctx, every/2+rand.N(every)); ctx.Err() != nil {
				return
			}
			what, err := do(ctx)
			c.mu.Lock()
			c.did[what]++
			if err != nil {
				c.failed = append(c.failed, fmt.Sprintf("%s: %v", what, err))
			}
			c.mu.Unlock()
		}
		round()
	}
}

func (c *chaos) killReceiver(context.Context) (string, error) {
	n := rand.IntN(c.f.plan.receivers)
	c.f.receivers.get(n).kill()
	return "a receiver was killed", c.f.receivers.start(n)
}

func (c *chaos) killConsumer(context.Context) (string, error) {
	n := rand.IntN(c.f.plan.consumers)
	c.f.consumers.get(n).kill()
	return "a consumer was killed", c.f.consumers.start(n)
}

// leave ends a consumer in order.
func (c *chaos) leave(context.Context) (string, error) {
	n := rand.IntN(c.f.plan.consumers)
	err := c.f.consumers.get(n).stop()
	return "a consumer left and came back", errors.Join(err, c.f.consumers.start(n))
}

// guest starts a consumer more, or ends that.
func (c *chaos) guest(context.Context) (string, error) {
	n := c.f.plan.consumers
	if all := c.f.consumers.all(); len(all) <= n || !all[n].running() {
		return "one more consumer came", c.f.consumers.start(n)
	}
	return "one more consumer went", c.f.consumers.get(n).stop()
}

// end lets all be as it was, once each thing has gone wrong, and says what went wrong with
// mending it.
func (c *chaos) end() error {
	c.rounds.Wait()
	c.cancel()
	c.wg.Wait()
	if len(c.failed) > 0 {
		return errors.New(strings.Join(c.failed, "\n"))
	}
	return nil
}

// all says what it did.
func (c *chaos) all() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var s []string
	for what, n := range c.did {
		s = append(s, fmt.Sprintf("%d× %s", n, what))
	}
	slices.Sort(s)
	return strings.Join(s, ", ")
}
