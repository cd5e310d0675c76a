package server

import (
	"context"
	"log/slog"

	"github.com/go-chi/chi/v5"

	"ssmlocal/server/backend"
	"ssmlocal/server/control"
	"ssmlocal/server/demo"
	"ssmlocal/server/gateway"
)

// Throwaway starts an emulator in memory, without an address, for what is shown
// live: see package demo. Its log goes nowhere.
func Throwaway(seeds []string, rates map[string]int) (*demo.Emulator, error) {
	log := slog.New(slog.DiscardHandler)
	b, err := backend.New(backend.Config{Seeds: seeds, Log: log})
	if err != nil {
		return nil, err
	}
	g, err := gateway.New(b, gateway.Config{Rates: rates, Log: log})
	if err != nil {
		return nil, err
	}
	if err := b.Open(); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); b.Run(ctx) }()
	routes := chi.NewRouter()
	control.New(b, g, control.Config{}).Mount(routes)
	return &demo.Emulator{API: g, Control: routes, Wall: b.Clock.Wall, Close: func() {
		b.Stop()
		stop()
		<-ended
		_ = b.Close() // it was in memory
	}}, nil
}
