package intake

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// Own returns a request whose strings stay as they are, with what of r becomes a part of
// events. The strings of net/http's servers do, and such a request says that it is of
// one. An adapter may make it of a server's own buffers, which that fills again for the
// next visitor: then it is a copy.
func Own(r *http.Request) *http.Request {
	ctx := r.Context()
	if ctx == context.Background() || ctx.Value(http.LocalAddrContextKey) != nil {
		return r
	}
	c := &http.Request{Method: strings.Clone(r.Method), Host: strings.Clone(r.Host), TLS: r.TLS, Header: http.Header{}}
	if r.URL != nil {
		c.URL = &url.URL{Path: strings.Clone(r.URL.Path), RawQuery: strings.Clone(r.URL.RawQuery)}
	}
	for name, values := range r.Header {
		name = strings.Clone(name)
		for _, v := range values {
			c.Header[name] = append(c.Header[name], strings.Clone(v))
		}
	}
	return c
}
