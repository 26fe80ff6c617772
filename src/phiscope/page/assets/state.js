const data = JSON.parse(document.getElementById("data").textContent);
const last = () => Math.max(data.positions.length - 1, 0);
const state = { position: last(), mode: "centered", split: data.splits[0] || "", turn: "diagonalized", epochs: "linear" };
const every = (selector, root) => Array.from((root || document).querySelectorAll(selector));
// Pictures and words that live in a closed section are left until it is opened.
const folded = (node) => Boolean(node.parentNode && node.parentNode.closest("details:not([open])"));
const config = { displayModeBar: false, responsive: true, doubleClick: false };
// Without a whole redraw a slide takes less than half the time; the axes stay as they are anyway.
const AT_ONCE = { mode: "immediate", frame: { duration: 0, redraw: false }, transition: { duration: 0 } };
const visible = new Set();
let Plotly = null;

const words = (value, digits = 4) => (value === null || value === undefined ? "–" : String(Number(value.toPrecision(digits))));
const recordOf = (run) => (run.at.length ? run.at[state.position] : -1);
const firstOf = (run) => (run.at.length ? run.at.find((index) => index >= 0) : -1);
const pick = (run, table) => (table && table[state.split] ? table[state.split][state.mode] : undefined);

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// Labels go to plotly, which reads a subset of HTML.
const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const subscript = (k) => String(k).replace(/\d/g, (d) => "₀₁₂₃₄₅₆₇₈₉"[d]);
const rangeWords = (ranges) => ranges.map(([from, to]) => `${from} to ${to}`).join(", ");

// What is rotated at a record, null when the page shows the functions as diagonalized.
function turnOf(run, record) {
  const turns = state.turn === "rotated" ? pick(run, run.turns) : null;
  return (turns && record >= 0 && turns[record]) || null;
}

function turnWords(run, turn, shown, without = []) {
  if (state.turn !== "rotated") return "";
  const gap = run.gaps[state.split];
  if (!turn) return run.unturned[state.split] || "";
  const inside = (ranges) => ranges.filter(([from]) => from <= shown);
  const ranges = inside(turn.ranges).filter(([from]) => !without.some(([start]) => start === from));
  const left = inside(turn.left);
  const first = ranges.length
    ? `Rotated toward the classes: k = ${rangeWords(ranges)}, each group for itself (neighbors there differ in strength by less than ${gap}); all others are as diagonalized.`
    : `Nothing is rotated here: all neighbors differ in strength by more than ${gap}.`;
  const second = left.length ? ` Left as diagonalized: k = ${rangeWords(left)}, groups that span more than a factor ${data.wide} in strength.` : "";
  return first + second;
}


// ---- colors ------------------------------------------------------------------------------------

const isDark = () => document.documentElement.dataset.shade === "dark";
const NO_COLORS = new Set(["x", "y", "z", "text", "ticktext", "tickvals", "name", "hovertemplate", "customdata"]);

// Specifications have the colors of white paper; on dark paper each has another in its place.
function tinted(value) {
  if (!isDark()) return value;
  if (typeof value === "string") return data.dark[value] || value;
  if (Array.isArray(value)) return value.map(tinted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, NO_COLORS.has(key) ? inner : tinted(inner)]));
}

function draw(chart, traces, layout) {
  return Plotly.react(chart, tinted(traces), tinted(layout), config);
}

// What stands in a chart's place where there is nothing to draw.
function emptied(chart, words) {
  let empty = chart.parentNode.querySelector(".empty");
  if (!words) return void (empty && empty.remove());
  if (chart.data) Plotly.purge(chart);
  chart.dataset.drawn = "";
  if (!empty) chart.parentNode.append((empty = element("p", "", "empty")));
  empty.textContent = words;
}
