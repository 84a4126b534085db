package natstest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A Cluster is some servers with JetStream that know each other, each a process that can
// be killed: one that is shut down hands over what it leads first.
type Cluster struct {
	t       testing.TB
	members []*member
}

// A member is what the process of a server is told.
type member struct {
	Name        string
	Port, Route int
	Routes      []int
	Dir         string

	cmd *exec.Cmd
	in  io.Closer // until which it runs
}

const memberEnv = "NATSTEST_MEMBER"

// Main is the TestMain of tests that use a [Cluster]: its servers are this program, started
// again.
func Main(m *testing.M) {
	if text := os.Getenv(memberEnv); text != "" {
		if err := serve(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func serve(text string) error {
	var m member
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return err
	}
	o := options(m.Dir)
	o.ServerName, o.Port = m.Name, m.Port
	o.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: m.Route}
	for _, port := range m.Routes {
		o.Routes = append(o.Routes, &url.URL{Scheme: "nats-route", Host: fmt.Sprintf("127.0.0.1:%d", port)})
	}
	s, err := server.NewServer(&o)
	if err != nil {
		return err
	}
	s.Start()
	_, err = io.Copy(io.Discard, os.Stdin) // whoever started it is gone
	return err
}

// StartCluster starts three servers.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	ports := freePorts(t, 6)
	for i := range 3 {
		m := &member{Name: fmt.Sprint("n", i), Port: ports[i], Route: ports[3+i], Routes: ports[3:], Dir: t.TempDir()}
		c.members = append(c.members, m)
		t.Cleanup(m.kill)
		c.Start(m.Name)
	}
	return c
}

// Start starts a server, at first or after [Cluster.KillLeader].
func (c *Cluster) Start(name string) {
	c.t.Helper()
	m := c.member(name)
	text, err := json.Marshal(m)
	if err != nil {
		c.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		c.t.Fatal(err)
	}
	m.cmd = exec.Command(self)
	m.cmd.Env = append(os.Environ(), memberEnv+"="+string(text))
	m.cmd.Stderr = os.Stderr
	if m.in, err = m.cmd.StdinPipe(); err != nil {
		c.t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
}

func (m *member) kill() {
	if m.cmd != nil {
		_ = m.in.Close()
		_ = m.cmd.Process.Kill()
		_ = m.cmd.Wait()
		m.cmd = nil
	}
}

func (c *Cluster) member(name string) *member {
	for _, m := range c.members {
		if m.Name == name {
			return m
		}
	}
	c.t.Fatalf("no server %q", name)
	return nil
}

// URL is where clients find all of them.
func (c *Cluster) URL() string { return c.Without("") }

// Without is where clients find the others.
func (c *Cluster) Without(name string) string {
	var all []string
	for _, m := range c.members {
		if m.Name != name {
			all = append(all, fmt.Sprintf("nats://127.0.0.1:%d", m.Port))
		}
	}
	return strings.Join(all, ",")
}

// KillLeader kills the server that leads a stream, and returns its name.
func (c *Cluster) KillLeader(conn *nats.Conn, stream string) string {
	c.t.Helper()
	name := ""
	c.await(conn, stream, "a leader", func(i *jetstream.ClusterInfo) bool {
		name = i.Leader
		return name != ""
	})
	c.member(name).kill()
	return name
}

// Current returns when all servers have all of a stream.
func (c *Cluster) Current(conn *nats.Conn, stream string) {
	c.t.Helper()
	c.await(conn, stream, "three that are up to date", func(i *jetstream.ClusterInfo) bool {
		current := 1 // the leader
		for _, r := range i.Replicas {
			if r.Current && !r.Offline {
				current++
			}
		}
		return i.Leader != "" && current == len(c.members)
	})
}

func (c *Cluster) await(conn *nats.Conn, stream, what string, is func(*jetstream.ClusterInfo) bool) {
	c.t.Helper()
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(time.Second))
	if err != nil {
		c.t.Fatal(err)
	}
	for until := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		s, err := js.Stream(c.t.Context(), stream)
		if err == nil && s.CachedInfo().Cluster != nil && is(s.CachedInfo().Cluster) {
			return
		}
		if time.Now().After(until) {
			c.t.Fatalf("stream %s does not have %s: %v", stream, what, err)
		}
	}
}
