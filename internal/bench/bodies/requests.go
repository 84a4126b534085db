package bodies

import (
	"fmt"
	"net/http"
)

// The host to which all is sent, the path, and the origin of its pages.
const (
	Host   = "localhost:18101"
	Path   = "/log-tracking"
	Origin = "http://" + Host
	Other  = "https://shop.example" // the origin of another site
)

// PixelQuery is that of an image that counts a page view.
const PixelQuery = "e=pageview&url=https%3A%2F%2Fexample.com%2Fproducts%2F42%3Fref%3Dhome&ref=https%3A%2F%2Fexample.com%2F&w=1440&h=900&t=1700000000000&sid=3f9a1c"

const agent = "sec-ch-ua-platform: \"Linux\"\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/156.0.0.0 Safari/537.36\r\n"

const accepts = "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n"

// Post is a beacon of a page of the host's, to the last byte as Chromium sends it.
func (b Body) Post() []byte { return b.post(Origin, "same-origin") }

// PostFrom is one of another site's page.
func (b Body) PostFrom(origin string) []byte { return b.post(origin, "cross-site") }

func (b Body) post(origin, site string) []byte {
	target, coding := Path, ""
	if b.Query != "" {
		target += "?" + b.Query
	}
	if b.Coding != "" {
		coding = "Content-Encoding: " + b.Coding + "\r\n"
	}
	head := "POST " + target + " HTTP/1.1\r\nHost: " + Host + "\r\nConnection: keep-alive\r\n" +
		fmt.Sprintf("Content-Length: %d\r\n", len(b.Data)) + agent +
		"Content-Type: " + b.Type + "\r\n" + coding + "Accept: */*\r\nOrigin: " + origin + "\r\n" +
		"Sec-Fetch-Site: " + site + "\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: empty\r\n" +
		"Referer: " + origin + "/p/main.html?set=full\r\n" + accepts + "\r\n"
	return append([]byte(head), b.Data...)
}

// Header is what b's request has for beacon.Decode, which needs no more.
func (b Body) Header() http.Header {
	h := http.Header{"Content-Type": {b.Type}}
	if b.Coding != "" {
		h["Content-Encoding"] = []string{b.Coding}
	}
	return h
}

// Pixel is the request for an image.
func Pixel() []byte {
	return []byte("GET " + Path + "?" + PixelQuery + " HTTP/1.1\r\nHost: " + Host + "\r\nConnection: keep-alive\r\n" + agent +
		"Accept: image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8\r\n" +
		"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n" +
		"Referer: " + Origin + "/p/main.html\r\n" + accepts + "\r\n")
}

// Ping is what a link with a ping attribute sends.
func Ping() []byte {
	return []byte("POST " + Path + " HTTP/1.1\r\nHost: " + Host + "\r\nConnection: keep-alive\r\nContent-Length: 4\r\n" +
		"Cache-Control: max-age=0\r\nPing-From: " + Origin + "/p/main.html\r\n" + agent +
		"Ping-To: https://example.com/out\r\nContent-Type: text/ping\r\nAccept: */*\r\nOrigin: " + Origin + "\r\n" +
		"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: empty\r\n" + accepts + "\r\nPING")
}

// Preflight asks whether a page of that origin may send JSON.
func Preflight(origin string) []byte {
	return []byte("OPTIONS " + Path + " HTTP/1.1\r\nHost: " + Host + "\r\nConnection: keep-alive\r\nAccept: */*\r\n" +
		"Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\nOrigin: " + origin + "\r\n" +
		agent + "Sec-Fetch-Mode: cors\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Dest: empty\r\nReferer: " + origin + "/\r\n" + accepts + "\r\n")
}
