const data = JSON.parse(document.getElementById("data").textContent);
const last = () => Math.max(data.positions.length - 1, 0);
const state = { position: last(), mode: "centered", split: data.splits[0] || "", turn: "diagonalized", epochs: "linear" };
const every = (selector, root) => Array.from((root || document).querySelectorAll(selector));
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

// ---- the picture: spectrum and the two shares -------------------------------------------------

function curveOf(run, record, name) {
  const frames = pick(run, run.curves);
  const frame = frames && record >= 0 ? frames[record] : null;
  return frame && frame[name] ? { x: frame.k, y: frame[name] } : { x: [], y: [] };
}

function drawOperator(chart, whole) {
  const run = data.runs[chart.dataset.run];
  const name = chart.dataset.panel;
  const record = recordOf(run);
  const now = curveOf(run, record, name);
  const ghost = record === firstOf(run) ? { x: [], y: [] } : curveOf(run, firstOf(run), name);
  const panel = (run.layouts[state.mode] || {})[name];
  let empty = chart.parentNode.querySelector(".empty");
  if (!panel || !now.x.length) {
    Plotly.purge(chart);
    chart.dataset.drawn = "";
    if (!empty) chart.parentNode.append((empty = element("p", "", "empty")));
    const measured = record >= 0 && (run.regimes[state.split] || [])[record] !== undefined;
    empty.textContent = record < 0 ? "Not recorded yet at this time." : !measured ? `This run has no ${state.split} split.` : (panel && panel.note) || "Not measured here.";
    return;
  }
  if (empty) empty.remove();
  const key = `${state.mode} ${state.split}`;
  if (!whole && chart.dataset.drawn === key) {
    // Redrawing the unchanged gray curve would double the time of a slide.
    const both = (chart.data[0].x.length === 0) !== (ghost.x.length === 0);
    if (both) Plotly.restyle(chart, { x: [ghost.x, now.x], y: [ghost.y, now.y] }, [0, 1]);
    else Plotly.animate(chart, { data: [now], traces: [1] }, AT_ONCE).catch(() => "overtaken by the next slide");
  } else {
    const trace = (curve, color, width, size, title) => ({
      type: "scatter", mode: size ? "lines+markers" : "lines", x: curve.x, y: curve.y, cliponaxis: true,
      line: { color, width }, marker: { color, size }, hovertemplate: `${title}k = %{x}: %{y:.3~g}<extra></extra>`,
    });
    const layout = structuredClone(panel.layout);
    const traces = [trace(ghost, data.ghost, 1.7, 0, "first record, "), trace(now, run.color, 2, 5, "")];
    const size = run.sizes[state.split];
    if (name === "cumulative_quality" && state.mode === "centered" && size > 1) {
      const chance = { x: now.x, y: now.x.map((k) => Math.min(k / (size - 1), 1)) };
      const level = trace(chance, "#57606A", 1.2, 0, "by chance, ");
      level.line.dash = "dot";
      traces.push(level);
    }
    Plotly.react(chart, traces, layout, config);
    chart.dataset.drawn = key;
  }
  const mark = panel.layout.annotations.length ? `; marked: ${panel.layout.annotations[0].text}` : "";
  const end = Math.min(now.y.length, 12);
  chart.setAttribute("aria-label", `${name.replace("_", " ")} of ${run.label}, ${state.split}, ${state.mode}, ${run.moments[record]}: first ${end} values ${now.y.slice(0, end).map((v) => words(v, 3)).join(", ")}${mark}`);
}

function nowWords(run) {
  const record = recordOf(run);
  if (record < 0) return "nothing recorded yet at this time";
  const found = (run.regimes[state.split] || [])[record];
  const start = `${run.moments[record]}, ${state.split}`;
  if (!found) return `${start}: regime cannot be told`;
  const moved = found.similarity === null ? "" : `, S_init = ${found.similarity}`;
  return `${start}: ${found.regime || "cannot be told"} (k90 = ${found.k90}, r = ${found.rank}, U = ${found.used}, cliff = ${found.cliff}, D_LR = ${found.distance}${moved})`;
}

// ---- class map -------------------------------------------------------------------------------

function clusterWords(run, clusters) {
  if (!clusters.length) return "";
  return `Nearly equal strength (neighbors differ by less than ${run.gaps[state.split]}): k = ${rangeWords(clusters)}. Inside such a group the single columns are determined only up to a rotation; the group as a whole is safe.`;
}

function nowShort(run, record, turn) {
  const rotated = turn && turn.ranges.length ? ", rotated inside clusters" : "";
  return `${run.moments[record]}, ${state.split}, ${state.mode}${rotated}`;
}

function turnedCells(cells, turn) {
  const columns = Object.entries(turn ? turn.columns : {});
  if (!columns.length) return cells;
  return cells.map((row, index) => {
    const moved = row.slice();
    columns.forEach(([k, column]) => (moved[k - 1] = column[index]));
    return moved;
  });
}

