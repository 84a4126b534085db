package main

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"testing"

	"github.com/pagebeacon/beacon/internal/example"
)

// TestMinimal sends what the README's curl does.
func TestMinimal(t *testing.T) {
	p := example.Start(t, ".")
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for _, f := range [][2]string{{"msg", "bye"}, {"start", "1700000000000"}, {"end", "1700000012340"}} {
		if err := form.WriteField(f[0], f[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	res, err := http.Post(p.URLs[0]+"/log-tracking", form.FormDataContentType(), &body)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		t.Error(res.Status)
	}
	p.Says(`"bye" on "", in session for 12\.34 seconds`)
}
