// Package peers has what a host would write without beacon, as well as it would be
// written: handlers for the bodies that are measured, on the standard library and on
// fasthttp, a server on Express, and databases that have what came on disk before the
// answer.
package peers

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"

	"github.com/gorilla/schema"
)

// The values that bodies are decoded to.
type (
	// Ended is a form at the end of a session.
	Ended struct {
		Start, End int64
		Msg        string
	}

	// Vitals are measurements of a page.
	Vitals struct {
		Event string `json:"event"`
		Items []struct {
			Name  string  `json:"name"`
			Value float64 `json:"value"`
			Tags  []string
		} `json:"items"`
	}

	// Envelope is what the browser client sends: several events of one page view.
	Envelope struct {
		Mode    string  `json:"m"`
		Series  string  `json:"k"`
		Session string  `json:"sid"`
		View    string  `json:"pv"`
		Page    string  `json:"page"`
		At      float64 `json:"at"`
		Events  []struct {
			Seq  uint64          `json:"n"`
			Time float64         `json:"t"`
			Name string          `json:"e"`
			Data json.RawMessage `json:"d"`
		} `json:"ev"`
	}
)

// maxBody is what a careful host lets in.
const maxBody = 1 << 20

// Drain is the floor: it reads the body and answers 204.
func Drain(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.WriteHeader(http.StatusNoContent)
}

var decoder = func() *schema.Decoder {
	d := schema.NewDecoder()
	d.IgnoreUnknownKeys(true)
	return d
}()

// Form binds a multipart or urlencoded form.
func Form(take func(*Ended) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		var err error
		if t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); t == "multipart/form-data" {
			err = r.ParseMultipartForm(maxBody)
		} else {
			err = r.ParseForm()
		}
		v := new(Ended)
		if err == nil {
			err = decoder.Decode(v, r.PostForm)
		}
		answer(w, v, err, take)
	}
}

// JSON decodes a body to a T.
func JSON[T any](take func(*T) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := new(T)
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err == nil {
			err = json.Unmarshal(b, v)
		}
		answer(w, v, err, take)
	}
}

// answer answers 204 if what came was understood and is taken.
func answer[T any](w http.ResponseWriter, v *T, err error, take func(*T) error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := take(v); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
