// Command latency is a service whose latency is known, under load, for trying out how canaries are judged by histograms.
//
//	latency [serve]   a service under load, to point Prometheus and Haldane at
//	latency record    what a real Prometheus answers about it, as JSON lines
//	latency summary   the quantiles of such a recording
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	command, args := "serve", os.Args[1:]
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		command, args = args[0], args[1:]
	}
	var err error
	switch command {
	case "serve":
		err = serve(ctx, args)
	case "record":
		err = record(ctx, args)
	case "summary":
		err = summary(args, os.Stdout)
	default:
		err = fmt.Errorf("there is no command %q: serve, record or summary", command)
	}
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "latency:", err)
		os.Exit(1)
	}
}

// serve runs the service and its load until it is interrupted.
func serve(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	address := flags.String("listen", "127.0.0.1:8092", "`address` that serves the requests and /metrics")
	perMinute := flags.Float64("rate", 60, "requests a minute to each arm")
	seed := flags.Uint64("seed", 1, "of the requests and their latencies")
	if err := parse(flags, args); err != nil {
		return err
	}
	if !(*perMinute > 0) {
		return fmt.Errorf("-rate %v: must be above 0", *perMinute)
	}
	pairs := pairsOf(healthy, 1)
	for _, f := range faults {
		pairs = append(pairs, pairsOf(f, 1)...)
	}
	base, closing, err := start(*address, newServer(*seed, pairs).handler())
	if err != nil {
		return err
	}
	defer closing()
	fmt.Printf("metrics at %s/metrics, %v requests a minute to each arm of the pairs", base, *perMinute)
	for _, p := range pairs {
		fmt.Printf(" %s", p.Name)
	}
	fmt.Println("\ninterrupt to stop")
	generator := newLoad(base, *seed, *perMinute/60)
	return generator.run(ctx, pairs, time.Now(), math.MaxInt64)
}

// start serves at an address and returns the URL before which paths go, and how to stop.
func start(address string, handler http.Handler) (string, func(), error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return "", nil, err
	}
	served := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = served.Serve(listener) }()
	return "http://" + listener.Addr().String(), func() { _ = served.Close() }, nil
}

// parse refuses arguments that are no flags, which would be passed over.
func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%s: unexpected argument %q", flags.Name(), flags.Arg(0))
	}
	return nil
}
