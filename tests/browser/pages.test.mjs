// The pages as a person has them: see README.md.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';

import { chromium } from 'playwright-core';

import { failing, hostile, marginal, passing } from './canaries.mjs';

const program = process.env.HALDANE_BIN;
const screenshots = process.env.SCREENSHOTS;
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let service, origin, browser;

/** Starts the service on a free port, which its log names. */
before(async () => {
  assert.ok(program, 'HALDANE_BIN names the program to test');
  service = spawn(program, ['serve', '--listen', '127.0.0.1:0', '--store', 'memory:', '--log-format', 'json'], { stdio: ['ignore', 'ignore', 'pipe'] });
  for await (const line of createInterface({ input: service.stderr })) {
    const listening = /"listening":"([^"]+)"/.exec(line);
    if (listening) {
      origin = `http://${listening[1]}`;
      break;
    }
  }
  service.stderr.resume();
  assert.ok(origin, 'the service says where it listens');
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
});

after(async () => {
  await browser?.close();
  if (service) {
    service.kill('SIGTERM');
    await once(service, 'exit');
  }
});

async function judge(request) {
  const response = await fetch(`${origin}/v1/judgements?verbose`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(request) });
  assert.equal(response.status, 200, await response.clone().text());
  return response.json();
}

/** Opens a page; what it asks of others and what it complains of are kept. */
async function open(address, options = {}) {
  const context = await browser.newContext({ bypassCSP: false, ...options });
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => {
    if (request.url() !== address && !request.url().endsWith('/favicon.ico')) complaints.push(`asked for ${request.url()}`);
  });
  const response = await page.goto(address);
  return { page, response, complaints, close: () => context.close() };
}

async function violations(page) {
  // By the debugger and not as the page's own script, which its policy forbids.
  const session = await page.context().newCDPSession(page);
  await session.send('Runtime.evaluate', { expression: axe });
  const found = await session.send('Runtime.evaluate', {
    expression: "axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] }).then((r) => JSON.stringify(r.violations))",
    awaitPromise: true,
    returnByValue: true,
  });
  return JSON.parse(found.result.value)
    .filter((violation) => ['serious', 'critical'].includes(violation.impact))
    .map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.html.slice(0, 200)).join('\n  ')}`);
}

const looks = [
  ['light', { viewport: { width: 1200, height: 900 }, colorScheme: 'light' }],
  ['dark', { viewport: { width: 1200, height: 900 }, colorScheme: 'dark' }],
  ['phone', { viewport: { width: 390, height: 844 }, colorScheme: 'light', isMobile: true, hasTouch: true }],
];

for (const [name, request, verdict] of [['failing', failing, 'fail'], ['marginal', marginal, 'marginal'], ['passing', passing, 'pass']]) {
  test(`the report of a ${name} canary is drawn, said and operated`, async () => {
    const card = await judge(request);
    assert.equal(card.verdict, verdict, card.summary);
    const address = `${origin}/v1/judgements/${card.id}.html`;
    for (const [look, options] of looks) {
      const { page, complaints, close } = await open(address, options);
      assert.match(await page.textContent('h1'), new RegExp(`${verdict} checkout 1.4.2`));
      assert.deepEqual(await violations(page), [], look);
      const [inner, outer] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
      assert.ok(inner <= outer, `${look}: ${inner} px on a screen of ${outer}`);
      if (screenshots) await page.screenshot({ path: path.join(screenshots, `${name}-${look}.png`), fullPage: true });
      assert.deepEqual(complaints, [], look);
      await close();
    }
  });

  test(`the numbers on the page of a ${name} canary are the scorecard's`, async () => {
    const card = await judge(request);
    const { page, close } = await open(`${origin}/v1/judgements/${card.id}.html`);
    assert.ok((await page.textContent('body')).includes(card.data.digest), 'the digest of the samples');
    for (const metric of card.metrics) {
      const part = page.locator('details', { has: page.locator(`summary .name:text-is("${metric.name}")`) });
      assert.match(await part.locator('summary').textContent(), new RegExp(metric.status.replace('_', ' ')));
      const of = card.data.metrics.find((data) => data.name === metric.name).statistics;
      const rows = await part.locator('table.statistics tbody tr').evaluateAll((rows) => rows.map((row) => [...row.querySelectorAll('td')].map((cell) => cell.textContent)));
      const unit = await part.locator('table.statistics thead th').first().textContent();
      const scale = unit.endsWith('%') && metric.kind === 'ratio' ? 100 : 1;
      ['baseline', 'canary'].forEach((arm, i) => {
        ['min', 'mean', 'median', 'p95', 'max'].forEach((statistic, k) => {
          const said = of[arm][statistic] * scale;
          assert.ok(Math.abs(Number(rows[i][k]) - said) <= Math.abs(said) * 0.006, `${metric.name} ${arm} ${statistic}: ${rows[i][k]} on the page, ${said}`);
        });
        assert.equal(Number(rows[i][5]), of[arm].count);
      });
    }
    await close();
  });
}

