// Opens pages in Chromium, as a person would, and reports what is wrong with each: an error on the
// console, an exception, a request that fails, an answer of the API that is no JSON, a blank page.
//
// The argument is a job in JSON:
//   chromium     the browser
//   base         where the server is
//   pages        paths to open, one after the other in one tab
//   credentials  user and password for the log-in form, or null
//   landmark     what every page shows once it is there, as a CSS selector
//   allowed      beginnings of paths whose answers may be errors
//   screenshot   a file for a picture of the last page, or nothing
// The result is printed as JSON: for each page its path and its findings.

import { chromium } from "playwright-core";

const job = JSON.parse(process.argv[2]);
const PATIENCE_MS = 10_000;

const browser = await chromium.launch({
  executablePath: job.chromium,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});

try {
  const context = await browser.newContext({ viewport: { width: 1400, height: 900 } });
  // Nothing here may depend on the internet; others' servers answer with nothing.
  await context.route(
    (url) => url.origin !== job.base && url.protocol.startsWith("http"),
    (route) => route.fulfill({ status: 200, contentType: "application/json", body: "{}" }),
  );
  const page = await context.newPage();
  let findings = [];
  watch(page, (finding) => findings.push(finding));

  if (job.credentials) {
    await logIn(page, job.credentials);
  }
  const results = [];
  for (const path of job.pages) {
    findings = [];
    await page.goto(job.base + path, { waitUntil: "load" });
    const landmark = page.locator(job.landmark).first();
    await landmark.waitFor({ timeout: PATIENCE_MS }).catch(() => {
      findings.push(`nothing matches ${job.landmark}`);
    });
    await settled(page);
    const text = await page.evaluate(() => document.body.innerText.trim());
    if (text.length < 20) {
      findings.push(`blank: ${JSON.stringify(text)}`);
    }
    results.push({ path, findings });
  }
  if (job.screenshot) {
    await page.screenshot({ path: job.screenshot });
  }
  console.log(JSON.stringify(results));
} finally {
  await browser.close();
}

/** Reports what goes wrong from now on, but for what the job allows. */
function watch(page, report) {
  const allowed = (address) => {
    const url = new URL(address, job.base);
    return job.allowed.some((beginning) => url.pathname.startsWith(beginning));
  };
  page.on("pageerror", (error) => report(`exception: ${error.message}`));
  page.on("console", (message) => {
    const text = message.text();
    // The frontend logs failed calls with their path below /api.
    const known = job.allowed.some((path) => text.includes(path.replace(/^\/api/, "")));
    if (message.type() === "error" && !known && !allowed(message.location().url)) {
      report(`console: ${text} (${message.location().url})`);
    }
  });
  page.on("requestfailed", (request) => {
    const why = request.failure()?.errorText;
    // What the page before was still loading when it was left.
    if (why !== "net::ERR_ABORTED") {
      report(`failed: ${request.url()} ${why}`);
    }
  });
  page.on("response", async (response) => {
    const url = new URL(response.url());
    if (url.origin !== job.base || allowed(response.url())) {
      return;
    }
    if (response.status() >= 400) {
      report(`${response.status()}: ${url.pathname}`);
    }
    const kind = response.headers()["content-type"] ?? "";
    const data = url.pathname.startsWith("/api/") && response.status() === 200;
    if (data && !/json|image/.test(kind)) {
      report(`no JSON: ${url.pathname} ${kind}`);
    }
  });
}

/** Waits until nothing is being loaded. Pages that poll all the time are given ten seconds. */
async function settled(page) {
  await page.waitForLoadState("networkidle", { timeout: PATIENCE_MS }).catch(() => {});
}

async function logIn(page, { user, password }) {
  await page.goto(job.base + "/", { waitUntil: "load" });
  const secret = page.locator("input[type=password]");
  await secret.waitFor({ timeout: PATIENCE_MS });
  await page.locator("input:not([type=password])").first().fill(user);
  await secret.fill(password);
  await page.locator("button[type=submit]").click();
  await secret.waitFor({ state: "detached", timeout: PATIENCE_MS });
}
