package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// A load generator is open-loop: a request leaves when its time has come, however long the ones before it take. (A closed loop
// sends less to the slower arm, and hides what is being measured.)
type load struct {
	client    *http.Client
	base      string // http://host:port
	seed      uint64
	perSecond float64 // requests to an arm
}

func newLoad(base string, seed uint64, perSecond float64) *load {
	transport := &http.Transport{MaxIdleConns: 4096, MaxIdleConnsPerHost: 4096, IdleConnTimeout: 30 * time.Second}
	return &load{client: &http.Client{Transport: transport, Timeout: time.Minute}, base: base, seed: seed, perSecond: perSecond}
}

// run sends both arms' requests of every pair, those that are to leave before `length` has passed since `start`, and waits for
// the answers. It ends early, with an error, when the context does or when a request is not answered.
func (l *load) run(ctx context.Context, pairs []pair, start time.Time, length time.Duration) error {
	var senders sync.WaitGroup
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for _, p := range pairs {
		for _, arm := range arms {
			senders.Go(func() {
				for a := range schedule(l.seed, p, arm, l.perSecond) {
					if a.At >= length {
						return
					}
					select {
					case <-ctx.Done():
						return
					case <-time.After(time.Until(start.Add(a.At))):
					}
					senders.Go(func() {
						if err := l.send(ctx, p, arm, a.Instance); err != nil {
							cancel(err)
						}
					})
				}
			})
		}
	}
	senders.Wait()
	return context.Cause(ctx)
}

func (l *load) send(ctx context.Context, p pair, arm string, instance int) error {
	url := fmt.Sprintf("%s/requests/%s/%s/%s", l.base, p.Name, arm, instanceName(arm, instance))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	reply, err := l.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = reply.Body.Close() }()
	if _, err := io.Copy(io.Discard, reply.Body); err != nil {
		return err
	}
	if reply.StatusCode != http.StatusNoContent {
		return fmt.Errorf("%s answered %s", url, reply.Status)
	}
	return nil
}
