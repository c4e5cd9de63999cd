// The report page in a real browser: what `haldane judge --output html` writes, and what the service answers.
//
// HALDANE_BIN names the program, CHROMIUM the browser, and SCREENSHOTS a folder to keep pictures in.

import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { after, before, describe, test } from 'node:test'
import { chromium } from 'playwright-core'
import * as requests from './requests.mjs'

const BIN = process.env.HALDANE_BIN
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const SHOTS = process.env.SCREENSHOTS

const folder = mkdtempSync(join(tmpdir(), 'haldane-browser-'))
let browser

/** Exit codes 1 and 3 are verdicts. */
function judge(input, output) {
  const options = { input: JSON.stringify(input), maxBuffer: 1 << 26, stdio: ['pipe', 'pipe', 'pipe'], env: { PATH: process.env.PATH } }
  try {
    return execFileSync(BIN, ['judge', '--request', '-', '--verbose', '--output', output], options).toString()
  } catch (error) {
    if (error.status === 1 || error.status === 3) return error.stdout.toString()
    throw new Error(`${error.message}: ${error.stderr}`)
  }
}

const pages = {}
for (const name of ['failing', 'marginal', 'passing', 'hostile']) {
  const file = join(folder, `${name}.html`)
  writeFileSync(file, judge(requests[name], 'html'))
  pages[name] = { url: pathToFileURL(file).href, card: JSON.parse(judge(requests[name], 'json')), bytes: readFileSync(file).length }
}

/** Opens a page; whatever it says on the console or asks of anybody else is kept. */
async function open(url, { width = 1280, colorScheme = 'light' } = {}) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme })
  const page = await context.newPage()
  const wrong = []
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && wrong.push(message.text()))
  page.on('pageerror', (error) => wrong.push(error.message))
  page.on('dialog', (dialog) => wrong.push(`dialog ${dialog.message()}`) && dialog.dismiss())
  page.on('request', (request) => request.url() !== url && wrong.push(`asks for ${request.url()}`))
  await page.goto(url)
  return { page, wrong, close: () => context.close() }
}

async function openAll(page) {
  await page.evaluate(() => document.querySelectorAll('details').forEach((one) => (one.open = true)))
}

