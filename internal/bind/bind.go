// Package bind fills the structs of hosts from forms and from JSON. A Go type takes the
// same values from both, and what does not fit costs only itself.
package bind

import "reflect"

// A Misfit is a value that does not fit its field.
type Misfit struct {
	Key    string // as the client named it; a path in JSON, "body" for all of it
	Value  string // empty if it has no short form
	Reason string
}

// kindName names a kind of Go types, with its article. The names of the types are the
// host's own and have no place in stored events.
func kindName(t reflect.Type) string {
	name := t.Kind().String()
	if name[0] == 'i' {
		return "an " + name
	}
	return "a " + name
}
