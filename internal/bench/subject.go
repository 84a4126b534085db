package main

import (
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"

	"github.com/gorilla/schema"
	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/internal/bench/memconn"
	"github.com/pagebeacon/beacon/internal/bench/pair"
)

// A server is a handler that is measured over net/http, with the answer it has to give.
type server struct {
	name    string
	handler http.Handler
	request []byte
	status  int
}

// measure compares the servers with the first, the floor.
func measure(o pair.Options, servers ...server) ([]pair.Result, error) {
	subjects := make([]pair.Subject, 0, len(servers))
	for _, s := range servers {
		client := memconn.New(s.handler, s.request, s.status)
		defer client.Close()
		subjects = append(subjects, pair.Subject{Name: s.name, Run: client.Do})
	}
	return pair.Measure(o, subjects[0], subjects[1:]...)
}

// drain is the floor: it reads what came and says that it has it.
func drain(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.WriteHeader(http.StatusNoContent)
}

// nowhere takes all events.
var nowhere = beacon.SinkFunc(func(context.Context, []beacon.Event) error { return nil })

func newHandler(c beacon.Config) *beacon.Handler {
	if c.Sink == nil {
		c.Sink = nowhere
	}
	h, err := beacon.New(c)
	if err != nil {
		panic(err)
	}
	return h
}

// ended is what a host binds the fields of a session's end to.
type ended struct {
	Start, End int64
	Msg        string
	V          string
}

var onEnded = beacon.On(func(context.Context, beacon.Event, ended) error { return nil })

// What follows is what hosts write without beacon: each fills a value and does no more.

var decoder = func() *schema.Decoder {
	d := schema.NewDecoder()
	d.IgnoreUnknownKeys(true)
	return d
}()

func stdForm(w http.ResponseWriter, r *http.Request) {
	var err error
	if t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); t == "multipart/form-data" {
		err = r.ParseMultipartForm(1 << 20)
	} else {
		err = r.ParseForm()
	}
	var v ended
	if err == nil {
		err = decoder.Decode(&v, r.PostForm)
	}
	answer(w, err)
}

func stdText(w http.ResponseWriter, r *http.Request) {
	_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	answer(w, err)
}

func stdLines(w http.ResponseWriter, r *http.Request) {
	type click struct {
		Event, Target, Path string
		X, Y                int
		Time                int64
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	var clicks []click
	for {
		var v click
		if err := d.Decode(&v); err == io.EOF {
			break
		} else if err != nil {
			answer(w, err)
			return
		}
		clicks = append(clicks, v)
	}
	if len(clicks) == 0 {
		http.Error(w, "no lines", http.StatusBadRequest)
		return
	}
	answer(w, nil)
}

// stdJSON decodes a body into a new T.
func stdJSON[T any](w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err == nil {
		err = json.Unmarshal(b, new(T))
	}
	answer(w, err)
}

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

type (
	vitals struct {
		Event string `json:"event"`
		Items []struct {
			Name  string  `json:"name"`
			Value float64 `json:"value"`
			Tags  []string
		} `json:"items"`
	}
	envelope struct {
		M, K, Sid, Pv, Via, Page string
		At                       float64
		Ev                       []struct {
			N uint64          `json:"n"`
			T float64         `json:"t"`
			E string          `json:"e"`
			D json.RawMessage `json:"d"`
		}
	}
	browserReport struct {
		Age       float64         `json:"age"`
		Type      string          `json:"type"`
		URL       string          `json:"url"`
		UserAgent string          `json:"user_agent"`
		Body      json.RawMessage `json:"body"`
	}
)
