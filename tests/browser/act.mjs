// Does on the pages what an administrator and those whom they invite do, against the simulated
// services of the demonstration, and reports what went wrong on the way: as visit.mjs does, and
// where a page did not come to show what was done.
//
// Elements are found by what the frontend of 3.3.0 and its later versions have in common.

import { PATIENCE_MS, job, openTab, withBrowser } from "./chromium.mjs";

const CODE = "FILM-CLUB";
const FRIEND = "new.friend@example.com";

const ACTIONS = [
  ["invites are created, with a code of one's own and with a generated one", createInvites],
  ["an invite's link is copied", copyLink],
  ["an invite is edited", editInvite],
  ["somebody is invited by e-mail", redeemByMail],
  ["somebody joins with a Plex account", joinWithPlex],
  ["a user is looked up again, gets an expiry and is removed", manageUser],
  ["an invite is deleted", deleteInvite],
  ["a code that nobody knows is refused politely", refuseCode],
  ["users of the portal are listed, found, added and deleted", managePortal],
  ["a provider is typed into the VPN monitor", typeProvider],
  ["a service is added with an icon, checked, edited and deleted", manageService],
  ["Posterizarr's page is refreshed", refreshPosterizarr],
  ["settings are saved and still there after a reload", saveSettings],
  ["one walks from page to page without loading them anew", walk],
];

async function open(page, path) {
  await page.goto(job.base + path, { waitUntil: "load" });
}

const row = (page, text) => page.locator("tr", { has: page.locator("td", { hasText: text }) });

/** Does something and waits for the answer to a request whose URL contains `part`. */
async function answered(page, part, act) {
  const asked = (response) => response.url().includes(part);
  const [response] = await Promise.all([page.waitForResponse(asked), act()]);
  return response;
}

/** The dialog on top. */
const dialog = (page) => page.locator(".fixed.inset-0").last();

/** Buttons that do something with what the row is about come last in it. */
const action = (line, place) => line.locator("td").last().locator("button").nth(place);

async function confirm(page) {
  await dialog(page).locator("button").last().click();
  await dialog(page).waitFor({ state: "detached" });
}

async function choose(form, place, choice) {
  const list = form.locator(".custom-dropdown").nth(place);
  await list.locator("button").click();
  await list.getByText(choice, { exact: true }).click();
}

async function createInvites(page) {
  await open(page, "/invites");
  const create = page.getByRole("button", { name: "Create Invite" }).first();
  await create.click();
  const form = page.locator("form");
  await form.locator("input[maxlength='32']").fill(CODE.toLowerCase());
  await choose(form, 0, "5 uses");
  await choose(form, 1, "30 days");
  await form.locator("button[type=submit]").click();
  await row(page, CODE).waitFor();
  await form.waitFor({ state: "detached" });

  const before = await page.locator("td code").count();
  await create.click();
  await form.locator("button[type=submit]").click();
  await form.waitFor({ state: "detached" });
  await page.waitForFunction((n) => document.querySelectorAll("td code").length > n, before);
}

async function copyLink(page) {
  await row(page, CODE).locator("td").first().locator("button").click();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  expect(copied, `${job.base}/invite/${CODE}`);
}

async function editInvite(page) {
  await action(row(page, CODE), 0).click();
  await choose(dialog(page), 0, "10 uses");
  await confirm(page);
  await row(page, CODE).getByText("0/10").waitFor();
}

async function redeemByMail(page) {
  await open(page, `/redeem?code=${CODE}`);
  await page.locator("input[type=email]").fill(FRIEND);
  await page.locator("button[type=submit]").click();
  await page.getByText("Invitation Accepted!").waitFor();
}

async function joinWithPlex(page) {
  await open(page, `/invite/${CODE}`);
  const join = page.getByText("Server beitreten");
  const [popup] = await Promise.all([page.waitForEvent("popup"), join.click()]);
  const address = popup.url();
  if (!address.includes("code=")) {
    throw new Error(`the pop-up shows ${address}`);
  }
  await page.getByText(/^Willkommen bei/).first().waitFor();
  await page.getByText("Weiter").click();
  await page.locator("img[src*='/api/plex/proxy/image']").first().waitFor();
}

async function manageUser(page) {
  await open(page, "/user-accounts");
  const line = row(page, FRIEND);
  await action(line, 0).click();
  await dialog(page).locator("h2").waitFor();
  await dialog(page).locator("button").first().click();
  await dialog(page).waitFor({ state: "detached" });
  await answered(page, "/refresh", () => action(line, 1).click());
  await action(line, 2).click();
  await dialog(page).locator("input[type=date]").fill("2099-12-31");
  await confirm(page);
  await line.getByText(/31\.12\.2099|30\.12\.2099|01\.01\.2100/).waitFor();
  await action(line, 3).click();
  await confirm(page);
  await line.waitFor({ state: "detached" });
}

