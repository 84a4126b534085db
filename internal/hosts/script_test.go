package hosts

import (
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"io"
	"net/http"
	"testing"

	"github.com/andybalholm/brotli"
	gingzip "github.com/gin-contrib/gzip"
	"github.com/gin-gonic/gin"
	chimiddleware "github.com/go-chi/chi/v5/middleware"
	"github.com/klauspost/compress/gzhttp"
	"github.com/klauspost/compress/zstd"
	"github.com/labstack/echo/v4"
	echomiddleware "github.com/labstack/echo/v4/middleware"

	"github.com/pagebeacon/beacon/client"
)

// TestScriptCompressedOnce: who loads the script has it, whatever compresses answers on
// the way. The gzip of echo and of gin would do so to what is compressed as well.
func TestScriptCompressedOnce(t *testing.T) {
	for name, wrap := range map[string]func(http.Handler) http.Handler{
		"chi":    chimiddleware.Compress(5, "text/*"),
		"gzhttp": func(next http.Handler) http.Handler { return gzhttp.GzipHandler(next) },
		"echo": func(next http.Handler) http.Handler {
			e := echo.New()
			e.Use(echomiddleware.Gzip())
			e.Any("/*", echo.WrapHandler(next))
			return e
		},
		"gin": func(next http.Handler) http.Handler {
			e := gin.New()
			e.Use(gingzip.Gzip(gingzip.BestSpeed))
			e.Any("/*path", gin.WrapH(next))
			return e
		},
	} {
		h := newHost(t)
		s := serve(t, wrap(h.Middleware(app)))
		for _, accept := range []string{"gzip, deflate, br, zstd", "gzip", "br", "identity", "gzip;q=0, br", "br;q=0, *"} {
			t.Run(name+"/"+accept, func(t *testing.T) {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.origin+h.ScriptURL(), nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Accept-Encoding", accept)
				res, err := s.client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = res.Body.Close() }()
				body, err := io.ReadAll(res.Body)
				if err != nil {
					t.Fatal(err)
				}
				coding := res.Header.Get("Content-Encoding")
				script, err := decode(coding, body)
				if err != nil {
					t.Fatal(err)
				}
				sum := sha512.Sum384(script)
				if got := "sha384-" + base64.StdEncoding.EncodeToString(sum[:]); res.StatusCode != http.StatusOK || got != client.Integrity(client.Script) {
					t.Errorf("%d, as %q: %d bytes that are not the script", res.StatusCode, coding, len(script))
				}
				if res.Header.Get("Vary") == "" || res.Header.Get("ETag") == "" {
					t.Errorf("as %q: %v", coding, res.Header)
				}
			})
		}
	}
}

func decode(coding string, b []byte) ([]byte, error) {
	switch coding {
	case "br":
		return io.ReadAll(brotli.NewReader(bytes.NewReader(b)))
	case "gzip":
		r, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	case "zstd":
		r, err := zstd.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(r)
	}
	return b, nil
}
