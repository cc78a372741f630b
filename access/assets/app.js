// Comforts on top of pages that work without this file: local times, picking all, keys, live lists.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

  function times(root) {
    const now = new Date();
    const format = (date, options) => new Intl.DateTimeFormat(undefined, options).format(date);
    for (const time of $$("time[datetime]", root)) {
      const date = new Date(time.dateTime);
      if (isNaN(date)) continue;
      time.title = format(date, { dateStyle: "full", timeStyle: "short" });
      if (time.dataset.style === "full") {
        time.textContent = format(date, { dateStyle: "medium", timeStyle: "short" });
      } else if (date.toDateString() === now.toDateString()) {
        time.textContent = format(date, { timeStyle: "short" });
      } else if (date.getFullYear() === now.getFullYear()) {
        time.textContent = format(date, { day: "numeric", month: "short" });
      } else {
        time.textContent = format(date, { day: "numeric", month: "short", year: "numeric" });
      }
    }
  }

  function pickAll() {
    const head = $(".list-head");
    const boxes = () => $$(".pick input");
    if (!head || !boxes().length || $(".pick-all", head)) return;
    const label = document.createElement("label");
    label.className = "pick-all";
    const all = document.createElement("input");
    all.type = "checkbox";
    all.setAttribute("aria-label", "Pick all on this page");
    all.addEventListener("change", () => boxes().forEach((box) => (box.checked = all.checked)));
    label.append(all);
    head.prepend(label);
  }

  let busy = false;
  async function refresh(generation) {
    const list = $(".list[data-live]");
    // A person who is picking messages must not lose the picks.
    if (!list || busy || list.dataset.generation === generation || $(".pick input:checked")) return;
    busy = true;
    try {
      const reading = document.body.classList.contains("reading");
      const address = reading ? $("input[name=back]", list).value : location.href;
      const answer = await fetch(address, { credentials: "same-origin" });
      if (!answer.ok || new URL(answer.url).pathname === "/sign-in") return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const next = $(".list", fresh);
      if (!next || $(".pick input:checked")) return;
      const path = (link) => link?.getAttribute("href").split("?")[0];
      const current = path($(".row.current > a", list));
      const focused = path(document.activeElement?.closest(".row")?.querySelector("a"));
      const scroll = list.scrollTop;
      list.replaceChildren(...next.childNodes);
      list.dataset.generation = next.dataset.generation;
      for (const link of $$(".row > a", list)) {
        if (current && path(link) === current) link.parentElement.classList.add("current");
        if (focused && path(link) === focused) link.focus();
      }
      list.scrollTop = scroll;
      const folders = $("#folders"), newFolders = $("#folders", fresh);
      if (folders && newFolders) folders.replaceChildren(...newFolders.childNodes);
      if (!reading) document.title = fresh.title;
      times(list);
      pickAll();
    } finally {
      busy = false;
    }
  }

  function live() {
    const list = $(".list[data-live]");
    if (!list || !window.EventSource) return;
    let events = null;
    const open = () => {
      if (events || document.hidden) return;
      events = new EventSource(list.dataset.live);
      events.onmessage = (event) => refresh(event.data);
    };
    // A hidden page needs no updates: give the connection back.
    const close = () => { if (events) events.close(); events = null; };
    document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
    window.addEventListener("pagehide", close);
    window.addEventListener("pageshow", open);
    open();
  }

  function keys() {
    const step = (by) => {
      const links = $$(".row > a");
      if (!links.length) return;
      const focused = links.indexOf(document.activeElement);
      const here = focused >= 0 ? focused : links.findIndex((link) => link.closest(".current"));
      links[Math.min(Math.max(here + by, 0), links.length - 1)].focus();
    };
    const click = (selector) => $(selector)?.click();
    const actions = {
      j: () => step(1), k: () => step(-1), c: () => click(".compose-link"), "/": () => $("#q")?.focus(),
      r: () => click("#do-reply"), a: () => click("#do-reply-all"), f: () => click("#do-forward"),
      "#": () => click("#do-delete"), u: () => click(".reader .back"),
      x: () => document.activeElement?.closest(".row")?.querySelector(".pick input")?.click(),
    };
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target.closest("input, textarea, select") && event.target.type !== "checkbox") return;
      const action = actions[event.key];
      if (action) { event.preventDefault(); action(); }
    });
    document.addEventListener("click", (event) => {
      for (const open of $$("details.me[open], details.more[open]")) if (!open.contains(event.target)) open.open = false;
    });
  }

  function compose() {
    const form = $("form.compose");
    if (!form) return;
    let changed = false;
    form.addEventListener("input", () => (changed = true));
    form.addEventListener("submit", () => (changed = false));
    window.addEventListener("beforeunload", (event) => { if (changed) event.preventDefault(); });
    const text = $("#text", form);
    if (text && text.autofocus) { text.focus(); text.setSelectionRange(0, 0); text.scrollTop = 0; }
    form.addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key === "Enter") $("button[value=send]", form).click();
    });
  }

  times(document);
  pickAll();
  keys();
  compose();
  live();
})();
