// Package fleet is the proof that more than one machine is as good as one: receivers, a
// log, consumers and a store as processes of their own, browsers that send real-shaped
// visits, and what goes wrong meanwhile. In the end all that was acknowledged is in the
// store, and the sessions are, byte for byte, those of one process that was fed in order.
//
// It needs Linux, and what package stores needs. The servers of NATS are built from their
// module. For Kafka there is kfake, which speaks the protocol and keeps what it has on disk.
//
// BEACON_FAULTS=full runs the long form, of which BEACON_FLEET_BEACONS says how many requests
// TestFleet has; the default is 1,000,000. BEACON_FLEET_DIR is where the files are, which
// stay there if a test fails.
package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"
)

// A plan says what a fleet consists of.
type plan struct {
	log, store           string
	receivers, consumers int
	unsure               int // see Role
	mistake              string
	sink                 string   // of the receivers, if not the log, or without one the store
	refuses, fails       string   // see Role
	maxTries             int      // of a consumer; 0 is its default
	sync                 string   // of JetStream; empty is its default
	volumes              []string // of its nodes, if they are to have some
}

// A fleet is one, with its files below one directory.
type fleet struct {
	plan
	dir       string
	log       broker
	db        *database
	receivers pool
	consumers pool
}

// newFleet starts one. What was started is there to be ended also if that fails.
func newFleet(dir string, p plan) (*fleet, error) {
	f := &fleet{plan: p, dir: dir}
	var err error
	if f.db, err = startDatabase(p.store, dir); err != nil {
		return f, err
	}
	switch p.log {
	case "jetstream":
		f.log, err = startJetStream(dir, p.sync, p.volumes...)
	case "kafka":
		f.log, err = startKafka(dir)
	}
	if err != nil {
		return f, err
	}
	sink, spec := cmp.Or(p.sink, "store"), LogSpec{}
	if f.log != nil {
		sink, spec = "log", f.log.spec()
		if err := spec.prepare(); err != nil {
			return f, err
		}
	}
	f.receivers = pool{kind: "receiver", make: func(n int) (*process, error) {
		name := fmt.Sprintf("receiver%d", n)
		return startRole(Role{Kind: "receiver", Name: name, Dir: filepath.Join(dir, name), Log: spec, Store: f.db.spec, Sink: sink, Mistake: p.mistake}, dir)
	}}
	f.consumers = pool{kind: "consumer", make: func(n int) (*process, error) {
		return startRole(Role{Kind: "consumer", Name: fmt.Sprintf("consumer%d", n), Dir: dir, Log: spec, Store: f.db.spec, Unsure: p.unsure, Refuses: p.refuses, Fails: p.fails, MaxTries: p.maxTries, Mistake: p.mistake}, dir)
	}}
	for n := range p.receivers {
		if err := f.receivers.start(n); err != nil {
			return f, err
		}
	}
	for n := range p.consumers {
		if err := f.consumers.start(n); err != nil {
			return f, err
		}
	}
	return f, nil
}

// end ends all of it.
func (f *fleet) end() {
	f.receivers.kill()
	f.consumers.kill()
	if f.log != nil {
		f.log.end()
	}
	if f.db != nil {
		f.db.end()
	}
}

// watch returns how many events are stored, as of a moment ago, until ctx ends.
func (f *fleet) watch(ctx context.Context, tell func(stored int64)) {
	for ctx.Err() == nil {
		if n, err := f.db.stored(ctx); err == nil {
			tell(n)
		}
		sleep(ctx, time.Second)
	}
}

// drained waits until the store has all, or gets nothing more for so long.
func (f *fleet) drained(ctx context.Context, want int, idle time.Duration) error {
	last, since := int64(-1), time.Now()
	for {
		n, err := f.db.stored(ctx)
		switch {
		case err == nil && n >= int64(want):
			return nil
		case n > last:
			last, since = n, time.Now()
		case time.Since(since) > idle:
			return fmt.Errorf("of %d events %d are stored, and no more for %v (%v)", want, n, idle, err)
		}
		if sleep(ctx, 200*time.Millisecond); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// stop ends receivers and consumers in order, the receivers first.
func (f *fleet) stop() (wrong []string) {
	for _, l := range []*pool{&f.receivers, &f.consumers} {
		for _, p := range l.all() {
			if p.running() {
				if err := p.stop(); err != nil {
					wrong = append(wrong, err.Error())
				}
			}
		}
	}
	return wrong
}

// stats asks a process what it counts.
func stats(p *process, into any) error {
	c := http.Client{Timeout: 5 * time.Second}
	resp, err := c.Get(p.addr + "/stats")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into)
}

// cost says what CPU each kind of process took for n events. That of a database which was
// killed is that of the last one only.
func (f *fleet) cost(n int) string {
	var parts []string
	say := func(kind string, d time.Duration) {
		parts = append(parts, fmt.Sprintf("%s %.0f", kind, float64(d.Microseconds())/float64(n)))
	}
	say("receivers", f.receivers.cpu())
	if f.log != nil {
		say("log", f.log.processes().cpu())
	}
	say("consumers", f.consumers.cpu())
	if f.db.server != nil {
		say("database", f.db.server.CPU())
	}
	return "CPU µs of an event: " + strings.Join(parts, ", ")
}

// Run runs the tests, and then ends what they share.
func Run(m interface{ Run() int }) int {
	code := m.Run()
	for _, f := range ends {
		f()
	}
	return code
}