async function violations(page) {
  // The policy of the page admits no other script, so axe goes in by the debugger.
  await page.evaluate(AXE)
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }))
  return found.violations
    .filter((one) => ['serious', 'critical'].includes(one.impact))
    .map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 150) + ' ' + node.failureSummary.slice(0, 200)).join('; ')}`)
}

before(async () => {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] })
  if (SHOTS) mkdirSync(SHOTS, { recursive: true })
})
after(async () => {
  await browser?.close()
  rmSync(folder, { recursive: true })
})

for (const [name, { url, card, bytes }] of Object.entries(pages)) {
  describe(`the page of a ${name} canary`, () => {
    test('says who, what, by how much, since when and what to do before anything is opened', async () => {
      const { page, wrong, close } = await open(url)
      assert.equal(card.verdict, { failing: 'fail', marginal: 'marginal', passing: 'pass', hostile: 'fail' }[name])
      assert.equal(await page.locator('header').getAttribute('data-verdict'), card.verdict)
      assert.equal((await page.locator('h1 .verdict').textContent()).trim(), card.verdict)
      if (name !== 'hostile') {
        assert.match(await page.locator('h1').textContent(), /^checkout 1\.4\.2/)
        assert.equal(await page.locator('.todo p').first().textContent(), card.recommendation.sentence.replaceAll('`', ''))
        assert.equal(await page.locator('.summary').textContent(), card.summary.replaceAll('`', ''))
      }
      assert.match(await page.locator('.when').textContent(), /Judged 2\d{3}-\d\d-\d\d/)
      const box = await page.locator('.todo').boundingBox()
      assert.ok(box.y + box.height < 900, 'what to do is in sight without scrolling')
      assert.deepEqual(wrong, [])
      await close()
    })

    test('has every metric, worst first, with the numbers of the JSON', async () => {
      const { page, close } = await open(url)
      await openAll(page)
      const shown = await page.locator('details').evaluateAll((all) => all.map((one) => ({ ...one.dataset })))
      const gravity = ['regressed', 'suspect', 'error', 'no_data', 'inconclusive', 'pass']
      const ranks = shown.map((one) => gravity.indexOf(one.status))
      assert.deepEqual(ranks, [...ranks].sort((a, b) => a - b))
      assert.deepEqual(shown.map((one) => one.status).sort(), card.metrics.map((one) => one.status).sort())
      for (const [i, metric] of card.metrics.entries()) {
        const detail = page.locator(`#metric-${i}`)
        if (name !== 'hostile') assert.equal(await detail.locator('.finding').textContent(), metric.sentence.replaceAll('`', ''))
        const { baseline, canary } = card.data.metrics[i].statistics
        const statistics = ['min', 'mean', 'median', 'p95', 'max', 'std', 'count'].flatMap((of) => [baseline[of], canary[of]])
        const table = detail.locator('table.numbers', { hasText: 'Statistic' })
        const cells = await table.locator('td').evaluateAll((all) => all.map((one) => Number(one.dataset.value)))
        assert.deepEqual(cells, statistics)
      }
      await close()
    })

    test('draws both arms of every metric with axes, and the shift of each on one scale', async () => {
      const { page, close } = await open(url)
      await openAll(page)
      for (const i of card.metrics.keys()) {
        const charts = page.locator(`#metric-${i} figure > svg`)
        assert.ok((await charts.count()) >= 2, `metric ${i} over time and by distribution`)
        for (const chart of await charts.all()) {
          assert.ok((await chart.locator('text').count()) >= 4, 'axes have labels')
          assert.ok((await chart.getAttribute('aria-label')).length > 10)
          assert.ok((await chart.boundingBox()).height > 80)
        }
        const lines = charts.first().locator('path.baseline, path.canary')
        assert.equal(await lines.count(), 2)
      }
      const scales = await page.locator('.scale svg.forest path.tolerance').evaluateAll((all) => all.map((one) => one.getAttribute('d')))
      assert.ok(scales.length >= 1 && new Set(scales).size === 1, `the tolerance is at one place: ${scales}`)
      await close()
    })

    test('is worked by keyboard, and explains its statistics by hover and by key', async () => {
      const { page, wrong, close } = await open(url)
      const first = page.locator('summary').first()
      const before = await page.locator('details').first().evaluate((one) => one.open)
      await first.focus()
      await page.keyboard.press('Enter')
      assert.equal(await page.locator('details').first().evaluate((one) => one.open), !before)
      await openAll(page)
      const term = page.locator('.numbers .term', { hasText: 'p95' }).first()
      assert.match(await term.getAttribute('title'), /95 of 100/)
      await term.focus()
      await page.keyboard.press('Enter')
      const meaning = page.locator('.meaning:popover-open')
      assert.match(await meaning.textContent(), /95 of 100/)
      await page.keyboard.press('Escape')
      assert.equal(await meaning.count(), 0)
      assert.deepEqual(wrong, [])
      await close()
    })

    for (const [width, colorScheme] of [[1280, 'light'], [1280, 'dark'], [390, 'light'], [390, 'dark']]) {
      test(`is accessible and fits, ${colorScheme} at ${width} px`, async () => {
        const { page, wrong, close } = await open(url, { width, colorScheme })
        if (SHOTS) await page.screenshot({ path: join(SHOTS, `${name}-${colorScheme}-${width}-closed.png`) })
        await openAll(page)
        assert.deepEqual(await violations(page), [])
        assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width)
        if (SHOTS) await page.screenshot({ path: join(SHOTS, `${name}-${colorScheme}-${width}.png`), fullPage: true })
        assert.deepEqual(wrong, [])
        await close()
      })
    }

    test('prints, and is small', async () => {
      const { page, close } = await open(url)
      await page.emulateMedia({ media: 'print' })
      assert.ok(await page.locator('.meaning').first().isVisible(), 'paper has the explanations')
      if (SHOTS) await page.screenshot({ path: join(SHOTS, `${name}-print.png`), fullPage: true })
      // Six metrics; the limit is 250 KB for twenty.
      assert.ok(bytes < 125_000, `${bytes} bytes`)
      await close()
    })
  })
}