test('every metric has its charts with axes, and a gap in the data is one in the line', async () => {
  const card = await judge(failing);
  const { page, close } = await open(`${origin}/v1/judgements/${card.id}.html`);
  for (const metric of card.metrics) {
    const part = page.locator('details', { has: page.locator(`summary .name:text-is("${metric.name}")`) });
    const charts = part.locator('svg.chart');
    assert.equal(await charts.count(), 2, metric.name);
    for (let i = 0; i < 2; i++) {
      assert.ok((await charts.nth(i).locator('text').count()) >= 5, `${metric.name}: names of both axes`);
      assert.match(await charts.nth(i).getAttribute('aria-label'), new RegExp(metric.name));
    }
  }
  const latency = page.locator('details', { has: page.locator('summary .name:text-is("latency-p99")') }).locator('svg.chart').first();
  assert.equal((await latency.locator('path.canary').getAttribute('d')).match(/M/g).length, 2, 'one gap');
  assert.equal(await latency.locator('rect.band').count(), 1, 'what was usual before');
  assert.equal(await latency.locator('path.release').count(), 1, 'the release');
  assert.equal(await page.locator('.metrics svg.forest circle').count(), card.metrics.filter((metric) => metric.limit).length);
  await close();
});

test('words are explained on hover and to the keyboard, and metrics open by the keyboard', async () => {
  const card = await judge(passing);
  const { page, complaints, close } = await open(`${origin}/v1/judgements/${card.id}.html`);
  const word = page.locator('th .term').first();
  const meaning = word.locator('.meaning');
  assert.equal(await meaning.isVisible(), false);
  await word.hover();
  assert.equal(await meaning.isVisible(), true);
  await page.mouse.move(0, 0);
  assert.equal(await meaning.isVisible(), false);
  await word.focus();
  assert.equal(await meaning.isVisible(), true);
  const part = page.locator('details').first();
  const opened = () => part.evaluate((element) => element.open);
  const state = await opened();
  await part.locator('summary').focus();
  await page.keyboard.press('Enter');
  assert.equal(await opened(), !state);
  assert.deepEqual(complaints, []);
  await close();
});

test('hostile names are text and nothing else', async () => {
  const card = await judge(hostile);
  for (const address of [`${origin}/v1/judgements/${card.id}.html`, `${origin}/`]) {
    const { page, complaints, close } = await open(address, looks[2][1]);
    assert.notEqual(await page.title(), 'owned');
    assert.equal(await page.locator('script:not(body > script), img, iframe, a[href^="javascript:"]').count(), 0);
    assert.doesNotMatch(await page.content(), /[\u202e\u001b]/);
    const [inner, outer] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
    assert.ok(inner <= outer, `${address}: ${inner} px on a screen of ${outer}`);
    assert.deepEqual(complaints, []);
    await close();
  }
});

for (const [name, address] of [['start', '/'], ['api', '/docs']]) {
  test(`the ${name} page is read and operated everywhere`, async () => {
    await judge(failing);
    for (const [look, options] of looks) {
      const { page, complaints, close } = await open(`${origin}${address}`, options);
      assert.deepEqual(await violations(page), [], look);
      const [inner, outer] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
      assert.ok(inner <= outer, `${look}: ${inner} px on a screen of ${outer}`);
      if (screenshots) await page.screenshot({ path: path.join(screenshots, `${name}-${look}.png`), fullPage: true });
      assert.deepEqual(complaints, [], look);
      await close();
    }
  });
}

test('the form judges two pasted columns', async () => {
  const { page, close } = await open(`${origin}/`);
  const column = (level) => Array.from({ length: 30 }, (_, i) => level + ((i * 7) % 11)).join('\n');
  await page.getByLabel('Baseline').fill(column(100));
  await page.getByLabel('Canary').fill(column(180));
  await page.getByRole('button', { name: 'Judge' }).click();
  assert.match(await page.textContent('h1'), /fail/i);
  assert.equal(await page.locator('svg.chart').count(), 2);
  await close();
});
