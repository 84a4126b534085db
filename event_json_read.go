package beacon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/pagebeacon/beacon/internal/wire"
)

// UnmarshalJSON reads what MarshalJSON writes. It ignores members it does not
// know and refuses a version or a kind of body it does not know. It does not keep b.
func (e *Event) UnmarshalJSON(b []byte) error {
	scan := wire.ScanJSON(b, wire.MaxJSONDepth+2)
	if scan.Status != wire.JSONValid {
		return errors.New("beacon: event: not valid JSON")
	}
	var x Event
	version := uint64(0)
	err := wire.EachMember(bytes.Clone(b), func(key string, v []byte) (err error) {
		switch key {
		case "v":
			version, err = wire.ReadUint(v)
		case "id":
			x.ID, err = wire.ReadString(v)
		case "name":
			x.Name, err = wire.ReadString(v)
		case "time":
			x.Time, err = readTime(v)
		case "received":
			x.Received, err = readTime(v)
		case "sent":
			x.Sent, err = readTime(v)
		case "body":
			x.Body, err = readBody(v, scan.Spaced)
		case "query":
			x.Query, err = readForm(v)
		case "page":
			x.Page, err = wire.ReadString(v)
		case "session":
			x.Session, err = wire.ReadString(v)
		case "view":
			x.View, err = wire.ReadString(v)
		case "series":
			x.Series, err = wire.ReadString(v)
		case "seq":
			x.Seq, err = wire.ReadUint(v)
		case "mode":
			var mode string
			mode, err = wire.ReadString(v)
			x.Mode = Mode(mode)
		case "request":
			err = readRequest(&x.Request, v)
		case "verified":
			x.Verified, err = wire.ReadBool(v)
		case "gpc":
			x.Privacy.GPC, err = wire.ReadBool(v)
		case "dnt":
			x.Privacy.DNT, err = wire.ReadBool(v)
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

func readTime(v []byte) (t time.Time, err error) {
	err = t.UnmarshalJSON(v)
	return t, err
}

func readRequest(r *Request, v []byte) error {
	return wire.EachMember(v, func(key string, v []byte) (err error) {
		switch key {
		case "client_ip":
			var s string
			if s, err = wire.ReadString(v); err == nil && s != "" {
				r.ClientIP, err = netip.ParseAddr(s)
			}
		case "tls":
			r.TLS, err = wire.ReadBool(v)
		case "id":
			r.ID, err = wire.ReadString(v)
		case "method":
			r.Method, err = wire.ReadString(v)
		case "host":
			r.Host, err = wire.ReadString(v)
		case "path":
			r.Path, err = wire.ReadString(v)
		case "content_type":
			r.ContentType, err = wire.ReadString(v)
		case "encoding":
			r.Encoding, err = wire.ReadString(v)
		case "origin":
			r.Origin, err = wire.ReadString(v)
		case "user_agent":
			r.UserAgent, err = wire.ReadString(v)
		case "fetch_site":
			r.FetchSite, err = wire.ReadString(v)
		case "fetch_mode":
			r.FetchMode, err = wire.ReadString(v)
		case "fetch_dest":
			r.FetchDest, err = wire.ReadString(v)
		case "purpose":
			r.Purpose, err = wire.ReadString(v)
		}
		return err
	})
}

// readBody reads any Body, from a text that may have white space in it. The kinds have
// their members in common.
func readBody(v []byte, spaced bool) (Body, error) {
	if wire.IsJSONNull(v) {
		return nil, nil
	}
	var (
		kind, text, typ, from, to, url, userAgent string
		raw, data                                 []byte
		isRaw                                     bool
		form                                      Form
		age                                       int64
	)
	err := wire.EachMember(v, func(key string, v []byte) (err error) {
		switch key {
		case "kind":
			kind, err = wire.ReadString(v)
		case "text":
			text, err = wire.ReadString(v)
		case "json":
			if !isRaw {
				raw = v
			}
		case "raw":
			if !wire.IsJSONNull(v) {
				var s string
				s, err = wire.ReadString(v)
				raw, isRaw = []byte(s), true
			}
		case "fields":
			form, err = readForm(v)
		case "type":
			typ, err = wire.ReadString(v)
		case "data":
			data, err = wire.ReadBase64(v)
		case "from":
			from, err = wire.ReadString(v)
		case "to":
			to, err = wire.ReadString(v)
		case "url":
			url, err = wire.ReadString(v)
		case "user_agent":
			userAgent, err = wire.ReadString(v)
		case "age_ns":
			if wire.IsJSONNull(v) {
				age = 0
			} else if age, err = strconv.ParseInt(wire.Text(v), 10, 64); err != nil {
				err = wire.Unexpected("a number", v)
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if spaced && raw != nil && !isRaw {
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
	items, n, err := wire.ReadElements(v)
	if err != nil || wire.IsJSONNull(v) {
		return nil, err
	}
	form := make(Form, n)
	for i := range form {
		item, _ := items.Next()
		f := &form[i]
		err := wire.EachMember(item, func(key string, v []byte) (err error) {
			switch key {
			case "name":
				f.Name, err = wire.ReadString(v)
			case "value":
				f.Value, err = wire.ReadString(v)
			case "file":
				if !wire.IsJSONNull(v) {
					f.File = new(File)
					err = readFile(f.File, v)
				}
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
	return wire.EachMember(v, func(key string, v []byte) (err error) {
		switch key {
		case "name":
			f.Name, err = wire.ReadString(v)
		case "type":
			f.Type, err = wire.ReadString(v)
		case "data":
			f.Data, err = wire.ReadBase64(v)
		}
		return err
	})
}

func readAttrs(v []byte) (map[string]string, error) {
	form, err := readForm(v) // it has the same form
	if err != nil || form == nil {
		return nil, err
	}
	attrs := make(map[string]string, len(form))
	for _, f := range form {
		attrs[f.Name] = f.Value
	}
	return attrs, nil
}

func readErrors(v []byte) ([]FieldError, error) {
	items, n, err := wire.ReadElements(v)
	if err != nil || wire.IsJSONNull(v) {
		return nil, err
	}
	list := make([]FieldError, n)
	for i := range list {
		item, _ := items.Next()
		x := &list[i]
		err := wire.EachMember(item, func(key string, v []byte) (err error) {
			switch key {
			case "key":
				x.Key, err = wire.ReadString(v)
			case "value":
				x.Value, err = wire.ReadString(v)
			case "reason":
				x.Reason, err = wire.ReadString(v)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}
