// ---- what happens when something is chosen ---------------------------------------------------

const drawers = [
  [".why", drawWhy],
  [".operator", drawOperator],
  [".map", drawMap],
  [".plane", drawPlane],
  [".history", drawHistory],
  [".track", drawTrack],
  [".flow", drawFlow],
  [".restricted", drawRestricted],
  [".tried", drawTried],
  [".gallery-run", drawGallery],
];
const drawerOf = (node) => drawers.find(([selector]) => node.matches(selector))[1];
let later = 0;
let asked = false;

// The picture follows the slider at once; what is further down follows when the slider rests.
function refresh() {
  document.documentElement.dataset.settled = "no";
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    const chosen = data.positions[state.position];
    if (chosen) {
      document.getElementById("moment").textContent = chosen.label;
      document.getElementById("position").setAttribute("aria-valuetext", chosen.label);
    }
    fillNow();
    every(".mode-words").forEach((node) => (node.hidden = node.dataset.mode !== state.mode));
    every(".log-words").forEach((node) => (node.hidden = state.epochs !== "log"));
    if (Plotly) visible.forEach((node) => !folded(node) && node.matches(".why, .operator, .map, .plane") && drawerOf(node)(node));
    clearTimeout(later);
    later = setTimeout(() => {
      every(".chart, .gallery-run").forEach((node) => (node.dataset.stale = "yes"));
      if (Plotly) visible.forEach(show);
      fillNumbers();
      fillCurveTables();
      if (!asked) document.documentElement.dataset.settled = "yes";
    }, 120);
  });
}

function show(node) {
  if (!Plotly || node.dataset.stale === "no" || folded(node)) return;
  node.dataset.stale = "no";
  drawerOf(node)(node);
}

// Milliseconds between two records while the picture plays.
const playPause = () => Math.max(90, Math.min(500, 9000 / (last() + 1)));

// The slider's length, which grows with a page that follows its runs.
function fitSlider() {
  const slider = document.getElementById("position");
  slider.max = String(last());
  slider.value = String(state.position);
  slider.disabled = document.getElementById("play").disabled = data.positions.length < 2;
}

function controls() {
  const slider = document.getElementById("position");
  const play = document.getElementById("play");
  let timer = 0;
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    play.setAttribute("aria-pressed", "false");
    play.firstElementChild.textContent = "▶";
    play.querySelector(".play-word").textContent = "Play";
  };
  const choose = (position) => {
    state.position = position;
    slider.value = String(position);
    refresh();
  };
  fitSlider();
  slider.addEventListener("input", () => (stop(), choose(Number(slider.value))));
  play.addEventListener("click", () => {
    if (timer) return stop();
    if (state.position === last()) choose(0);
    play.setAttribute("aria-pressed", "true");
    play.firstElementChild.textContent = "❚❚";
    play.querySelector(".play-word").textContent = "Pause";
    timer = setInterval(() => (state.position >= last() ? stop() : choose(state.position + 1)), playPause());
  });
  every("input[data-state]").forEach((input) =>
    input.addEventListener("change", () => {
      state[input.dataset.state] = input.value;
      // The same switch stands beside every picture that it changes.
      every(`input[data-state=${input.dataset.state}]`).forEach((twin) => (twin.checked = twin.value === input.value));
      ribbons();
      every(".class-search").forEach(showMatches);
      refresh();
    }),
  );
  searchFields();
  every(".more").forEach((button) =>
    button.addEventListener("click", () => {
      const block = button.closest(".gallery-run");
      block.dataset.all = block.dataset.all ? "" : "yes";
      drawGallery(block);
    }),
  );
  every("details").forEach((node) => node.addEventListener("toggle", () => node.open && fillCurveTables()));
  ribbons();
  folding();
  refresh();
}

// ---- the drawing library ---------------------------------------------------------------------

async function unpack() {
  // A server sends the library as a script of its own, which has run by now.
  if (!document.getElementById("library")) return window.Plotly;
  const packed = atob(document.getElementById("library").textContent.trim());
  // A loop: a function called for each of two million letters would take half a second.
  const bytes = new Uint8Array(packed.length);
  for (let i = 0; i < packed.length; i += 1) bytes[i] = packed.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
  script.remove();
  document.getElementById("library").remove();
  return window.Plotly;
}

// Everything anew, where a size or a color has changed: a chart that is there keeps its size.
function redraw() {
  every(".chart").forEach((chart) => {
    if (chart.data) Plotly.purge(chart);
    chart.dataset.drawn = "";
  });
  every(".chart, .gallery-run").forEach((node) => (node.dataset.stale = "yes"));
  const now = document.documentElement.classList.contains("printing") ? every(".chart, .gallery-run") : Array.from(visible);
  now.forEach(show);
}

// What is open but out of sight is drawn when nothing else is to do, so that a capture of the whole page is complete.
function showRest(place) {
  const rest = every(".chart, .gallery-run", place);
  const idle = window.requestIdleCallback || ((work) => setTimeout(work, 30));
  const next = () => {
    const node = rest.shift();
    if (node) show(node);
    if (rest.length) idle(next);
  };
  idle(next);
}

function watch() {
  const watcher = new IntersectionObserver(
    (entries) =>
      entries.forEach((entry) => {
        if (!entry.isIntersecting) return visible.delete(entry.target);
        visible.add(entry.target);
        show(entry.target);
      }),
    { rootMargin: "300px 0px" },
  );
  every(".chart, .gallery-run").forEach((node) => watcher.observe(node));
  showRest(document);
  every("details").forEach((node) => node.addEventListener("toggle", () => node.open && showRest(node)));
  printing(redraw);
  document.addEventListener("shade", redraw);
}

controls();
const note = document.getElementById("unpacking");
if (document.getElementById("library") && typeof DecompressionStream === "undefined") {
  note.textContent = "This browser is too old to unpack the pictures (it lacks DecompressionStream); any browser from 2023 on shows them.";
  note.hidden = false;
  return;
}
unpack().then(
  (library) => {
    Plotly = library;
    watch();
    document.documentElement.dataset.ready = "yes";
  },
  (error) => {
    note.textContent = `The pictures could not be unpacked: ${error.message}`;
    note.hidden = false;
  },
);
