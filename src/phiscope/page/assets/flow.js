// ---- flow: how much of each eigenfunction goes into which one some records later ------------------------------

const FLOW = { functions: 10, most: 8, node: 12, row: 24, top: 8, least: 0.04, lost: 0.2 };
const SVG = "http://www.w3.org/2000/svg";

function drawn(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
  if (text !== undefined) made.textContent = text;
  return made;
}

// Squared overlaps of the functions of two records on the same samples; null where these are not the same.
function squaredOverlaps(earlier, later, count) {
  if (earlier[0].length !== later[0].length) return null;
  const lengths = [earlier, later].map((values) => values.map((one) => innerProduct(one, one)));
  const side = (values) => Math.min(count, values.length);
  return Array.from({ length: side(earlier) }, (_, j) =>
    Array.from({ length: side(later) }, (__, k) => innerProduct(earlier[j], later[k]) ** 2 / (lengths[0][j] * lengths[1][k] || 1)),
  );
}

// Evenly spaced records with values, the first and the last among them.
function flowRecords(series, most) {
  const there = series.values.flatMap((one, record) => (one ? [record] : []));
  const count = Math.min(most, there.length);
  return [...new Set(Array.from({ length: count }, (_, i) => there[Math.round((i * (there.length - 1)) / Math.max(1, count - 1))]))];
}

// A function has the color of the one that most of it goes into, so that a color leads back from the last record.
function flowColors(steps, functions) {
  const palette = data.flow_colors;
  const colors = [Array.from({ length: functions }, (_, k) => palette[k % palette.length])];
  steps.slice().reverse().forEach((overlaps) => {
    colors.unshift(overlaps.map((row) => {
      const best = row.indexOf(Math.max(...row));
      return row[best] > FLOW.lost ? colors[0][best] : data.gone;
    }));
  });
  return colors;
}

function ribbonPath(x0, y0, x1, y1, thick) {
  const middle = (x0 + x1) / 2;
  return `M${x0},${y0}C${middle},${y0} ${middle},${y1} ${x1},${y1}V${y1 + thick}C${middle},${y1 + thick} ${middle},${y0 + thick} ${x0},${y0 + thick}Z`;
}

function flowWords(steps, records, run) {
  const kept = steps.map((overlaps) => overlaps.filter((row) => Math.max(...row) > 0.5).length);
  return records.slice(1).map((record, i) => `of ${steps[i].length} functions at ${run.moments[records[i]]} ${kept[i]} go on as one at ${run.moments[record]}`).join("; ");
}

function drawFlow(chart) {
  const run = data.runs[chart.dataset.run];
  const key = [state.mode, state.split, chart.clientWidth, run.epochs.length].join(" ");
  if (chart.dataset.drawn === key) return;
  chart.dataset.drawn = key;
  const block = chart.closest(".flow-run");
  const note = block.querySelector(".flow-note");
  const series = planeSeries(run);
  const records = series ? flowRecords(series, Math.max(2, Math.min(FLOW.most, Math.floor(chart.clientWidth / 120)))) : [];
  const count = series ? Math.min(series.count, FLOW.functions) : 0;
  const steps = records.slice(1).map((record, i) => squaredOverlaps(series.values[records[i]], series.values[record], count));
  chart.replaceChildren();
  chart.hidden = records.length < 2 || steps.includes(null);
  if (chart.hidden) return void (note.textContent = "This takes the values of the eigenfunctions on the same samples at two records or more.");
  const width = chart.clientWidth;
  const height = FLOW.top + count * FLOW.row + 22;
  const svg = drawn("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  const x = (column) => 30 + (column * (width - 60 - FLOW.node)) / (records.length - 1);
  const y = (k) => FLOW.top + k * FLOW.row;
  const thick = FLOW.row - 7;
  const colors = flowColors(steps, count);
  steps.forEach((overlaps, column) => {
    const [left, right] = [overlaps.map(() => 0), overlaps[0].map(() => 0)];
    overlaps.forEach((row, j) =>
      row.forEach((share, k) => {
        if (share < FLOW.least) return;
        const path = ribbonPath(x(column) + FLOW.node, y(j) + left[j] * thick, x(column + 1), y(k) + right[k] * thick, Math.max(0.8, share * thick));
        const ribbon = drawn("path", { d: path, fill: tinted(colors[column + 1][k]), "fill-opacity": 0.45 });
        ribbon.append(drawn("title", {}, `e${subscript(j + 1)} at ${run.moments[records[column]]} and e${subscript(k + 1)} at ${run.moments[records[column + 1]]}: squared overlap ${words(share, 2)}`));
        svg.append(ribbon);
        left[j] += share;
        right[k] += share;
      }),
    );
  });
  const size = { fill: "currentColor", "font-size": 12 };
  records.forEach((record, column) => {
    colors[column].forEach((color, k) => svg.append(drawn("rect", { x: x(column), y: y(k), width: FLOW.node, height: thick, rx: 2, fill: color === "#000000" ? "currentColor" : tinted(color) })));
    const anchor = column === 0 ? "start" : column === records.length - 1 ? "end" : "middle";
    const at = column === 0 ? x(0) : column === records.length - 1 ? x(column) + FLOW.node : x(column) + FLOW.node / 2;
    svg.append(drawn("text", { ...size, x: at, y: height - 4, "text-anchor": anchor }, `${data.unit} ${words(run.epochs[record], 6)}`));
  });
  Array.from({ length: count }, (_, k) => k).forEach((k) => {
    svg.append(drawn("text", { ...size, x: 24, y: y(k) + thick / 2 + 4, "text-anchor": "end" }, `e${subscript(k + 1)}`));
    svg.append(drawn("text", { ...size, x: x(records.length - 1) + FLOW.node + 6, y: y(k) + thick / 2 + 4 }, `e${subscript(k + 1)}`));
  });
  chart.append(svg);
  const samples = series.values[records[0]][0].length;
  note.textContent = `${state.split}, ${state.mode}, on ${samples} samples; squared overlaps below ${FLOW.least} are not drawn.`;
  chart.setAttribute("aria-label", `Flow of eigenfunctions of ${run.label}: ${flowWords(steps, records, run)}`);
}

every(".flow").forEach((chart) => new ResizeObserver(() => chart.dataset.drawn && drawFlow(chart)).observe(chart));
