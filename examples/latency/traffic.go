package main

import (
	"fmt"
	"hash/fnv"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// The service's latency: log-normal, with a tail of requests that take ten times as long.
const (
	medianSeconds = 0.060
	sigma         = 0.6
	tailShare     = 0.01
	tailFactor    = 10.0
	instances     = 4
)

// A fault says what a canary does worse than its baseline.
type fault struct {
	Name   string
	factor float64 // on every request
	tail   float64 // share of slow requests
	// On the requests of one instance alone.
	instanceFactor float64
}

var (
	healthy = fault{Name: "none", factor: 1, tail: tailShare, instanceFactor: 1}
	faults  = []fault{
		{Name: "x1.25", factor: 1.25, tail: tailShare, instanceFactor: 1},
		{Name: "x1.5", factor: 1.5, tail: tailShare, instanceFactor: 1},
		{Name: "tail", factor: 1, tail: 0.03, instanceFactor: 1},
		{Name: "instance", factor: 1, tail: tailShare, instanceFactor: 2},
	}
)

// A pair is a baseline and a canary. The baseline is always healthy.
type pair struct {
	Name  string
	Fault fault
}

// pairsOf makes n pairs with this fault.
func pairsOf(f fault, n int) []pair {
	prefix := f.Name
	if f.Name == healthy.Name {
		prefix = "healthy"
	}
	pairs := make([]pair, n)
	for i := range pairs {
		pairs[i] = pair{Name: fmt.Sprintf("%s-%02d", prefix, i+1), Fault: f}
	}
	return pairs
}

// allPairs makes a healthy pair for every faulty one, the same number of each fault.
func allPairs(of []fault, each int) []pair {
	pairs := pairsOf(healthy, each*len(of))
	for _, f := range of {
		pairs = append(pairs, pairsOf(f, each)...)
	}
	return pairs
}

// faultsNamed finds faults by their names, apart by commas.
func faultsNamed(names string) ([]fault, error) {
	var found []fault
	var known []string
	for _, f := range faults {
		known = append(known, f.Name)
	}
	for name := range strings.SplitSeq(names, ",") {
		i := slices.Index(known, name)
		if i < 0 {
			return nil, fmt.Errorf("there is no fault %q: %s", name, strings.Join(known, ", "))
		}
		if slices.Contains(found, faults[i]) {
			return nil, fmt.Errorf("the fault %q is named twice", name)
		}
		found = append(found, faults[i])
	}
	return found, nil
}

var arms = []string{"baseline", "canary"}

// faultyInstance is the one of the canary's instances that is slow, where only one is.
const faultyInstance = 2

func instanceName(arm string, i int) string { return fmt.Sprintf("%s-%d", arm, i+1) }

// A distribution of latencies in seconds.
type distribution struct {
	median float64
	tail   float64
}

// latencyOf is the distribution of one instance.
func latencyOf(p pair, arm string, instance int) distribution {
	d := distribution{median: medianSeconds, tail: tailShare}
	if arm == "canary" {
		d.median *= p.Fault.factor
		d.tail = p.Fault.tail
		if instance == faultyInstance {
			d.median *= p.Fault.instanceFactor
		}
	}
	return d
}

// draw takes one latency.
func (d distribution) draw(random *rand.Rand) time.Duration {
	seconds := d.median * math.Exp(sigma*random.NormFloat64())
	if random.Float64() < d.tail {
		seconds *= tailFactor
	}
	return time.Duration(seconds * float64(time.Second))
}

// above is the share of requests slower than this many seconds.
func (d distribution) above(seconds float64) float64 {
	beyond := func(median float64) float64 {
		return 0.5 * math.Erfc(math.Log(seconds/median)/(sigma*math.Sqrt2))
	}
	return (1-d.tail)*beyond(d.median) + d.tail*beyond(d.median*tailFactor)
}

// quantile is the latency in seconds that a share q of the requests to these instances, equally loaded, stays below.
func quantile(q float64, of []distribution) float64 {
	low, high := math.Log(1e-6), math.Log(1e6)
	for range 100 {
		middle := (low + high) / 2
		slower := 0.0
		for _, d := range of {
			slower += d.above(math.Exp(middle)) / float64(len(of))
		}
		if slower > 1-q {
			low = middle
		} else {
			high = middle
		}
	}
	return math.Exp((low + high) / 2)
}

// An arrival is a request that leaves this long after the start.
type arrival struct {
	At       time.Duration
	Instance int
}

// schedule is one arm's requests, for as long as they are asked for: a Poisson process, each to an instance drawn at random.
func schedule(seed uint64, p pair, arm string, perSecond float64) iter.Seq[arrival] {
	return func(yield func(arrival) bool) {
		random := randomOf(seed, "schedule", p.Name, arm)
		for seconds := 0.0; ; {
			seconds += random.ExpFloat64() / perSecond
			at := time.Duration(seconds * float64(time.Second))
			if !yield(arrival{At: at, Instance: random.IntN(instances)}) {
				return
			}
		}
	}
}

// requestsWithin counts one arm's requests that leave in [from, to).
func requestsWithin(seed uint64, p pair, arm string, perSecond float64, from, to time.Duration) int {
	count := 0
	for a := range schedule(seed, p, arm, perSecond) {
		if a.At >= to {
			break
		}
		if a.At >= from {
			count++
		}
	}
	return count
}

// randomOf is a generator of its own for every purpose, so that none depends on the order in which goroutines run.
func randomOf(seed uint64, names ...string) *rand.Rand {
	hash := fnv.New64a()
	for _, name := range names {
		_, _ = hash.Write([]byte(name))
		_, _ = hash.Write([]byte{0})
	}
	return rand.New(rand.NewPCG(seed, hash.Sum64()))
}