test('hostile names run nothing and become no markup', async () => {
  const { page, wrong, close } = await open(pages.hostile.url)
  await openAll(page)
  assert.doesNotMatch(await page.title(), /^run$/)
  assert.equal(await page.locator('img').count(), 0)
  assert.equal(await page.locator('script').count(), 1)
  assert.equal(await page.locator('a[href^="javascript:"]').count(), 0)
  assert.ok(!/[\u001b\u202e]/.test(await page.content()))
  assert.deepEqual(wrong, [])
  await close()
})

describe('the service', () => {
  let server
  let base
  before(async () => {
    server = spawn(BIN, ['serve', '--listen', '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env.PATH } })
    base = await new Promise((resolve, reject) => {
      let said = ''
      const read = (chunk) => {
        said += chunk
        const address = said.match(/127\.0\.0\.1:(\d+)/)
        if (address && address[1] !== '0') resolve(`http://127.0.0.1:${address[1]}`)
      }
      server.stdout.on('data', read)
      server.stderr.on('data', read)
      server.on('exit', () => reject(new Error(said)))
    })
  })
  after(() => server?.kill())

  for (const path of ['/', '/docs']) {
    for (const [width, colorScheme] of [[1280, 'light'], [390, 'dark']]) {
      test(`${path} is accessible and fits, ${colorScheme} at ${width} px`, async () => {
        const { page, wrong, close } = await open(base + path, { width, colorScheme })
        assert.deepEqual(await violations(page), [])
        assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width)
        assert.deepEqual(wrong.filter((what) => !what.includes('/favicon.ico')), [])
        if (SHOTS) await page.screenshot({ path: join(SHOTS, `service${path.replace('/', '-')}-${colorScheme}-${width}.png`), fullPage: true })
        await close()
      })
    }
  }

  test('the form of the start page judges what is pasted, and a file', async () => {
    const { page, wrong, close } = await open(`${base}/`)
    const column = (level) => Array.from({ length: 30 }, (_, i) => level + (i % 7)).join('\n')
    await page.locator('textarea[name=baseline]').fill(column(100))
    await page.locator('textarea[name=canary]').fill(column(160))
    await page.getByRole('button', { name: 'Judge' }).click()
    await page.waitForURL(`${base}/try`)
    assert.equal(await page.locator('header').getAttribute('data-verdict'), 'fail')
    await page.goto(`${base}/`)
    const rows = Array.from({ length: 30 }, (_, i) => `${i},${160 + (i % 7)},${100 + (i % 7)}`)
    const file = { name: 'points.csv', mimeType: 'text/csv', buffer: Buffer.from(['time,canary,baseline', ...rows].join('\n')) }
    await page.locator('input[type=file]').setInputFiles(file)
    await page.getByRole('button', { name: 'Judge' }).click()
    await page.waitForURL(`${base}/try`)
    assert.equal(await page.locator('header').getAttribute('data-verdict'), 'fail')
    assert.deepEqual(wrong.filter((what) => !what.includes(base)), [])
    await close()
  })

  test('a judgement is answered as the page that the command writes', async () => {
    const reply = await fetch(`${base}/v1/judgements`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/html' },
      body: JSON.stringify(requests.failing),
    })
    assert.equal(reply.headers.get('content-type'), 'text/html; charset=utf-8')
    const judged = /data-verdict="fail"/
    assert.match(await reply.text(), judged)
  })
})