function drawMap(chart) {
  const run = data.runs[chart.dataset.run];
  const figure = chart.closest("figure");
  const frames = pick(run, run.maps);
  const spec = pick(run, run.map_specs);
  let record = recordOf(run);
  while (frames && record > 0 && !frames[record]) record -= 1;
  const frame = frames && record >= 0 ? frames[record] : null;
  // Between two records that have a map nothing changes, and a heat map takes longer to draw than a step may.
  const key = [state.mode, state.split, state.turn, record, ...addedOf(run)].join(" ");
  if (frame && chart.dataset.drawn === key) return;
  chart.dataset.drawn = frame ? key : "";
  const note = figure.querySelector(".cluster-note");
  const scale = figure.querySelector(".scale");
  scale.hidden = !frame || !spec;
  note.hidden = true;
  if (!frame || !spec) {
    Plotly.purge(chart);
    figure.querySelector(".map-now").textContent = "not measured on this split";
    return;
  }
  const drawn = structuredClone({ data: spec.data, layout: spec.layout });
  const turn = turnOf(run, record);
  drawn.data[0].z = turnedCells(frame.z, turn);
  drawn.layout.shapes = frame.clusters.map(([from, to]) => ({
    type: "line", xref: "x", yref: "paper", x0: from - 0.45, x1: to + 0.45, y0: 1.0, y1: 1.0, line: { color: "#1F2328", width: 4 },
  }));
  withAddedRows(drawn, addedRows(run, frame.z[0].length), frame.z[0].length);
  chart.style.height = `${drawn.layout.height}px`;
  Plotly.react(chart, drawn.data, drawn.layout, config);
  figure.querySelector(".map-now").textContent = nowShort(run, record, turn);
  scale.querySelector("i").className = spec.diverging ? "scale-diverging" : "scale-sequential";
  scale.querySelector(".scale-low").textContent = spec.diverging ? `−${spec.limit}` : "0";
  scale.querySelector(".scale-high").textContent = String(spec.limit);
  note.textContent = state.turn === "rotated" ? turnWords(run, turn, frame.z[0].length) : clusterWords(run, frame.clusters);
  note.hidden = !note.textContent;
  chart.setAttribute("aria-label", `Heat map of ${run.label}, ${run.moments[record]}: ${frame.z.length} rows by ${frame.z[0].length} eigenfunctions`);
}

// ---- gallery ---------------------------------------------------------------------------------

const FIRST_CARDS = window.innerWidth < 620 ? 4 : 8;

// A sample as text: what is marked with what stands around it.
function markedText([before, marked, after]) {
  const text = element("span", undefined, "inputs");
  text.append(before, element(before || after ? "mark" : "span", marked), after);
  return text;
}

// A short address for the picture of all samples: each tile that names megabytes of data would parse them anew.
const spriteAddresses = new WeakMap();
function spriteAddress(sprite) {
  if (!spriteAddresses.has(sprite)) {
    const packed = atob(sprite.uri.slice(sprite.uri.indexOf(",") + 1));
    const bytes = new Uint8Array(packed.length);
    for (let i = 0; i < packed.length; i += 1) bytes[i] = packed.charCodeAt(i);
    spriteAddresses.set(sprite, URL.createObjectURL(new Blob([bytes], { type: "image/png" })));
  }
  return spriteAddresses.get(sprite);
}

// One sample of the picture that holds all of them.
function tileOf(samples, index, label) {
  const { columns, rows, width, height } = samples.sprite;
  const tile = element("span", undefined, "tile");
  tile.setAttribute("role", "img");
  tile.setAttribute("aria-label", label);
  tile.style.aspectRatio = `${width} / ${height}`;
  tile.style.backgroundImage = `url(${spriteAddress(samples.sprite)})`;
  tile.style.backgroundSize = `${100 * columns}% ${100 * rows}%`;
  const left = columns > 1 ? (100 * (index % columns)) / (columns - 1) : 0;
  const top = rows > 1 ? (100 * Math.floor(index / columns)) / (rows - 1) : 0;
  tile.style.backgroundPosition = `${left}% ${top}%`;
  return tile;
}

function tileList(samples, indices, values) {
  const list = element("ul", undefined, samples.sprite ? "tiles" : "tiles words");
  indices.forEach((index, place) => {
    const item = element("li");
    const target = samples.targets[index];
    item.title = `sample ${index}${target ? `, target ${target}` : ""}, value ${words(values[place], 3)}`;
    if (samples.sprite) {
      item.append(tileOf(samples, index, item.title), element("span", target, "tile-label"));
    } else {
      item.append(element("b", words(values[place], 3)), element("span", target ? `target ${target}` : ""), samples.marked ? markedText(samples.marked[index]) : element("span", samples.words[index], "inputs"));
    }
    list.append(item);
  });
  return list;
}

