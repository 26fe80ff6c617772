// ---- light or dark, before anything is seen ------------------------------------------------------
"use strict";
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const KEY = "phiscope colors";
  // A page in a sandboxed frame, as notebooks show it, has no storage: the choice then lasts as long as the page.
  let store = null;
  try {
    store = window.localStorage;
  } catch (refusal) {
    if (refusal.name !== "SecurityError") throw refusal;
  }
  let choice = (store && store.getItem(KEY)) || "auto";
  let paper = false;
  const apply = () => {
    const dark = !paper && (choice === "dark" || (choice === "auto" && system.matches));
    root.dataset.shade = dark ? "dark" : "light";
    document.dispatchEvent(new Event("shade"));
  };
  system.addEventListener("change", apply);
  // Paper is white.
  document.addEventListener("paper", (event) => {
    paper = event.detail;
    apply();
  });
  document.addEventListener("DOMContentLoaded", () => {
    const field = document.getElementById("theme");
    if (!field) return;
    field.closest("label").hidden = false;
    field.value = choice;
    field.addEventListener("change", () => {
      choice = field.value;
      if (store) store.setItem(KEY, choice);
      apply();
    });
  });
  apply();
})();
