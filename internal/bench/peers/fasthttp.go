package peers

import (
	"bytes"
	"net"
	"strconv"

	"github.com/valyala/fasthttp"
)

// ServeFast serves requests with fasthttp until l is closed. It parses multipart bodies
// before it calls the handler unless it is told not to.
func ServeFast(l net.Listener, h fasthttp.RequestHandler) error {
	s := &fasthttp.Server{Handler: h, DisablePreParseMultipartForm: true, MaxRequestBodySize: maxBody}
	return s.Serve(l)
}

// DrainFast is the floor on fasthttp, which has read the body by then.
func DrainFast(ctx *fasthttp.RequestCtx) { ctx.SetStatusCode(fasthttp.StatusNoContent) }

// FormFast takes a form from fasthttp's own parsers.
func FormFast(take func(*Ended) error) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		v := new(Ended)
		get := func(name string) string { return string(ctx.PostArgs().Peek(name)) } // it reuses its memory
		if bytes.HasPrefix(ctx.Request.Header.ContentType(), []byte("multipart/")) {
			form, err := ctx.MultipartForm()
			if err != nil {
				ctx.Error(err.Error(), fasthttp.StatusBadRequest)
				return
			}
			get = func(name string) string {
				if values := form.Value[name]; len(values) > 0 {
					return values[0]
				}
				return ""
			}
		}
		var err1, err2 error
		v.Start, err1 = strconv.ParseInt(get("start"), 10, 64)
		v.End, err2 = strconv.ParseInt(get("end"), 10, 64)
		v.Msg = get("msg")
		if err1 != nil || err2 != nil {
			ctx.Error("start and end are numbers", fasthttp.StatusBadRequest)
			return
		}
		if err := take(v); err != nil {
			ctx.Error(err.Error(), fasthttp.StatusServiceUnavailable)
			return
		}
		ctx.SetStatusCode(fasthttp.StatusNoContent)
	}
}