function drawGallery(block) {
  const run = data.runs[block.dataset.run];
  const frames = pick(run, run.gallery);
  // Of a long run some records have no gallery: the last one before shows.
  let record = recordOf(run);
  while (frames && record > 0 && !frames[record]) record -= 1;
  const samples = run.samples[state.split];
  const frame = frames && record >= 0 ? frames[record] : null;
  const place = block.querySelector(".gallery");
  const now = block.querySelector(".gallery-now");
  const more = block.querySelector(".more");
  const note = block.querySelector(".turn-note");
  place.replaceChildren();
  more.hidden = true;
  note.hidden = true;
  if (!frame || !samples) {
    now.textContent = "no samples were kept for this run, split and time";
    return;
  }
  lookSwitch(block, run);
  const turn = turnOf(run, record);
  now.textContent = nowShort(run, record, turn);
  const curve = pick(run, run.curves)[record];
  const map = (pick(run, run.maps) || [])[record];
  const turns = (pick(run, run.turns) || [])[record];
  const clusters = map ? map.clusters : turns ? [...turns.ranges, ...turns.left] : [];
  const shown = block.dataset.all ? frame : frame.slice(0, FIRST_CARDS);
  const beyond = turn ? turn.beyond : [];
  const cut = beyond.length ? ` The group k = ${rangeWords(beyond)} reaches beyond the ${frame.length} functions whose values this run stored, and cannot be rotated here.` : "";
  note.textContent = turnWords(run, turn, frame.length, beyond) + cut;
  note.hidden = !note.textContent;
  shown.forEach((ends, order) => {
    const k = order + 1;
    const one = turn ? turn.functions[k] : null;
    const [largest, smallest, high, low] = one ? one.ends : ends;
    const cluster = (one ? turn.ranges : clusters).find(([from, to]) => from <= k && k <= to);
    const named = one && one.toward !== null ? ` toward ${run.classes ? run.classes[one.toward] : `class ${one.toward}`}` : "";
    const card = element("div", undefined, "ends");
    const title = element("h4", `e${one ? "′" : ""}${subscript(k)}${named}${cluster ? ` [${cluster[0]} to ${cluster[1]}]` : ""}`);
    title.append(element("span", `ρ/ρ₁ = ${words(one ? one.rho : curve.eigenvalues[order], 2)}`));
    const lists = [tileList(samples, largest, high), tileList(samples, smallest, low)];
    card.append(title, element("p", "largest"), lists[0], element("p", "smallest"), lists[1]);
    if (!one) {
      [largest, smallest].forEach((indices, side) => addLooks(run, block, record, k, indices, lists[side]));
      addSpread(card, run, record, k);
    }
    place.append(card);
  });
  more.hidden = frame.length <= FIRST_CARDS;
  more.textContent = block.dataset.all ? "Show fewer" : `Show all ${frame.length}`;
}

// ---- numbers ----------------------------------------------------------------------------------

function fillNumbers() {
  every("b[data-name]").forEach((cell) => {
    const run = data.runs[cell.dataset.run];
    const record = recordOf(run);
    const column = cell.dataset.split ? (run.numbers[cell.dataset.split] || {})[cell.dataset.name] : run.scalars[cell.dataset.name];
    if (record < 0 || !column) return;
    cell.textContent = words(column[record]);
    const ends = cell.dataset.split && run.intervals[cell.dataset.split][record][cell.dataset.name];
    cell.parentNode.querySelector(".between").textContent = ends ? `[${words(ends[0], 3)}, ${words(ends[1], 3)}]` : "";
  });
}

function fillCurveTables() {
  const place = document.getElementById("curve-tables");
  if (!place.closest("details").open) return;
  place.replaceChildren();
  data.runs.forEach((run) => {
    const record = recordOf(run);
    const frames = pick(run, run.curves);
    const frame = frames && record >= 0 ? frames[record] : null;
    if (!frame) return;
    const panel = (run.layouts[state.mode] || {}).eigenvalues;
    const shape = panel && panel.layout.shapes[0];
    const table = element("table", undefined, "curve-table");
    table.append(element("caption", `${run.label}, ${run.moments[record]}, ${state.split}, ${state.mode}`));
    const head = table.createTHead().insertRow();
    ["k", "ρₖ / ρ₁", "Q*ₖ", "Π*(k)", "Q̂ₖ", "Π̂(k)"].forEach((title) => head.append(element("th", title)));
    const body = table.createTBody();
    const columns = ["eigenvalues", "quality", "cumulative_quality", "utilization", "cumulative_utilization"];
    for (let i = 0; i < Math.min(frame.k.length, (shape ? shape.x0 : 10) + 4, 40); i += 1) {
      const row = body.insertRow();
      row.insertCell().textContent = frame.k[i];
      columns.forEach((name) => (row.insertCell().textContent = frame[name] ? words(frame[name][i], 3) : "–"));
      if (shape && shape.x0 === frame.k[i]) row.className = "last-needed";
    }
    place.append(table);
  });
}
