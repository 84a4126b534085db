package hosts

import (
	"context"
	"net/http"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/gorilla/mux"
	"github.com/julienschmidt/httprouter"
	"github.com/labstack/echo/v4"
	echo5 "github.com/labstack/echo/v5"
	"github.com/uptrace/bunrouter"

	"github.com/pagebeacon/beacon"
)

// TestMounted makes a whole visit to a handler in each router, in each way in
// which that router can take one.
func TestMounted(t *testing.T) {
	for _, tt := range []struct {
		name string
		path string // of the endpoint, if it is not the usual one
		app  func(h *host) http.Handler
	}{
		{name: "net-http/handler", app: func(h *host) http.Handler { return h.Handler }},
		{name: "net-http/middleware", app: func(h *host) http.Handler { return h.Middleware(app) }},
		{name: "ServeMux/Handle", app: func(h *host) http.Handler {
			m := http.NewServeMux()
			m.Handle("/", app)
			m.Handle(endpoint, h)
			return m
		}},
		{name: "ServeMux/subtree", path: endpoint + "/v1", app: func(h *host) http.Handler {
			m := http.NewServeMux()
			m.Handle("/", app)
			m.Handle(endpoint+"/", h)
			return m
		}},
		{name: "ServeMux/middleware", app: func(h *host) http.Handler {
			m := http.NewServeMux()
			m.Handle("GET /", app)
			return h.Middleware(m)
		}},
		{name: "StripPrefix/handler", path: "/app" + endpoint, app: func(h *host) http.Handler {
			return http.StripPrefix("/app", h)
		}},
		{name: "StripPrefix/middleware", path: "/app" + endpoint, app: func(h *host) http.Handler {
			return http.StripPrefix("/app", h.Middleware(app))
		}},
		{name: "chi/Handle", app: func(h *host) http.Handler {
			r := chi.NewRouter()
			r.Handle(endpoint, h)
			return r
		}},
		{name: "chi/Use", app: func(h *host) http.Handler {
			r := chi.NewRouter()
			r.Use(h.Middleware)
			r.Handle("/", app) // without any route chi runs no middleware
			return r
		}},
		{name: "chi/Mount", app: func(h *host) http.Handler {
			r := chi.NewRouter()
			r.Mount(endpoint, h)
			return r
		}},
		{name: "gorilla-mux/Handle", app: func(h *host) http.Handler {
			r := mux.NewRouter()
			r.Handle(endpoint, h)
			return r
		}},
		{name: "gorilla-mux/outside", app: func(h *host) http.Handler {
			r := mux.NewRouter()
			r.Handle("/", app)
			return h.Middleware(r)
		}},
		{name: "gin/Any", app: func(h *host) http.Handler { return inGin(h) }},
		{name: "gin/outside", app: func(h *host) http.Handler {
			r := gin.New()
			r.Any("/", gin.WrapH(app))
			return h.Middleware(r)
		}},
		{name: "echo/Any", app: func(h *host) http.Handler { return inEcho(h) }},
		{name: "echo/Use", app: func(h *host) http.Handler {
			e := echo.New()
			e.Use(echo.WrapMiddleware(h.Middleware))
			return e
		}},
		{name: "echo/Pre", app: func(h *host) http.Handler {
			e := echo.New()
			e.Pre(echo.WrapMiddleware(h.Middleware))
			return e
		}},
		{name: "echo5/Any", app: func(h *host) http.Handler {
			e := echo5.New()
			e.Any(endpoint, echo5.WrapHandler(h))
			return e
		}},
		{name: "echo5/Use", app: func(h *host) http.Handler {
			e := echo5.New()
			e.Use(echo5.WrapMiddleware(h.Middleware))
			return e
		}},
		{name: "echo5/Pre", app: func(h *host) http.Handler {
			e := echo5.New()
			e.Pre(echo5.WrapMiddleware(h.Middleware))
			return e
		}},
		{name: "bunrouter/Handle", app: func(h *host) http.Handler {
			r := bunrouter.New()
			for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS"} {
				r.Compat().Handle(method, endpoint, h.ServeHTTP)
			}
			return r
		}},
		{name: "bunrouter/outside", app: func(h *host) http.Handler {
			r := bunrouter.New()
			r.Compat().GET("/", app)
			return h.Middleware(r)
		}},
		{name: "httprouter/Handler", app: func(h *host) http.Handler {
			r := httprouter.New()
			for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS"} {
				r.Handler(method, endpoint, h)
			}
			return r
		}},
		{name: "httprouter/outside", app: func(h *host) http.Handler {
			r := httprouter.New()
			r.Handler("GET", "/", app)
			return h.Middleware(r)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			s := serve(t, tt.app(h))
			if tt.path != "" {
				s = s.at(tt.path)
			}
			visit{ways[0], s, h}.run(t)
		})
	}
}

