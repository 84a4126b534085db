package hosts

import (
	"net"
	"net/http"
	"testing"
	"time"

	fiber2 "github.com/gofiber/fiber/v2"
	adaptor2 "github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"
	"github.com/google/go-cmp/cmp"
	"github.com/valyala/fasthttp"

	"github.com/pagebeacon/beacon"
)

// A fiberApp is what the two versions of fiber have in common.
type fiberApp interface {
	Server() *fasthttp.Server
	Shutdown() error
}

// fiberConfig is what docs/mounting.md says of fiber's configuration, whose types
// differ.
type fiberConfig struct {
	apart       bool // forms are taken apart, as they are by default
	readTimeout time.Duration
	bodyLimit   int
}

// fibers are the versions, each with the ways to mount in it.
var fibers = []struct {
	name  string
	serve func(c fiberConfig, h *host, use bool) (fiberApp, func(net.Listener) error)
}{
	{"v2", func(c fiberConfig, h *host, use bool) (fiberApp, func(net.Listener) error) {
		app := fiber2.New(fiber2.Config{
			DisablePreParseMultipartForm: !c.apart,
			ReadTimeout:                  c.readTimeout,
			BodyLimit:                    c.bodyLimit,
			DisableStartupMessage:        true,
		})
		if use {
			app.Use(adaptor2.HTTPMiddleware(h.Middleware))
		} else {
			app.All(endpoint, adaptor2.HTTPHandler(h))
		}
		return app, app.Listener
	}},
	{"v3", func(c fiberConfig, h *host, use bool) (fiberApp, func(net.Listener) error) {
		app := fiber.New(fiber.Config{
			DisablePreParseMultipartForm: !c.apart,
			ReadTimeout:                  c.readTimeout,
			BodyLimit:                    c.bodyLimit,
		})
		if use {
			app.Use(adaptor.HTTPMiddleware(h.Middleware))
		} else {
			app.All(endpoint, adaptor.HTTPHandler(h))
		}
		return app, func(ln net.Listener) error {
			return app.Listener(ln, fiber.ListenConfig{DisableStartupMessage: true})
		}
	}},
}

// newFiber has the configuration of docs/mounting.md, whose names are the same in both
// versions.
func newFiber() *fiber.App {
	app := fiber.New(fiber.Config{
		DisablePreParseMultipartForm: true,             // or forms arrive put together anew, in another order
		ReadTimeout:                  10 * time.Second, // there is none by default, and Config.ReadTimeout comes too late
		BodyLimit:                    1 << 20,          // as Config.MaxBody; fiber answers 413 itself
	})
	return app
}

// serveFiber serves over fasthttp, which is not net/http's server.
func serveFiber(t *testing.T, app fiberApp, listen func(net.Listener) error) *site {
	t.Helper()
	app.Server().MaxIdleWorkerDuration = 100 * time.Millisecond // how long its goroutines outlive Shutdown
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- listen(ln) }()
	transport := new(http.Transport)
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := app.Shutdown(); err != nil {
			t.Error(err)
		}
		<-served
	})
	return new(site).reach("http://"+ln.Addr().String(), transport)
}

// TestMountedInFiber is TestMounted for a server that reads the body before it
// asks anyone, takes forms apart unless it is told to leave them, and whose requests
// are made of memory that the next request on the connection overwrites: an event
// that a Sink keeps must not change when the next one comes.
func TestMountedInFiber(t *testing.T) {
	page := newFiber().Config()
	c := fiberConfig{!page.DisablePreParseMultipartForm, page.ReadTimeout, page.BodyLimit}
	for _, f := range fibers {
		for way, use := range map[string]bool{"All": false, "Use": true} {
			t.Run(f.name+"/"+way, func(t *testing.T) {
				t.Parallel()
				h := newHost(t)
				app, listen := f.serve(c, h, use)
				visit{ways[0], serveFiber(t, app, listen), h}.run(t)
			})
		}
	}
}

// inFiber is a handler in each version of fiber, with something of its configuration.
func inFiber(t *testing.T, c fiberConfig, test func(*testing.T, *site, *host)) {
	for _, f := range fibers {
		t.Run(f.name, func(t *testing.T) {
			h := newHost(t)
			app, listen := f.serve(c, h, false)
			test(t, serveFiber(t, app, listen), h)
		})
	}
}

// TestFiberTakesFormsApart holds what happens to a form without that option, for
// docs/mounting.md: what comes is a form that fasthttp put together anew out of
// maps, with the files behind the fields.
func TestFiberTakesFormsApart(t *testing.T) {
	inFiber(t, fiberConfig{apart: true}, func(t *testing.T, s *site, h *host) {
		field := beacon.Field{Name: "msg", Value: "hi"}
		file := beacon.Field{Name: "file", File: &beacon.File{Name: "x.txt", Type: "text/plain", Data: []byte("x")}}

		s.expect(t, s.request(t, beacon.Form{file, field}), http.StatusNoContent, "")
		want := []arrival{{Method: "POST", Origin: s.origin, Body: beacon.Form{field, file}}}
		if diff := cmp.Diff(want, arrivals(h), sameBytes); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// TestFiberBodyLimit: what fiber refuses by itself never reaches the handler.
func TestFiberBodyLimit(t *testing.T) {
	inFiber(t, fiberConfig{bodyLimit: 8 << 10}, func(t *testing.T, s *site, h *host) {
		s.expect(t, s.request(t, beacon.Binary{Data: everyByte(80)}), http.StatusRequestEntityTooLarge, "")
		checkStats(t, h, counts{})
	})
}

// TestFiberReadTimeout: a body that does not come is fiber's to end, too. It does
// so only if it is told to.
func TestFiberReadTimeout(t *testing.T) {
	inFiber(t, fiberConfig{readTimeout: readTimeout}, func(t *testing.T, s *site, h *host) {
		c := s.dial(t)
		c.say(t, "POST "+endpoint+" HTTP/1.1", "Host: "+s.addr(), "Content-Type: text/plain", "Content-Length: 10", "", "01")
		c.hear(t, http.StatusRequestTimeout, "")
		checkStats(t, h, counts{})
	})
}
