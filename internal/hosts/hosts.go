// Package hosts holds the tests of a beacon.Handler inside programs as hosts
// write them: behind middleware that is not ours, in front of an application, in
// routers that are not net/http's, and over each version of HTTP.
//
// All of it goes through real servers and clients on the loopback interface. What
// a host developer should know of it is in docs/mounting.md.
package hosts
