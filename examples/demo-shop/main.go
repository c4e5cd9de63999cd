// Command demo-shop is a shop of small services whose faults are known.
//
//	demo-shop serve    one canary and its baseline, three instances each, under load, in real time
//	demo-shop record   canaries of every fault, on a virtual clock, through a real Prometheus
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch {
	case len(os.Args) > 1 && os.Args[1] == "serve":
		err = serve(ctx, os.Args[2:])
	case len(os.Args) > 1 && os.Args[1] == "record":
		err = record(ctx, os.Args[2:])
	default:
		err = fmt.Errorf("give a command: serve or record")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo-shop:", err)
		os.Exit(1)
	}
}

// serve runs both arms on ports of their own, and a load on each.
func serve(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	name := flags.String("fault", "latency-x2", "`name` of what is wrong with the canary")
	port := flags.Int("port", 8100, "first of six ports")
	seed := flags.Uint64("seed", 1, "of all that is random")
	if err := flags.Parse(args); err != nil {
		return err
	}
	f, found := fault{}, false
	for _, each := range faults {
		if each.Name == *name {
			f, found = each, true
		}
	}
	if !found {
		return fmt.Errorf("-fault %s: there is none of this name", *name)
	}
	failed := make(chan error, 2*instances)
	start := time.Now()
	for a, arm := range []string{"baseline", "canary"} {
		for number := range instances {
			i := newInstance(shops[0], f, arm, number, *seed)
			address := fmt.Sprintf("127.0.0.1:%d", *port+a*instances+number)
			served := &http.Server{Addr: address, Handler: i.handler(start, make(chan struct{}, 1)), ReadHeaderTimeout: 10 * time.Second}
			go func() {
				// One that dies is closed on purpose.
				if err := served.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
					failed <- err
				}
			}()
			defer func() { _ = served.Close() }()
			fmt.Printf("%s %d: http://%s/metrics\n", arm, number, address)
			go load(ctx, "http://"+address, i, start, served)
		}
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// load sends requests when their time has come, however long the ones before take, until the instance dies.
func load(ctx context.Context, url string, i *instance, start time.Time, served *http.Server) {
	for at := time.Duration(0); i.up(at); at = time.Since(start) {
		share := 1.0
		if i.fault.dies && at >= window/2 {
			share = float64(instances) / (instances - 1)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(1e9 / i.rate(at, share))):
			go func() {
				reply, err := http.Get(url)
				if err == nil {
					_, _ = io.Copy(io.Discard, reply.Body)
					_ = reply.Body.Close()
				}
			}()
		}
	}
	_ = served.Close()
}
