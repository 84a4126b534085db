// Package kafka connects a beacon [beacon.Handler] to a log in Kafka.
package kafka
