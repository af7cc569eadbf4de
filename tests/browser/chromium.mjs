// Chromium, what it may reach, and what counts as wrong on a page. For visit.mjs and act.mjs, whose
// argument is a job in JSON:
//   chromium     the browser
//   base         where the server is
//   credentials  user and password for the log-in form, or null
//   allowed      answers that may be errors, as "503 /api/path"
//   patience     milliseconds after which something is not coming any more, or nothing

import { chromium } from "playwright-core";

export const job = JSON.parse(process.argv[2]);

/** Nothing here takes this long, unless it never happens. */
export const PATIENCE_MS = job.patience ?? 15_000;

/** So long nothing may be on its way before a page counts as loaded. */
const QUIET_MS = 300;

/** Bodies that a page does not read do not arrive. */
const BODY_MS = 1000;

/** What others' servers answer: nothing here may depend on the internet. */
const ELSEWHERE = {
  "api.themoviedb.org": { results: [] },
  "cdn.jsdelivr.net": { type: "FeatureCollection", features: [] },
};

const PIXEL = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>';

/** Opens the browser, lets `use` work in it, prints what that returns, and closes it. */
export async function withBrowser(use) {
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
    const context = await browser.newContext({ viewport: { width: 1600, height: 900 } });
    await context.route(
      (url) => url.origin !== job.base && url.protocol.startsWith("http"),
      (route) => {
        const host = new URL(route.request().url()).hostname;
        return route.request().resourceType() === "image"
          ? route.fulfill({ contentType: "image/svg+xml", body: PIXEL })
          : route.fulfill({ json: ELSEWHERE[host] ?? {} });
      },
    );
    console.log(JSON.stringify(await use(context)));
  } finally {
    await browser.close();
  }
}

/** A tab that is watched, logged in where the job says so. */
export async function openTab(context) {
  const page = await context.newPage();
  const watch = new Watch(page);
  if (job.credentials) {
    await logIn(page, job.credentials);
  }
  return { page, watch };
}

/** Collects what goes wrong in one tab. */
class Watch {
  #findings = [];
  /** What the page may say on its console because of allowed answers. */
  #excuses = [];
  #reading = [];
  #loading = new Set();
  #quietSince = Date.now();
  #leaving = false;

  constructor(page) {
    page.on("pageerror", (error) => this.#report(`exception: ${error.message}`));
    page.on("console", (message) => {
      if (message.type() === "error") {
        this.#report(`console: ${message.text()} (${message.location().url})`);
      }
    });
    page.on("request", (request) => {
      this.#leaving ||= request.isNavigationRequest();
      this.#loading.add(request);
    });
    page.on("framenavigated", () => {
      // Nobody hears any more of what the document before was loading.
      if (this.#leaving) {
        this.#leaving = false;
        this.#loading.clear();
      }
    });
    page.on("requestfailed", (request) => {
      this.#done(request);
      const why = request.failure()?.errorText;
      // What the page before was still loading when it was left.
      if (why !== "net::ERR_ABORTED") {
        this.#report(`failed: ${request.url()} ${why}`);
      }
    });
    page.on("response", (response) => {
      this.#done(response.request());
      this.#reading.push(this.#judge(response));
    });
  }

  /** What has gone wrong since the last call. */
  async findings() {
    await Promise.all(this.#reading);
    const excused = (finding) => this.#excuses.some((excuse) => finding.includes(excuse));
    const found = this.#findings.filter((finding) => !excused(finding));
    this.#findings = [];
    this.#excuses = [];
    this.#reading = [];
    return found;
  }

  /** Waits until nothing has been on its way for a moment; polling pages are never idle for long. */
  async settled() {
    const started = Date.now();
    const busy = () => this.#loading.size > 0 || Date.now() - this.#quietSince < QUIET_MS;
    while (busy()) {
      if (Date.now() - started > PATIENCE_MS) {
        const [slow] = this.#loading;
        this.#report(`never loaded: ${slow?.url()}`);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  #report(finding) {
    this.#findings.push(finding);
  }

  #done(request) {
    this.#loading.delete(request);
    this.#quietSince = Date.now();
  }

  async #judge(response) {
    const url = new URL(response.url());
    const status = response.status();
    if (url.origin !== job.base || status === 101) {
      return;
    }
    const api = url.pathname.startsWith("/api/");
    if (job.allowed.includes(`${status} ${url.pathname}`)) {
      this.#excuses.push(url.pathname.replace(/^\/api/, ""));
      const detail = /"detail":"([^"]+)"/.exec(await body(response));
      this.#excuses.push(...(detail ? [detail[1]] : []));
    } else if (status >= 400) {
      this.#report(`${status}: ${url.pathname} ${await body(response)}`);
    } else if (api && status === 200) {
      const kind = response.headers()["content-type"] ?? "";
      if (/^image\//.test(kind)) {
        return;
      }
      const text = await body(response);
      if (text !== "" && !isJson(text)) {
        this.#report(`no JSON: ${url.pathname} ${kind} ${text.slice(0, 80)}`);
      }
    }
  }
}

/** The body, empty where the page has not read it or has been left meanwhile. */
async function body(response) {
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, BODY_MS, "")));
  const text = await Promise.race([response.text().catch(() => ""), late]);
  clearTimeout(timer);
  return text;
}

function isJson(text) {
  try {
    // How 3.3.0 answered for paths that it did not know.
    return JSON.parse(text)?.error !== "Not found";
  } catch {
    return false;
  }
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
