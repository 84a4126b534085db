package natstest

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A Cluster is some servers with JetStream that know each other.
type Cluster struct {
	t       testing.TB
	servers []*Server
}

// StartCluster starts so many, and returns when they have a leader.
func StartCluster(t testing.TB, n int) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	var first *url.URL
	for i := range n {
		s := Start(t, func(o *server.Options) {
			o.ServerName = fmt.Sprint("n", i)
			o.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: server.RANDOM_PORT}
			if first != nil {
				o.Routes = []*url.URL{first}
			}
		})
		c.servers = append(c.servers, s)
		if first == nil {
			first = s.route()
		}
	}
	var routes []*url.URL
	for _, s := range c.servers {
		routes = append(routes, s.route())
	}
	for _, s := range c.servers {
		s.options.Routes = routes // for when it starts again
	}
	c.wait("a leader of the cluster", func() bool {
		for _, s := range c.servers {
			if s.running.JetStreamIsLeader() {
				return len(s.running.JetStreamClusterPeers()) == n
			}
		}
		return false
	})
	return c
}

func (s *Server) route() *url.URL {
	return &url.URL{Scheme: "nats-route", Host: fmt.Sprintf("127.0.0.1:%d", s.options.Cluster.Port)}
}

func (c *Cluster) wait(what string, is func() bool) {
	c.t.Helper()
	for until := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			c.t.Fatal("there is not: ", what)
		}
	}
}

// URL is where clients find all of them.
func (c *Cluster) URL() string {
	var all []string
	for _, s := range c.servers {
		all = append(all, s.URL())
	}
	return strings.Join(all, ",")
}

// StopLeader stops the server that leads a stream, and returns it.
func (c *Cluster) StopLeader(stream string) *Server {
	c.t.Helper()
	var leader *Server
	c.wait("a leader of stream "+stream, func() bool {
		for _, s := range c.servers {
			if s.running != nil && s.running.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, stream) {
				leader = s
			}
		}
		return leader != nil
	})
	leader.Stop()
	return leader
}

// Current returns when all servers have all of a stream.
func (c *Cluster) Current(stream string) {
	c.t.Helper()
	for _, s := range c.servers {
		c.wait(s.options.ServerName+" up to date", func() bool {
			return s.running != nil && s.running.JetStreamIsStreamCurrent(server.DEFAULT_GLOBAL_ACCOUNT, stream)
		})
	}
}
