package main

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/pagebeacon/beacon"
)

// tracking is what the page sends: start, end and msg, as it always did.
type tracking struct {
	Msg string `schema:"msg"`
}

// sameEndpoint answers the page that is there, and logs what the old handler logged.
func sameEndpoint(logger *slog.Logger) (http.Handler, error) {
	return beacon.New(beacon.Config{
		Sink: beacon.On(func(_ context.Context, e beacon.Event, t tracking) error {
			session, err := beacon.SessionOf(e)
			if err != nil {
				logger.Warn("no session", "error", err) // NaN seconds, before
				return nil
			}
			logger.Info("In session for: " + session.String())
			logger.Info("Tracking info: " + t.Msg)
			return nil
		}),
	})
}
