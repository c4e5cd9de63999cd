// Requests whose samples come with them: a failing, a marginal and a passing canary, and one whose every name is hostile.

/** Numbers in [0, 1) that are the same in every run (mulberry32). */
function random(seed) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

const POINTS = 60
const series = (n, of) => Array.from({ length: n }, (_, i) => of(i))

/** Values about a level, as noisy as a fraction of it, some of them missing. */
function values(seed, level, noise, { late = 1, gaps = false, n = POINTS } = {}) {
  const next = random(seed)
  return series(n, (i) => {
    const value = level * (i > n / 3 ? late : 1) * (1 + noise * (next() + next() + next() - 1.5))
    return gaps && i % 17 > 13 ? null : Math.round(value * 1000) / 1000
  })
}

function counts(seed, rate, total) {
  const next = random(seed)
  const totals = series(POINTS, () => Math.round(total * (0.9 + 0.2 * next())))
  return { events: totals.map((n) => Math.round(n * rate * (0.6 + 0.8 * next()))), totals }
}

const BOUNDS = [5, 10, 25, 50, 100, 250, 500, 1000, 2500]

/** A histogram whose requests are as slow as an exponential law of this mean has them. */
function histogram(seed, mean, requests) {
  const next = random(seed)
  const below = (bound) => 1 - Math.exp(-bound / mean)
  const shares = [...BOUNDS, Infinity].map((bound, i) => below(bound) - (i ? below(BOUNDS[i - 1]) : 0))
  const rows = series(POINTS, () => shares.map((share) => Math.round(requests * share * (0.8 + 0.4 * next()))))
  return { bounds: BOUNDS, counts: rows }
}

function instances(seed, names, level, sick) {
  return { instances: Object.fromEntries(names.map((name, i) => [name, values(seed + i, name === sick ? level * 1.6 : level, 0.05)])) }
}

const METRICS = [
  { name: 'latency-p99', unit: 'ms', direction: 'increase', critical: true },
  { name: 'error-ratio', kind: 'ratio', unit: 'percent', direction: 'increase' },
  { name: 'request-duration', kind: 'distribution', unit: 'ms', direction: 'increase' },
  { name: 'cpu', unit: 'percent', direction: 'increase' },
  { name: 'heap', unit: 'bytes', direction: 'increase' },
  { name: 'throughput', unit: 'requests/s', direction: 'either' },
]

const pods = (arm, n) => series(n, (i) => `checkout-${arm}-${i}`)

function request({ slow = 1, errors = 0.004, traffic = 2000, sick, gaps = false, metrics = METRICS, labels, pods: named = pods }) {
  const both = (baseline, canary) => ({ baseline, canary })
  const samples = {
    'latency-p99': both(values(1, 410, 0.06), values(2, 410, 0.06, { late: slow, gaps })),
    'error-ratio': both(counts(3, 0.004, traffic), counts(4, errors, traffic)),
    'request-duration': both(histogram(5, 60, traffic), histogram(6, 60 * slow, traffic)),
    cpu: both(instances(10, named('a', 5), 40), instances(20, named('b', 5), 40, sick)),
    heap: {
      ...both(values(30, 2.1e9, 0.02), values(31, 2.12e9, 0.02)),
      baseline_history: values(32, 2.1e9, 0.02, { n: 600 }),
      canary_history: values(33, 2.1e9, 0.02, { n: 600 }),
    },
    throughput: both(values(40, 118, 0.05), values(41, 118, 0.05)),
  }
  return {
    config: { name: 'http-golden-signals', metrics },
    window: { start: '2026-01-05T10:00:00Z', end: '2026-01-05T11:00:00Z', step: '60s' },
    labels: labels ?? { service: 'checkout', version: '1.4.2', build: 'https://ci.example/builds/7' },
    samples: Object.fromEntries(metrics.map((metric, i) => [metric.name, Object.values(samples)[i]])),
  }
}

export const failing = request({ slow: 1.5, errors: 0.02, sick: 'checkout-b-3', gaps: true })
// Too few requests to tell of a metric that must be told of.
export const marginal = request({ traffic: 3, metrics: METRICS.map((metric) => ({ ...metric, critical: metric.name === 'error-ratio' })) })
export const passing = request({})

// Names of metrics and units must be printable; labels and instances may be called anything.
const MARKUP = '</script><script>document.title="run"</script><img src=x onerror=alert(1)>"\'`&'
const HOSTILE = `${MARKUP}\u001b[31m\u202e`
export const hostile = request({
  slow: 1.5,
  errors: 0.02,
  sick: HOSTILE + 'x'.repeat(10_000),
  pods: (arm, n) => [...pods(arm, n - 1), HOSTILE + 'x'.repeat(10_000)],
  metrics: METRICS.map((metric, i) => ({ ...metric, name: `${MARKUP}${i}${i === 2 ? 'x'.repeat(100) : ''}`, unit: i === 5 ? MARKUP.slice(0, 30) : metric.unit })),
  labels: { service: HOSTILE, version: 'v'.repeat(500), build: 'javascript:alert(1)' },
})