// inGin mounts h in gin, behind middleware of its own.
func inGin(h http.Handler, use ...gin.HandlerFunc) http.Handler {
	r := gin.New()
	r.Use(use...)
	r.Any(endpoint, gin.WrapH(h))
	return r
}

// inEcho does the same in echo.
func inEcho(h http.Handler, use ...echo.MiddlewareFunc) http.Handler {
	e := echo.New()
	e.Use(use...)
	e.Any(endpoint, echo.WrapHandler(h))
	return e
}

// TestMethodInPattern holds the commonest mistake: a route for POST takes the
// beacons of the host's own pages, and answers pixels and preflights itself, so
// that what is behind a preflight is never sent.
func TestMethodInPattern(t *testing.T) {
	for _, tt := range []struct {
		name    string
		refused int // the status of what has no route
		app     func(h *host) http.Handler
	}{
		{"ServeMux", http.StatusMethodNotAllowed, func(h *host) http.Handler {
			m := http.NewServeMux()
			m.Handle("POST "+endpoint, h)
			return m
		}},
		{"chi", http.StatusMethodNotAllowed, func(h *host) http.Handler {
			r := chi.NewRouter()
			r.Method("POST", endpoint, h)
			return r
		}},
		{"gorilla-mux", http.StatusMethodNotAllowed, func(h *host) http.Handler {
			r := mux.NewRouter()
			r.Handle(endpoint, h).Methods("POST")
			return r
		}},
		{"gin", http.StatusNotFound, func(h *host) http.Handler {
			r := gin.New()
			r.POST(endpoint, gin.WrapH(h))
			return r
		}},
		{"echo", http.StatusMethodNotAllowed, func(h *host) http.Handler {
			e := echo.New()
			e.POST(endpoint, echo.WrapHandler(h))
			return e
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			s := serve(t, tt.app(h))
			s.expect(t, s.request(t, jsonBody), http.StatusNoContent, "")
			s.expect(t, s.pixelRequest(t, "a=1"), tt.refused, "")
			// Some routers answer OPTIONS with 204, but none with the headers.
			a := s.do(t, s.preflightRequest(t, listed))
			if allowed := a.Header.Get("Access-Control-Allow-Origin"); allowed != "" {
				t.Errorf("the preflight allows %q", allowed)
			}
			checkStats(t, h, counts{Delivered: 1, Events: 1})
		})
	}
}

// TestGorillaUse holds that gorilla/mux runs its middleware only for requests that
// match a route, and nothing matches the endpoint. TestMounted has what to write
// instead.
func TestGorillaUse(t *testing.T) {
	h := newHost(t)
	r := mux.NewRouter()
	r.Use(h.Middleware)
	r.Handle("/", app)
	s := serve(t, r)
	s.expect(t, s.request(t, jsonBody), http.StatusNotFound, "")
	checkStats(t, h, counts{})
}

// TestUser: who the user is can be told in Enrich if the endpoint is inside the
// host's authentication, and not if the handler is the outermost.
func TestUser(t *testing.T) {
	type userKey struct{}
	authenticate := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, "alice")))
		})
	}
	enrich := func(c *beacon.Config) {
		c.Enrich = func(r *http.Request, e *beacon.Event) error {
			user, _ := r.Context().Value(userKey{}).(string)
			e.Attrs = map[string]string{"user": user}
			return nil
		}
	}
	for _, tt := range []struct {
		name, want string
		app        func(h *host) http.Handler
	}{
		{"inside", "alice", func(h *host) http.Handler { return authenticate(h) }},
		{"middleware inside", "alice", func(h *host) http.Handler { return authenticate(h.Middleware(app)) }},
		{"outside", "", func(h *host) http.Handler { return h.Middleware(authenticate(app)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t, enrich)
			s := serve(t, tt.app(h))
			s.expect(t, s.request(t, jsonBody), http.StatusNoContent, "")
			if got := h.events.Events()[0].Attrs["user"]; got != tt.want {
				t.Errorf("user %q, want %q", got, tt.want)
			}
		})
	}
}
