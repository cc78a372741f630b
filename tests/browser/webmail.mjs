// The webmail in headless Chromium, on a desk and on a phone: signs in, opens the newest message, answers it, finds the
// answer in Sent, signs out. Also: no page is wider than the phone, nothing is fetched from elsewhere, no script of a
// message runs, and the same works with JavaScript off.
//
// BASE_URL USER PASSWORD   where and who (required); SUBJECT: wait until the newest message has this subject
// SCREENSHOT_DIR           pictures go there, when set
// CHROMIUM                 the browser, /usr/bin/chromium by default
// Ends with 0 when all is well; otherwise says what was not, and ends with 1.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const { BASE_URL, USER, PASSWORD, SUBJECT, SCREENSHOT_DIR, CHROMIUM = "/usr/bin/chromium" } = process.env;
const WAIT = 20_000;

function need(condition, message) {
  if (!condition) throw new Error(message);
}

async function picture(page, name) {
  if (SCREENSHOT_DIR) await page.screenshot({ path: join(SCREENSHOT_DIR, `${name}.png`) });
}

async function signIn(page, kind) {
  await page.goto(`${BASE_URL}/`);
  await picture(page, `${kind}-1-sign-in`);
  await page.fill("#name", USER);
  await page.fill("#password", "certainly wrong");
  await page.click("button.main");
  need(await page.locator("[role=alert]").count(), "a wrong password brings no message");
  await page.fill("#password", PASSWORD);
  await page.click("button.main");
  await page.waitForSelector("#list-title");
  need(new URL(page.url()).pathname === "/folder/INBOX", `signing in led to ${page.url()}`);
}

async function newest(page) {
  const deadline = Date.now() + WAIT;
  for (;;) {
    const row = page.locator(".row").first();
    const subject = (await row.count()) ? (await row.locator(".subject").innerText()).trim() : "";
    if (subject && (!SUBJECT || subject === SUBJECT)) return { row, subject };
    need(Date.now() < deadline, SUBJECT ? `the newest message is "${subject}", not "${SUBJECT}"` : "the inbox stays empty");
    await new Promise((done) => setTimeout(done, 250));
    await page.goto(`${BASE_URL}/folder/INBOX`);
  }
}

async function read(page, kind) {
  await picture(page, `${kind}-2-inbox`);
  const { row, subject } = await newest(page);
  await row.locator("> a").click();
  await page.waitForSelector("#subject");
  need((await page.locator("#subject").innerText()).trim() === subject, "another message was opened");
  if (await page.locator("iframe.body").count()) {
    const sandbox = await page.locator("iframe.body").getAttribute("sandbox");
    need(!/allow-scripts|allow-same-origin/.test(sandbox), `the message's frame may too much: ${sandbox}`);
    await page.frameLocator("iframe.body").locator("body").waitFor();
  } else {
    need((await page.locator(".body.text").innerText()).trim() !== "", "the message has no text");
  }
  await picture(page, `${kind}-3-message`);
  return subject;
}

async function answer(page, kind, subject) {
  const text = `An answer from the ${kind}, ${Date.now()}. Grüße!`;
  await page.locator("#do-reply").click();
  await page.waitForSelector("form.compose");
  const expected = /^re:/i.test(subject) ? subject : `Re: ${subject}`;
  need((await page.inputValue("#subject")) === expected, `the answer's subject is "${await page.inputValue("#subject")}"`);
  need((await page.inputValue("#to")) !== "", "the answer has no recipient");
  await page.fill("#text", `${text}\n\n${await page.inputValue("#text")}`);
  await page.setInputFiles("#file", { name: "notes ü.txt", mimeType: "text/plain", buffer: Buffer.from("a file") });
  await picture(page, `${kind}-4-answer`);
  await page.click(".actions button[value=send]");
  await page.waitForLoadState();
  const problem = page.locator("form.compose [role=alert]");
  need(!(await problem.count()), `not sent: ${(await problem.count()) ? await problem.innerText() : ""}`);
  need(/sent/i.test(await page.locator(".notice").innerText()), "nothing says that the message was sent");
  await picture(page, `${kind}-5-sent`);
  return { text, expected };
}

async function findInSent(page, kind, { text, expected }) {
  await page.goto(`${BASE_URL}/folder/Sent`);
  const row = page.locator(".row").first();
  need(await row.count(), "the Sent folder is empty");
  need((await row.locator(".subject").innerText()).trim() === expected, "the answer is not the newest in Sent");
  await picture(page, `${kind}-6-sent-folder`);
  await row.locator("> a").click();
  await page.waitForSelector("#subject");
  const body = page.locator(".body.text");
  need((await body.innerText()).includes(text), "the copy in Sent has another text");
  need((await page.locator(".files a").innerText()).includes("notes ü.txt"), "the copy in Sent has no file");
  await page.goto(`${BASE_URL}/search?q=${encodeURIComponent(`"${text.slice(0, 20)}"`)}`);
  need(await page.locator(".row").count(), "search does not find the answer");
  await picture(page, `${kind}-7-search`);
}

async function signOut(page, kind) {
  await page.click("details.me summary");
  await page.click("details.me .menu button");
  await page.waitForSelector("#password");
  await page.goto(`${BASE_URL}/folder/INBOX`);
  need(new URL(page.url()).pathname === "/sign-in", "after signing out the inbox is still shown");
  await picture(page, `${kind}-8-signed-out`);
}

async function visit(browser, kind, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT);
  const wrong = [];
  const here = new URL(BASE_URL).origin;
  page.on("request", (request) => {
    if (!request.url().startsWith(here) && !request.url().startsWith("data:")) wrong.push(`fetched ${request.url()}`);
  });
  page.on("pageerror", (error) => wrong.push(`script error: ${error.message}`));
  page.on("dialog", (dialog) => { if (dialog.type() === "alert") wrong.push("a message's script ran"); dialog.accept(); });
  try {
    await signIn(page, kind);
    const subject = await read(page, kind);
    const sent = await answer(page, kind, subject);
    await findInSent(page, kind, sent);
    if (options.javaScriptEnabled !== false) {
      for (const place of ["/folder/INBOX", "/folders", "/compose"]) {
        await page.goto(BASE_URL + place);
        const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
        need(wide <= room, `${place} is ${wide} pixels wide on a ${room} pixel screen`);
      }
    }
    await signOut(page, kind);
    need(!wrong.length, wrong.join("; "));
    console.log(`${kind}: ok`);
  } catch (error) {
    await picture(page, `${kind}-failed`).catch(() => {});
    throw new Error(`${kind}: ${error.message} (at ${page.url()})`);
  } finally {
    await context.close();
  }
}

async function main() {
  need(BASE_URL && USER && PASSWORD, "BASE_URL, USER and PASSWORD say where and who");
  if (SCREENSHOT_DIR) mkdirSync(SCREENSHOT_DIR, { recursive: true });
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
  try {
    await visit(browser, "desk", { viewport: { width: 1280, height: 800 }, ignoreHTTPSErrors: true });
    await visit(browser, "phone", { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, ignoreHTTPSErrors: true });
    await visit(browser, "no-script", { viewport: { width: 1280, height: 800 }, javaScriptEnabled: false, ignoreHTTPSErrors: true });
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(`webmail: ${error.message}`);
  process.exit(1);
});
