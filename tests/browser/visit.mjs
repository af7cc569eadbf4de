// Opens pages, as a person would, and reports what is wrong with each: an error on the console, an
// exception, a request that fails, an answer of the API that is no JSON, a blank page.
//
// Beside what chromium.mjs says, the job has
//   pages       paths to open, each with a CSS selector of what it must show
//   screenshot  a file for a picture of the last page, or nothing
// The result is a list: for each page its path and its findings.

import { PATIENCE_MS, job, openTab, withBrowser } from "./chromium.mjs";

/** Pages mostly wait for their own splash screen. */
const TABS = 4;

await withBrowser(async (context) => {
  const waiting = job.pages.map((page, place) => ({ ...page, place }));
  const visits = [];
  const work = async () => {
    const { page, watch } = await openTab(context);
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      visits[next.place] = await visit(page, watch, next);
    }
    if (job.screenshot) {
      await page.screenshot({ path: job.screenshot });
    }
  };
  await Promise.all(Array.from({ length: Math.min(TABS, job.pages.length) }, work));
  return visits;
});

async function visit(page, watch, { path, shows }) {
  const findings = [];
  await page.goto(job.base + path, { waitUntil: "load" });
  const sight = page.locator(shows).first();
  await sight.waitFor({ timeout: PATIENCE_MS }).catch(() => {
    findings.push(`nothing matches ${shows}`);
  });
  await watch.settled();
  const text = await page.evaluate(() => document.body.innerText.trim());
  if (text.length < 20) {
    findings.push(`blank: ${JSON.stringify(text)}`);
  }
  return { path, findings: [...(await watch.findings()), ...findings] };
}
