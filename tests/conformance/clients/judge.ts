// Judges canaries through the client that openapi-typescript and openapi-fetch make of the OpenAPI document.
//
// The compiler says whether the fields have the types that a caller relies on; running it says whether the service keeps to them.

import createClient from 'openapi-fetch';
import type { components, paths } from './generated/haldane.d.ts';

declare const process: { argv: string[] };

const client = createClient<paths>({ baseUrl: process.argv[2] ?? '' });
const baseline: components['schemas']['Point'][] = [101, 99, 104, 98, 100, 103, 97, 102, 99, 101, null, 'NaN'];
const slower = baseline.map((point) => (typeof point === 'number' ? point * 1.6 : point));

async function judge(canary: components['schemas']['ArmBody']): Promise<components['schemas']['Scorecard']> {
  const { data, error } = await client.POST('/v1/judgements', {
    params: { query: { verbose: false } },
    body: {
      config: { name: 'latency-only', metrics: [{ name: 'p95', unit: 'ms', direction: 'increase' }] },
      window: { start: '2026-03-01T10:00:00Z', duration: '12m', step: '60s' },
      samples: { p95: { baseline, canary } },
    },
  });
  if (error !== undefined) throw new Error(`${error.title}: ${error.detail}`);
  // 202 has a body too, which is no scorecard.
  if (typeof data === 'string') throw new Error(data);
  if (!('verdict' in data)) throw new Error(`${data.id} is ${data.status}`);
  return data;
}

/** What is done with each verdict; the compiler knows that there are no others. */
function act(verdict: components['schemas']['Verdict']): string {
  switch (verdict) {
    case 'pass':
      return 'go on';
    case 'marginal':
      return 'wait';
    case 'fail':
      return 'roll back';
    default:
      return verdict satisfies never;
  }
}

// What a reply always has is null where there is none; what it may leave out is never null.
const scoreOf = (scorecard: components['schemas']['Scorecard']): number | null => scorecard.score;

function expect(what: string, found: unknown, expected: unknown): void {
  if (found !== expected) throw new Error(`${what} is ${String(found)}, and not ${String(expected)}`);
}

const worse = await judge(slower);
const [metric] = worse.metrics;
if (metric === undefined) throw new Error('no metric was judged');
expect('the verdict on a slower canary', worse.verdict, 'fail');
expect('what is done', act(worse.verdict), 'roll back');
expect('the status', metric.status, 'regressed');
expect('the type of the score', typeof scoreOf(worse), 'number');
expect('the recommended action', worse.recommendation.action, 'rollback');
const judged: Date = new Date(worse.judged_at);
expect('the time is one', Number.isNaN(judged.getTime()), false);

const counts: components['schemas']['ArmBody'] = { events: [1, 2], totals: [100] };
const refused = await client.POST('/v1/judgements', {
  body: { config: { name: 'latency-only', metrics: [{ name: 'p95' }] }, samples: { p95: { baseline, canary: counts } } },
});
expect('a scorecard of what cannot be judged', refused.data, undefined);
expect('its status', refused.error?.status, 422);
expect('the pointer', refused.error?.pointer, '/samples/p95/canary/totals');

const { data: configs } = await client.GET('/v1/configs');
expect('a config that ships', configs?.configs.some((config) => config.name === 'http-golden-signals'), true);
const { data: config } = await client.GET('/v1/configs/{name}', { params: { path: { name: 'http-golden-signals' } } });
expect('its name', typeof config === 'object' && config.name, 'http-golden-signals');

// @ts-expect-error no such verdict
act('perhaps');
console.log('openapi-typescript: judged');
