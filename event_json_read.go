package beacon

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"time"

	"github.com/pagebeacon/beacon/internal/wire"
)

// UnmarshalJSON reads what MarshalJSON writes. It ignores members it does not
// know and refuses a version or a kind of body it does not know. It does not keep b.
func (e *Event) UnmarshalJSON(b []byte) error {
	if wire.CheckJSON(b, wire.MaxJSONDepth+2) != wire.JSONValid {
		return errors.New("beacon: event: not valid JSON")
	}
	var x Event
	version := uint64(0)
	err := eachMember(bytes.Clone(b), func(key string, v []byte) (err error) {
		switch key {
		case "v":
			version, err = readUint(v)
		case "id":
			x.ID, err = readString(v)
		case "name":
			x.Name, err = readString(v)
		case "time":
			x.Time, err = readTime(v)
		case "received":
			x.Received, err = readTime(v)
		case "sent":
			x.Sent, err = readTime(v)
		case "body":
			x.Body, err = readBody(v)
		case "query":
			x.Query, err = readForm(v)
		case "page":
			x.Page, err = readString(v)
		case "session":
			x.Session, err = readString(v)
		case "view":
			x.View, err = readString(v)
		case "series":
			x.Series, err = readString(v)
		case "seq":
			x.Seq, err = readUint(v)
		case "mode":
			err = readInto((*string)(&x.Mode), v)
		case "request":
			err = readRequest(&x.Request, v)
		case "verified":
			x.Verified, err = readBool(v)
		case "gpc":
			x.Privacy.GPC, err = readBool(v)
		case "dnt":
			x.Privacy.DNT, err = readBool(v)
		case "attrs":
			x.Attrs, err = readAttrs(v)
		case "errors":
			x.Errors, err = readErrors(v)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("beacon: event: %w", err)
	}
	if version != eventVersion {
		return fmt.Errorf("beacon: event: version %d, want %d", version, eventVersion)
	}
	x.unpin(len(b)) // base64 takes more room than what it stands for
	*e = x
	return nil
}

// eachMember calls f with the members of an object but for those that are null.
func eachMember(b []byte, f func(key string, v []byte) error) error {
	m, ok := wire.MembersOf(b)
	if !ok {
		return unexpected("an object", b)
	}
	for key, v, ok := m.Next(); ok; key, v, ok = m.Next() {
		if wire.IsJSONNull(v) {
			continue
		}
		if err := f(key, v); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// elements returns the elements of an array.
func elements(b []byte) ([][]byte, error) {
	items, ok := wire.SplitJSONArray(b, math.MaxInt)
	if !ok {
		return nil, unexpected("an array", b)
	}
	return items, nil
}

func unexpected(want string, got []byte) error {
	return fmt.Errorf("want %s, not %.64s", want, got)
}

// readString reads a string of any bytes: a JSON string, or {"base64": "…"} where
// that would change it.
func readString(v []byte) (s string, err error) {
	if s, ok := wire.JSONString(v); ok {
		return s, nil
	}
	err = eachMember(v, func(key string, v []byte) (err error) {
		if key == "base64" {
			var data []byte
			data, err = readBase64(v)
			s = wire.Text(data)
		}
		return err
	})
	return s, err
}

func readInto(dst *string, v []byte) (err error) {
	*dst, err = readString(v)
	return err
}

func readBase64(v []byte) ([]byte, error) {
	s, ok := wire.JSONString(v)
	if !ok {
		return nil, unexpected("base64", v)
	}
	return base64.StdEncoding.DecodeString(s)
}

func readUint(v []byte) (uint64, error) {
	n, ok := wire.JSONUint(v)
	if !ok {
		return 0, unexpected("a number", v)
	}
	return n, nil
}

func readBool(v []byte) (bool, error) {
	switch string(v) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, unexpected("true or false", v)
}

func readTime(v []byte) (t time.Time, err error) {
	return t, t.UnmarshalJSON(v)
}

func readRequest(r *Request, v []byte) error {
	return eachMember(v, func(key string, v []byte) (err error) {
		switch key {
		case "id":
			r.ID, err = readString(v)
		case "method":
			r.Method, err = readString(v)
		case "host":
			r.Host, err = readString(v)
		case "path":
			r.Path, err = readString(v)
		case "content_type":
			r.ContentType, err = readString(v)
		case "encoding":
			r.Encoding, err = readString(v)
		case "origin":
			r.Origin, err = readString(v)
		case "user_agent":
			r.UserAgent, err = readString(v)
		case "fetch_site":
			r.FetchSite, err = readString(v)
		case "fetch_mode":
			r.FetchMode, err = readString(v)
		case "fetch_dest":
			r.FetchDest, err = readString(v)
		case "purpose":
			r.Purpose, err = readString(v)
		case "client_ip":
			var s string
			if s, err = readString(v); err == nil && s != "" {
				r.ClientIP, err = netip.ParseAddr(s)
			}
		case "tls":
			r.TLS, err = readBool(v)
		}
		return err
	})
}

// readBody reads any Body. The kinds have their members in common.
func readBody(v []byte) (Body, error) {
	var (
		kind, text, typ, from, to, url, userAgent string
		raw, data                                 []byte
		isRaw                                     bool
		form                                      Form
		age                                       int64
	)
	err := eachMember(v, func(key string, v []byte) (err error) {
		switch key {
		case "kind":
			kind, err = readString(v)
		case "text":
			text, err = readString(v)
		case "json":
			if !isRaw {
				raw = v
			}
		case "raw":
			var s string
			s, err = readString(v)
			raw, isRaw = []byte(s), true
		case "fields":
			form, err = readForm(v)
		case "type":
			typ, err = readString(v)
		case "data":
			data, err = readBase64(v)
		case "from":
			from, err = readString(v)
		case "to":
			to, err = readString(v)
		case "url":
			url, err = readString(v)
		case "user_agent":
			userAgent, err = readString(v)
		case "age_ns":
			if age, err = strconv.ParseInt(wire.Text(v), 10, 64); err != nil {
				err = unexpected("a number", v)
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if raw != nil && !isRaw && !wire.PlainJSON(raw) {
		var exact bytes.Buffer // without what an indenting encoder put in
		if err := json.Compact(&exact, raw); err == nil {
			raw = exact.Bytes()
		}
	}
	switch kind {
	case "empty":
		return Empty{}, nil
	case "text":
		return Text(text), nil
	case "json":
		return JSON(raw), nil
	case "form":
		return form, nil
	case "binary":
		return Binary{Type: typ, Data: data}, nil
	case "ping":
		return Ping{From: from, To: to}, nil
	case "report":
		return Report{Type: typ, URL: url, UserAgent: userAgent, Age: time.Duration(age), Body: raw}, nil
	}
	return nil, fmt.Errorf("unknown kind %q", kind)
}

// readForm reads a Form, which is not nil: a request with an empty query is not one
// without.
func readForm(v []byte) (Form, error) {
	items, err := elements(v)
	if err != nil {
		return nil, err
	}
	form := make(Form, len(items))
	for i, item := range items {
		f := &form[i]
		err := eachMember(item, func(key string, v []byte) (err error) {
			switch key {
			case "name":
				f.Name, err = readString(v)
			case "value":
				f.Value, err = readString(v)
			case "file":
				f.File = new(File)
				err = readFile(f.File, v)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return form, nil
}

func readFile(f *File, v []byte) error {
	return eachMember(v, func(key string, v []byte) (err error) {
		switch key {
		case "name":
			f.Name, err = readString(v)
		case "type":
			f.Type, err = readString(v)
		case "data":
			f.Data, err = readBase64(v)
		}
		return err
	})
}

func readAttrs(v []byte) (map[string]string, error) {
	form, err := readForm(v) // it has the same form
	if err != nil {
		return nil, err
	}
	attrs := make(map[string]string, len(form))
	for _, f := range form {
		attrs[f.Name] = f.Value
	}
	return attrs, nil
}

func readErrors(v []byte) ([]FieldError, error) {
	items, err := elements(v)
	if err != nil {
		return nil, err
	}
	list := make([]FieldError, len(items))
	for i, item := range items {
		x := &list[i]
		err := eachMember(item, func(key string, v []byte) (err error) {
			switch key {
			case "key":
				x.Key, err = readString(v)
			case "value":
				x.Value, err = readString(v)
			case "reason":
				x.Reason, err = readString(v)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}
