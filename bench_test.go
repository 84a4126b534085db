package beacon

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/pagebeacon/beacon/internal/wire"
)

// The bodies that targets and comparisons are stated for.
var (
	benchMP3      = benchMultipart(3, 0)
	benchMP20File = benchMultipart(20, 2<<10)
	benchMP64K    = benchMultipart(3, 60<<10)
	benchUE3      = "start=1700000000000&end=1700000012345&msg=session+ended+after+a+click+on+%22save%22&v=1.2.3"
	benchUE40     = benchURLEncoded(40)
	benchPixel    = "e=pageview&url=https%3A%2F%2Fexample.com%2Fproducts%2F42%3Fref%3Dhome&ref=https%3A%2F%2Fexample.com%2F&w=1440&h=900&t=1700000000000&sid=3f9a1c"
	benchJ300     = benchJSON(5)
	benchJ4K      = benchJSON(75)
)

var benchLimits = bounds{Limits: Limits{}.withDefaults()}

const benchBoundary = "----WebKitFormBoundaryTmAdoUlni2Uu1c8W"

func benchMultipart(fields, file int) []byte {
	var b bytes.Buffer
	names := []string{"start", "end", "msg"}
	values := []string{"1700000000000", "1700000012345", "session ended after a click on save"}
	for i := range fields {
		name := names[i%3]
		if i >= 3 {
			name = fmt.Sprint(name, i)
		}
		fmt.Fprintf(&b, "--%s\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", benchBoundary, name, values[i%3])
	}
	if file > 0 {
		fmt.Fprintf(&b, "--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"data.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n", benchBoundary)
		rnd := rand.New(rand.NewPCG(1, 2))
		for range file {
			b.WriteByte(byte(rnd.Uint32()))
		}
		b.WriteString("\r\n")
	}
	fmt.Fprintf(&b, "--%s--\r\n", benchBoundary)
	return b.Bytes()
}

func benchURLEncoded(pairs int) string {
	var b strings.Builder
	for i := range pairs {
		fmt.Fprintf(&b, "&field_%d=value+of+%d%%2C+and+more+text", i, i)
	}
	return b.String()[1:]
}

func benchJSON(items int) []byte {
	type item struct {
		Name  string  `json:"name"`
		Value float64 `json:"value"`
		Tags  []string
	}
	var v struct {
		Event string `json:"event"`
		Items []item `json:"items"`
	}
	v.Event = "web-vitals"
	for i := range items {
		v.Items = append(v.Items, item{"LCP", 1234.5 + float64(i), []string{"good", "x"}})
	}
	b, _ := json.Marshal(v)
	return b
}

func BenchmarkDecode(b *testing.B) {
	multipartCase := func(name string, body []byte) {
		b.Run(name, func(b *testing.B) {
			benchCPU(b, len(body), func() {
				// Owned: the copy stands for reading the body into its own buffer.
				if _, err := parseMultipart(bytes.Clone(body), benchBoundary, &benchLimits); err != nil {
					b.Fatal(err)
				}
			})
		})
		b.Run(name+"/stdlib", func(b *testing.B) {
			_, params, _ := mime.ParseMediaType("multipart/form-data; boundary=" + benchBoundary)
			benchCPU(b, len(body), func() {
				f, err := multipart.NewReader(bytes.NewReader(body), params["boundary"]).ReadForm(1 << 20)
				if err != nil || len(f.Value) == 0 {
					b.Fatal(err)
				}
			})
		})
	}
	multipartCase("mp3", benchMP3)
	multipartCase("mp20file", benchMP20File)
	multipartCase("mp64k", benchMP64K)

	urlencodedCase := func(name, body string) {
		b.Run(name, func(b *testing.B) {
			benchCPU(b, len(body), func() {
				if _, _, err := parseURLEncoded(body, &benchLimits); err != nil {
					b.Fatal(err)
				}
			})
		})
		b.Run(name+"/stdlib", func(b *testing.B) {
			benchCPU(b, len(body), func() {
				if v, err := url.ParseQuery(body); err != nil || len(v) == 0 {
					b.Fatal(err)
				}
			})
		})
	}
	urlencodedCase("ue3", benchUE3)
	urlencodedCase("ue40", benchUE40)
	urlencodedCase("pixel", benchPixel)

	jsonCase := func(name string, body []byte) {
		b.Run(name, func(b *testing.B) {
			benchCPU(b, len(body), func() {
				if wire.CheckJSON(body, benchLimits.MaxDepth) != wire.JSONValid {
					b.Fatal("invalid")
				}
			})
		})
		b.Run(name+"/stdlib", func(b *testing.B) {
			benchCPU(b, len(body), func() {
				if !json.Valid(body) {
					b.Fatal("invalid")
				}
			})
		})
	}
	jsonCase("j300", benchJ300)
	jsonCase("j4k", benchJ4K)

	// Bodies that try to be expensive, for each byte they cost the sender.
	hostile := map[string][]byte{
		"hostile/cr":        []byte("--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n" + strings.Repeat("\r", 64<<10) + "\r\n--B--\r\n"),
		"hostile/delimiter": []byte("--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n" + strings.Repeat("\r\n--", 16<<10) + "\r\n--B--\r\n"),
		"hostile/header":    []byte("--B\r\n" + strings.Repeat("a:b\r\n", 13<<10) + "\r\n\r\n--B--\r\n"),
	}
	for name, body := range hostile {
		b.Run(name, func(b *testing.B) {
			benchCPU(b, len(body), func() {
				if _, err := parseMultipart(body, "B", &benchLimits); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
	b.Run("hostile/ampersands", func(b *testing.B) {
		body := strings.Repeat("&", 64<<10)
		benchCPU(b, len(body), func() { _, _, _ = parseURLEncoded(body, &benchLimits) })
	})
	b.Run("hostile/percent", func(b *testing.B) {
		body := strings.Repeat("%", 64<<10)
		benchCPU(b, len(body), func() { _, _, _ = parseURLEncoded(body, &benchLimits) })
	})
	b.Run("hostile/brackets", func(b *testing.B) {
		body := bytes.Repeat([]byte("["), 64<<10)
		benchCPU(b, len(body), func() { wire.CheckJSON(body, 1<<20) })
	})
}

// BenchmarkEventJSON measures the JSON form of events that came from a browser:
// what a durable sink does for each.
func BenchmarkEventJSON(b *testing.B) {
	const textType = "text/plain;charset=UTF-8"
	cases := []struct {
		name        string
		contentType string
		body        []byte
	}{
		{"form", "multipart/form-data; boundary=" + benchBoundary, benchMP3},
		{"j300", textType, benchJ300},
		{"j4k", textType, benchJ4K},
		{"j300escaped", textType, bytes.ReplaceAll(benchJ300, []byte("LCP"), []byte("/?a=1&b=2"))},
		{"text64k", textType, bytes.Repeat([]byte("some text "), 6554)},
		{"cyrillic64k", textType, []byte(strings.Repeat("немного текста ", 2400))},
	}
	for _, c := range cases {
		e := benchEvent(b, c.contentType, c.body)
		text, err := e.AppendJSON(nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name+"/append", func(b *testing.B) {
			benchCPU(b, len(text), func() { text, _ = e.AppendJSON(text[:0]) })
		})
		b.Run(c.name+"/marshal", func(b *testing.B) {
			benchCPU(b, len(text), func() { _, _ = json.Marshal(&e) })
		})
		b.Run(c.name+"/unmarshal", func(b *testing.B) {
			benchCPU(b, len(text), func() {
				var back Event
				if err := json.Unmarshal(text, &back); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// benchEvent is the event that a beacon of Chromium's becomes.
func benchEvent(t testing.TB, contentType string, body []byte) (e Event) {
	t.Helper()
	h, err := New(Config{Sink: SinkFunc(func(_ context.Context, events []Event) error {
		e = events[0]
		return nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(benchPost(contentType, body))))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != http.StatusNoContent {
		t.Fatalf("%s: %d %s", contentType, w.Code, w.Body)
	}
	return e
}

// benchCPU runs f b.N times and reports the CPU time that the process spent, which
// on a shared machine says more than the clock on the wall.
func benchCPU(b *testing.B, size int, f func()) {
	b.ReportAllocs()
	b.SetBytes(int64(size))
	start := cpuTime()
	n := 0
	for b.Loop() {
		f()
		n++
	}
	b.ReportMetric(float64(cpuTime()-start)/float64(n), "cpu-ns/op")
}

// benchPost is a beacon with the headers that Chromium sends.
func benchPost(contentType string, body []byte) []byte {
	head := "POST /log-tracking HTTP/1.1\r\nHost: localhost:18101\r\nConnection: keep-alive\r\n" +
		fmt.Sprintf("Content-Length: %d\r\n", len(body)) +
		"sec-ch-ua-platform: \"Linux\"\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/156.0.0.0 Safari/537.36\r\n" +
		"Content-Type: " + contentType + "\r\nAccept: */*\r\nOrigin: http://localhost:18101\r\n" +
		"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: empty\r\n" +
		"Referer: http://localhost:18101/p/main.html?set=full\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n\r\n"
	return append([]byte(head), body...)
}
