"use strict";
(() => {
  const every = (selector, root) => Array.from((root || document).querySelectorAll(selector));
  const body = document.querySelector("#runs tbody");
  const filter = document.getElementById("filter");
  const order = document.getElementById("order");
  const compare = document.getElementById("compare");
  const live = document.getElementById("live");
  const rows = () => every("tr", body);
  // Names read from a to z, times and sizes from the newest and largest.
  const NATURAL = { name: 1, regime: 1, lowness: 1, accuracy: -1, changed: -1, bytes: -1 };
  const TEXTS = ["name", "regime"];
  const QUIET = 600;
  const sorting = { by: "changed", way: -1 };

  function between(a, b) {
    const [one, other] = [a.dataset[sorting.by], b.dataset[sorting.by]];
    const names = a.dataset.name.localeCompare(b.dataset.name, undefined, { numeric: true });
    if (TEXTS.includes(sorting.by)) return sorting.way * one.localeCompare(other, undefined, { numeric: true }) || names;
    // What is not known comes last, either way.
    if (one === "" || other === "") return (one === "") - (other === "") || names;
    return sorting.way * (Number(one) - Number(other)) || names;
  }

  function sort() {
    const focused = document.activeElement;
    const sorted = rows().sort(between);
    if (sorted.some((row, place) => body.children[place] !== row)) body.append(...sorted);
    if (focused && focused !== document.activeElement) focused.focus();
    every("th[aria-sort]").forEach((head) => {
      const mine = head.firstElementChild.dataset.order === sorting.by;
      head.setAttribute("aria-sort", mine ? (sorting.way > 0 ? "ascending" : "descending") : "none");
    });
    order.value = sorting.by;
  }

  function sift() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows().forEach((row) => {
      const text = `${row.dataset.name} ${row.querySelector(".run").textContent} ${(row.querySelector(".regime, .problem") || row).textContent} ${(row.querySelector(".status") || row).textContent}`.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += !row.hidden;
    });
    const all = rows().length;
    document.getElementById("count").textContent = shown === all ? `${all} run${all === 1 ? "" : "s"}` : `${shown} of ${all} runs`;
    document.getElementById("none").hidden = shown > 0 || !all;
    document.getElementById("runs").hidden = !all;
    document.getElementById("hint").hidden = all > 0;
  }

  function choose() {
    if (!compare) return;
    const ticked = every("input[name=run]:checked", body).length;
    compare.disabled = ticked < 2;
    compare.textContent = ticked < 2 ? "Compare: tick two or more" : `Compare ${ticked} runs`;
  }

  function ageWords(seconds) {
    const steps = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [Infinity, 86400, "d"]];
    if (seconds < 1) return "just now";
    const [, size, unit] = steps.find(([end]) => seconds < end);
    return `${Math.floor(seconds / size)} ${unit} ago`;
  }

  function age() {
    every("time[data-seconds]", body).forEach((node) => {
      const written = Number(node.dataset.seconds);
      const seconds = Math.max(0, Date.now() / 1000 - written);
      node.textContent = ageWords(seconds);
      node.dateTime = new Date(1000 * written).toISOString();
      node.title = new Date(1000 * written).toLocaleString();
      const status = node.parentNode.querySelector(".status.unfinished");
      if (status) status.textContent = seconds > QUIET ? "no end: running or killed" : "running";
    });
  }

  // Cell by cell, and only what differs: a tick, and where the keyboard stands, stay.
  function put(name, text) {
    const holder = document.createElement("template");
    holder.innerHTML = text;
    const fresh = holder.content.querySelector("tr");
    const old = rows().find((row) => row.dataset.name === name);
    if (!old) return body.append(fresh), fresh;
    if (old.cells.length !== fresh.cells.length) return old.replaceWith(fresh), fresh;
    Object.assign(old.dataset, fresh.dataset);
    Array.from(fresh.cells).forEach((cell, place) => {
      const there = old.cells[place];
      const aged = there.querySelector("time");
      const same = aged ? aged.dataset.seconds === cell.querySelector("time")?.dataset.seconds && old.dataset.status === old.dataset.shown : there.innerHTML === cell.innerHTML;
      if (!same && there.className === cell.className) there.replaceChildren(...cell.childNodes);
      else if (!same) there.replaceWith(cell);
    });
    old.dataset.shown = old.dataset.status;
    return old;
  }

  function change(news) {
    Object.entries(news.rows).forEach(([name, text]) => {
      const written = (rows().find((one) => one.dataset.name === name) || { dataset: {} }).dataset.changed;
      const row = put(name, text);
      if (row.dataset.changed === written) return;
      row.classList.remove("fresh");
      void row.offsetWidth;
      row.classList.add("fresh");
    });
    news.gone.forEach((name) => rows().filter((row) => row.dataset.name === name).forEach((row) => row.remove()));
    update();
  }

  function update() {
    age();
    sort();
    sift();
    choose();
  }

  let source = null;
  function connect() {
    if (source || document.hidden) return;
    source = new EventSource(`/list-events?marks=${encodeURIComponent(live.dataset.marks)}`);
    source.onopen = () => (live.textContent = "· live");
    source.onerror = () => (live.textContent = "· the server does not answer; trying again");
    source.addEventListener("rows", (event) => {
      live.dataset.marks = event.lastEventId;
      change(JSON.parse(event.data));
    });
    source.addEventListener("reload", () => location.reload());
  }

  // A browser grants one server few connections: a page that nobody sees gives its own back.
  function disconnect() {
    if (source) source.close();
    source = null;
  }

  filter.addEventListener("input", sift);
  order.addEventListener("change", () => sortBy(order.value, NATURAL[order.value]));
  function sortBy(by, way) {
    Object.assign(sorting, { by, way });
    sort();
  }
  every("th button").forEach((button) =>
    button.addEventListener("click", () => {
      const by = button.dataset.order;
      sortBy(by, sorting.by === by ? -sorting.way : NATURAL[by]);
    }),
  );
  body.addEventListener("change", choose);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.matches("input, select")) return;
    event.preventDefault();
    filter.focus();
  });
  rows().forEach((row) => (row.dataset.shown = row.dataset.status));
  document.getElementById("choice").addEventListener("submit", (event) => compare && compare.disabled && event.preventDefault());
  setInterval(age, 1000);
  update();
  if (live) {
    document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
    window.addEventListener("pagehide", disconnect);
    window.addEventListener("pageshow", () => (update(), connect()));
    connect();
  }
  document.documentElement.dataset.ready = "yes";
})();
