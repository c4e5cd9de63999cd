// Three canaries of one service, as requests that carry their samples: one worse, one that cannot be told, one alike.

/** Numbers between 0 and 1 that are the same in every run. */
function chance(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Twelve of them make a normal deviate. */
const normal = (random) => Array.from({ length: 12 }, random).reduce((a, b) => a + b, 0) - 6;
const POINTS = 60;
const BOUNDS = [5, 10, 25, 50, 100, 250, 500, 1000];

const values = (random, level, spread, n = POINTS) => Array.from({ length: n }, () => Math.round((level + spread * normal(random)) * 100) / 100);

function counts(random, rate) {
  const totals = Array.from({ length: POINTS }, () => 300 + Math.floor(100 * random()));
  const events = totals.map((total) => Array.from({ length: total }, () => random() < rate).filter(Boolean).length);
  return { events, totals };
}

function buckets(random, shift) {
  const row = () => {
    const counted = new Array(BOUNDS.length + 1).fill(0);
    for (let i = 0; i < 200; i++) {
      const place = BOUNDS.findIndex((bound) => Math.exp(3.4 + shift + 0.8 * normal(random)) <= bound);
      counted[place < 0 ? BOUNDS.length : place] += 1;
    }
    return counted;
  };
  return { bounds: BOUNDS, counts: Array.from({ length: POINTS }, row) };
}

const instances = (random, level, worst) => ({
  instances: Object.fromEntries([0, 1, 2, 3].map((pod) => [`pod-${pod}`, values(random, pod === 2 ? worst : level, 1)])),
});

function canary({ latency, errors, duration, pod, points = POINTS }) {
  const random = chance(7);
  const cut = (of) => of.slice(0, points);
  const worse = values(random, latency, 20);
  worse.fill(null, 30, 36);
  return {
    config: {
      name: 'checkout',
      min_observation: '5m',
      metrics: [
        { name: 'latency-p99', unit: 'ms', direction: 'increase', critical: true },
        { name: 'error-ratio', kind: 'ratio', direction: 'increase', limits: { max: 0.05 } },
        { name: 'request-duration', kind: 'distribution', unit: 'ms', direction: 'increase' },
        { name: 'memory', unit: 'bytes', direction: 'increase', per_instance: 'pod' },
        { name: 'throughput', unit: 'requests/s', direction: 'decrease' },
      ],
    },
    baseline: { scope: 'checkout-stable' },
    canary: { scope: 'checkout-canary' },
    window: { start: '2026-11-20T10:00:00Z', end: '2026-11-20T11:00:00Z', step: '60s' },
    released_at: '2026-11-20T10:05:00Z',
    labels: { service: 'checkout', version: '1.4.2', build: 'https://ci.example/builds/4711' },
    samples: {
      'latency-p99': { baseline: cut(values(random, 400, 20)), canary: cut(worse), baseline_history: values(random, 400, 20, 1200), canary_history: values(random, 400, 20, 1200) },
      'error-ratio': { baseline: counts(random, 0.005), canary: counts(random, errors) },
      'request-duration': { baseline: buckets(random, 0), canary: buckets(random, duration) },
      memory: { baseline: instances(random, 100, 100), canary: instances(random, 100, pod) },
      throughput: { baseline: values(random, 125, 4), canary: values(random, 125, 4) },
    },
  };
}

export const failing = canary({ latency: 560, errors: 0.02, duration: 0.35, pod: 160 });
export const passing = canary({ latency: 400, errors: 0.005, duration: 0, pod: 100 });
/** A pass is earned only once the plan has ended. */
export const marginal = { ...canary({ latency: 400, errors: 0.005, duration: 0, pod: 100 }), looks: { look: 1, looks: 3 } };

/** Names that would do harm if a page took them for its own text. */
export const hostile = {
  ...canary({ latency: 560, errors: 0.02, duration: 0.35, pod: 160 }),
  baseline: { scope: '<script>document.title="owned"</script>' },
  canary: { scope: `"><img src=x onerror="document.title='owned'">\u202e\u001b[31m${'x'.repeat(9_000)}` },
  labels: { service: "<svg onload=document.title='owned'>", version: '\u202egnp.exe', link: "javascript:document.title='owned'" },
};
