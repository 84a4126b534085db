package hosts

import (
	"context"
	"net/http"
	"strings"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/sink"
)

// oneHandler is for sites that share a store: an event says which one it is of.
func oneHandler(shop, blog beacon.Sink) (http.Handler, error) {
	sink := sink.Tee(
		sink.Required(sink.Filter(shop, ofSite("shop.example"))),
		sink.Required(sink.Filter(blog, ofSite("blog.example"))),
	)
	h, err := beacon.New(beacon.Config{
		Sink:  sink,
		Hosts: []string{"shop.example", "blog.example"}, // others are refused
		Enrich: func(r *http.Request, e *beacon.Event) error {
			site, _, _ := strings.Cut(strings.ToLower(r.Host), ":") // Hosts takes any port, and capitals
			e.Attrs = map[string]string{"site": site}
			return nil
		},
	})
	return h, err
}

func ofSite(site string) func(beacon.Event) bool {
	return func(e beacon.Event) bool { return e.Attrs["site"] == site }
}

// handlerEach is for sites that share nothing but the process.
func handlerEach(shopSink, blogSink beacon.Sink) (http.Handler, error) {
	shop, err := beacon.New(beacon.Config{Sink: shopSink})
	if err != nil {
		return nil, err
	}
	blog, err := beacon.New(beacon.Config{Sink: blogSink})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("shop.example/_pb", shop)
	mux.Handle("blog.example/_pb", blog)
	return mux, nil
}

func contextWithUser(r *http.Request, user string) context.Context {
	return context.WithValue(r.Context(), userKey{}, user)
}

// otherDomains is for pages that are not the handler's own.
func otherDomains(events beacon.Sink) (*beacon.Handler, error) {
	h, err := beacon.New(beacon.Config{
		Sink:    events,
		Origins: []string{"https://shop.example", "https://*.blog.example"}, // the second is for all below it
	})
	return h, err
}
