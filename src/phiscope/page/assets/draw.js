// ---- class map -------------------------------------------------------------------------------

// A group that goes on behind the last column, or may, is named by its first function alone.
const clusterName = (map, cluster) => (map.goes_on && cluster === map.clusters[map.clusters.length - 1] ? `${cluster[0]} and on` : cluster.join(" to "));

function clusterWords(run, map) {
  if (!map.clusters.length) return "";
  const named = map.clusters.map((cluster) => clusterName(map, cluster)).join(", ");
  const part = map.goes_on ? ", and the last one is not shown as a whole" : "";
  return `Nearly equal strength (neighbors differ by less than ${run.gaps[state.split]}): k = ${named}. Inside such a group the single columns are determined only up to a rotation; a group as a whole is safe${part}.`;
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

// Every column has its number where there is room; else some have, the first and the last among them.
function columnTicks(columns, room) {
  const width = columns > 99 ? 26 : 19;
  const step = [1, 2, 5, 10, 20, 50, 100].find((one) => (columns / one) * width <= room) || 200;
  const between = Array.from({ length: Math.floor(columns / step) }, (_, i) => (i + 1) * step);
  return [...new Set([1, ...between.filter((tick) => tick > 1 && columns - tick >= 0.7 * step), columns])];
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
  drawn.data[0].text = spec.data[0].text.map((label) => Array(spec.columns).fill(label));
  drawn.layout.shapes = frame.clusters.map(([from, to]) => ({
    type: "line", xref: "x", yref: "paper", x0: from - 0.45, x1: to + 0.45, y0: 1.0, y1: 1.0, line: { color: "#1F2328", width: 4 },
  }));
  withAddedRows(drawn, addedRows(run, frame.z[0].length), frame.z[0].length);
  chart.style.height = `${drawn.layout.height}px`;
  const side = drawn.layout.margin;
  drawn.layout.xaxis.tickvals = columnTicks(spec.columns, (chart.clientWidth || 600) - side.l - side.r);
  draw(chart, drawn.data, drawn.layout);
  figure.querySelector(".map-now").textContent = nowShort(run, record, turn);
  scale.querySelector("i").className = spec.diverging ? "scale-diverging" : "scale-sequential";
  scale.querySelector(".scale-low").textContent = spec.diverging ? `−${spec.limit}` : "0";
  scale.querySelector(".scale-high").textContent = String(spec.limit);
  note.textContent = state.turn === "rotated" ? turnWords(run, turn, frame.z[0].length) : clusterWords(run, frame);
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
    const title = element("h3", `e${one ? "′" : ""}${subscript(k)}${named}${cluster ? ` [${!one && map ? clusterName(map, cluster) : cluster.join(" to ")}]` : ""}`);
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

