// ---- folded sections: anchors open them, print unfolds them, the contents say where one is --------

// A link to a section opens it and what it lies in.
function openTarget() {
  const target = location.hash.length > 1 ? document.getElementById(decodeURIComponent(location.hash.slice(1))) : null;
  for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
  if (target) target.scrollIntoView();
}

function contentsMark() {
  const links = every("#toc a");
  const places = links.map((link) => document.getElementById(link.hash.slice(1)));
  let waiting = false;
  const mark = () => {
    waiting = false;
    let at = 0;
    places.forEach((place, i) => place && place.getBoundingClientRect().top < 0.4 * window.innerHeight && (at = i));
    if (window.scrollY < 40) at = 0;
    links.forEach((link, i) => (i === at ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current")));
    const box = links[at].parentNode;
    if (box.scrollWidth > box.clientWidth) box.scrollLeft = links[at].offsetLeft - box.clientWidth / 2;
  };
  window.addEventListener("scroll", () => waiting || ((waiting = true), requestAnimationFrame(mark)), { passive: true });
  mark();
}

function folding() {
  window.addEventListener("hashchange", openTarget);
  // A second click on the same link changes no address.
  every("#toc a").forEach((link) => link.addEventListener("click", () => link.hash === location.hash && openTarget()));
  const all = document.getElementById("unfold");
  all.addEventListener("click", () => {
    const open = all.getAttribute("aria-pressed") !== "true";
    every("details.fold").forEach((node) => (node.open = open));
    all.setAttribute("aria-pressed", String(open));
    all.textContent = open ? "Fold all" : "Unfold all";
  });
  contentsMark();
  openTarget();
}

// Paper has no folds: all is opened, drawn as wide as the paper, and put back afterwards.
function printing(redraw) {
  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = every("details:not([open])");
    closed.forEach((node) => (node.open = true));
    document.documentElement.classList.add("printing");
    document.dispatchEvent(new CustomEvent("paper", { detail: true }));
    redraw();
  });
  window.addEventListener("afterprint", () => {
    closed.forEach((node) => (node.open = false));
    document.documentElement.classList.remove("printing");
    document.dispatchEvent(new CustomEvent("paper", { detail: false }));
    redraw();
  });
}
