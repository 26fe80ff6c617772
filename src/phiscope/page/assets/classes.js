// ---- many classes: the map shows those that differ most, the others are found by name ----------

const MOST_MATCHES = 8;
const MOST_ADDED = 8;
const addedClasses = new Map();
const unpackedCells = new WeakMap();

const searchOf = (run) => (run.searches && run.searches[state.split]) || null;
const addedOf = (run) => addedClasses.get(`${run.label} ${state.split}`) || [];
const cut = (text) => (text.length <= 17 ? text : `${text.slice(0, 16)}…`);

async function unpackCells(packed) {
  const bytes = Uint8Array.from(atob(packed.cells), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  unpackedCells.set(packed, new Int16Array(await new Response(stream).arrayBuffer()));
}

// Rows that were added to the map, as wide as it is; empty until their cells are unpacked.
function addedRows(run, width) {
  const search = searchOf(run);
  const packed = search && search[state.mode];
  const cells = packed && unpackedCells.get(packed);
  if (!cells) return [];
  const row = (place) => Array.from({ length: width }, (_, k) => (k < packed.columns ? (cells[k * search.names.length + place] / packed.steps) * packed.limit : null));
  return addedOf(run).map((place) => ({ name: search.names[place], row: row(place) }));
}

// Puts them above the classes that are always there.
function withAddedRows(drawn, added, columns) {
  if (!added.length) return;
  const [heat, axis] = [drawn.data[0], drawn.layout.yaxis];
  const before = heat.z.length;
  heat.z = [...added.map((one) => one.row), ...heat.z];
  heat.text = [...added.map((one) => Array(columns).fill(plain(one.name))), ...heat.text];
  axis.tickvals = [...added.map((_, place) => place), ...axis.tickvals.map((place) => place + added.length)];
  axis.ticktext = [...added.map((one) => `<b>${plain(cut(one.name))}</b>`), ...axis.ticktext];
  axis.range = [heat.z.length - 0.5, -0.5];
  drawn.layout.height += Math.round((added.length * (drawn.layout.height - 62)) / before);
  drawn.layout.margin.l = Math.max(drawn.layout.margin.l, 124);
}

function searchWords(run, search) {
  const found = search.names.length < search.occur ? `The ${search.names.length} first of them` : "All of them";
  const kept = search[state.mode].columns;
  const share = search.share === null ? "" : `; these hold ${Math.round(100 * search.share)} % of all parts`;
  return (
    `Of ${search.classes} classes ${search.occur} occur. The map shows the ${search.shown} that differ most, the first at the top: ` +
    `a class's part is its frequency times its squared distance from the mean along e${subscript(1)} to e${subscript(search.asked)} (centered, ${run.moments[search.record]})${share}. ` +
    `${found} can be found by name; rows that you add are those of ${run.moments[search.record]}, as diagonalized${kept < run.map_specs[state.split][state.mode].columns ? `, along the first ${kept} functions` : ""}.`
  );
}

function matching(search, wanted) {
  const text = wanted.toLowerCase();
  const places = [];
  if (!text) return places;
  search.names.forEach((name, place) => {
    const at = name.toLowerCase().indexOf(text);
    if (at >= 0) places.push([name.length === text.length ? -1 : at, place]);
  });
  return places.sort((one, other) => one[0] - other[0] || one[1] - other[1]).map((pair) => pair[1]);
}

function showMatches(block) {
  const run = data.runs[block.dataset.run];
  const search = searchOf(run);
  block.hidden = !search;
  if (!search) return;
  block.querySelector(".search-note").textContent = searchWords(run, search);
  const wanted = block.querySelector("input").value.trim();
  const added = addedOf(run);
  const found = matching(search, wanted).filter((place) => !added.includes(place));
  const list = block.querySelector(".matches");
  list.replaceChildren();
  [...added, ...found.slice(0, MOST_MATCHES)].forEach((place) => {
    const item = element("li");
    const button = element("button", search.names[place]);
    button.type = "button";
    button.title = `number ${place + 1} of those that differ most`;
    button.setAttribute("aria-pressed", String(added.includes(place)));
    button.addEventListener("click", () => toggleClass(block, place));
    item.append(button);
    list.append(item);
  });
  const more = found.length - MOST_MATCHES;
  block.querySelector(".search-more").textContent = wanted && !found.length ? "No other class of that name is kept here." : more > 0 ? `and ${more} more` : "";
}

async function toggleClass(block, place) {
  const run = data.runs[block.dataset.run];
  const search = searchOf(run);
  const added = addedOf(run);
  const now = added.includes(place) ? added.filter((one) => one !== place) : [...added, place].slice(-MOST_ADDED);
  addedClasses.set(`${run.label} ${state.split}`, now);
  showMatches(block);
  await Promise.all([search.raw, search.centered].filter((packed) => !unpackedCells.has(packed)).map(unpackCells));
  const chart = block.closest("figure").querySelector(".map");
  if (Plotly) drawMap(chart);
  document.documentElement.dataset.found = String(now.length);
}

function searchFields() {
  every(".class-search").forEach((block) => {
    block.querySelector("input").addEventListener("input", () => showMatches(block));
    showMatches(block);
  });
}
