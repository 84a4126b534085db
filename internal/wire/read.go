package wire

import (
	"encoding/base64"
	"fmt"
)

// EachMember calls f with the members of an object; null has none.
func EachMember(b []byte, f func(key string, v []byte) error) error {
	m, ok := MembersOf(b)
	if !ok {
		if IsJSONNull(b) {
			return nil
		}
		return Unexpected("an object", b)
	}
	for key, v, ok := m.Next(); ok; key, v, ok = m.Next() {
		if err := f(key, v); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// ReadElements returns the elements of an array, and how many they are; null has none.
func ReadElements(b []byte) (items Elements, n int, err error) {
	items, ok := ElementsOf(b)
	if ok {
		_, n = skipValue(b, 0)
		return items, n, nil
	}
	if !IsJSONNull(b) {
		err = Unexpected("an array", b)
	}
	return Elements{}, 0, err
}

// Unexpected is the error of a value that is of another type.
func Unexpected(want string, got []byte) error {
	return fmt.Errorf("want %s, not %.64s", want, got)
}

// ReadString reads a string of any bytes: a JSON string, or {"base64": "…"} where
// that would change it.
func ReadString(v []byte) (s string, err error) {
	if s, ok := JSONString(v); ok {
		return s, nil
	}
	err = EachMember(v, func(key string, v []byte) (err error) {
		if key == "base64" {
			var data []byte
			data, err = ReadBase64(v)
			s = Text(data)
		}
		return err
	})
	return s, err
}

// ReadBase64 reads what encoding/json writes for a []byte.
func ReadBase64(v []byte) ([]byte, error) {
	s, ok := JSONString(v)
	if IsJSONNull(v) {
		return nil, nil
	} else if !ok {
		return nil, Unexpected("base64", v)
	}
	return base64.StdEncoding.DecodeString(s)
}

// ReadUint reads a number that is not negative and has no fraction.
func ReadUint(v []byte) (uint64, error) {
	n, ok := JSONUint(v)
	if !ok && !IsJSONNull(v) {
		return 0, Unexpected("a number", v)
	}
	return n, nil
}

// ReadBool reads true or false.
func ReadBool(v []byte) (bool, error) {
	switch string(v) {
	case "true":
		return true, nil
	case "false", "null":
		return false, nil
	}
	return false, Unexpected("true or false", v)
}