async function deleteInvite(page) {
  await open(page, "/invites");
  const generated = page.locator("tr", { hasText: "Unlimited" }).first();
  const code = await generated.locator("code").innerText();
  await action(generated, 1).click();
  await confirm(page);
  await page.locator("td code", { hasText: code }).waitFor({ state: "detached" });
}

async function refuseCode(page) {
  await open(page, "/invite/NOBODY-KNOWS");
  await page.getByText("Einladungscode nicht gefunden").waitFor();
  await open(page, "/redeem?code=NOBODY-KNOWS");
  await page.getByText("Einladungscode nicht gefunden").waitFor();
}

async function managePortal(page) {
  await open(page, "/vod-portal");
  const refresh = page.getByRole("button", { name: "Refresh" });
  await refresh.click();
  await page.locator("tbody tr").nth(1).waitFor();

  await page.locator("input[name=username]").fill("portal-guest");
  await page.locator("input[name=password]").fill("pass-word-1");
  await page.locator("input[name=email_domain]").fill("films.example");
  const add = page.locator("form button[type=submit]");
  await answered(page, "/overseerr/users", () => add.click());
  const guest = row(page, "portal-guest");
  await page.getByPlaceholder(/search/i).fill("portal-guest");
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1);
  await guest.waitFor();
  await action(guest, 0).click();
  await confirm(page);
  await guest.waitFor({ state: "detached" });
}

async function typeProvider(page) {
  await open(page, "/vpn-proxy-monitor");
  const provider = page.locator("input[value='demagentatv']");
  await provider.waitFor();
  const box = await provider.elementHandle();
  await box.fill("");
  await answered(page, "%C3%BC", () => box.type("ot & 50% ü"));
}

async function manageService(page) {
  const url = `${job.base}/healthz`;
  await open(page, "/services");
  await page.getByRole("button", { name: /add service/i }).first().click();
  const form = page.locator("form");
  await form.locator("input[name=name]").fill("Cinema");
  await form.locator("input[name=url]").fill(url);
  await form.locator("input[type=file]").setInputFiles({
    name: "icon.png",
    mimeType: "image/png",
    buffer: Buffer.from(
      "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
      "base64",
    ),
  });
  await form.locator("button[type=submit]").click();
  await form.waitFor({ state: "detached" });
  const line = row(page, "Cinema");
  await line.locator("img[src^='/icons/']").waitFor();
  const actions = ["Check", "Edit", "Delete"].map((name) => line.getByTitle(name));
  await answered(page, "/check", () => actions[0].click());
  await actions[1].click();
  await form.locator("input[name=name]").fill("Cinema two");
  await form.locator("button[type=submit]").click();
  await row(page, "Cinema two").waitFor();
  await actions[2].click();
  await confirm(page);
  await line.waitFor({ state: "detached" });
}

async function refreshPosterizarr(page) {
  await open(page, "/posterizarr");
  const refresh = page.getByRole("button", { name: "Refresh" });
  await page.locator("td").first().waitFor();
  await answered(page, "/scheduler", () => refresh.click());
}

/** Every section is sent with every save. */
async function saveSettings(page, watch) {
  const settings = async () => (await page.request.get(`${job.base}/api/settings`)).json();
  const domain = page.locator("input:not([type=password])").nth(1);
  const show = async () => {
    await open(page, "/settings?tab=overseerr");
    await domain.waitFor();
    await watch.settled();
  };
  await show();
  const expected = await settings();
  expected.overseerr.email_domain = "portal.example";
  await domain.fill("portal.example");
  const save = page.locator("button", { has: page.locator("svg.lucide-save") });
  await save.click();
  await save.waitFor({ state: "detached" });
  expect(JSON.stringify(await settings()), JSON.stringify(expected));
  await show();
  expect(await domain.inputValue(), "portal.example");
}

/** Answers stay in the frontend's cache from page to page. */
async function walk(page, watch) {
  await open(page, "/");
  for (const path of ["/storage", "/vpn-proxy", "/posterizarr", "/external-apps", "/settings", "/about", "/"]) {
    await page.locator(`a[href='${path}']`).first().click();
    await page.waitForURL(job.base + path);
    await watch.settled();
    const text = await page.evaluate(() => document.body.innerText.trim());
    if (text.length < 20) {
      throw new Error(`blank: ${path}`);
    }
  }
}

function expect(found, expected) {
  if (found !== expected) {
    throw new Error(`found ${found}, expected ${expected}`);
  }
}

await withBrowser(async (context) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const { page, watch } = await openTab(context);
  page.setDefaultTimeout(PATIENCE_MS);
  const results = [];
  for (const [name, act] of ACTIONS) {
    const findings = [];
    await act(page, watch).catch((error) => findings.push(`could not: ${error.message}`));
    await watch.settled();
    results.push({ path: name, findings: [...findings, ...(await watch.findings())] });
  }
  return results;
});
