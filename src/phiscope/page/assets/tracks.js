// ---- which eigenfunction of the last record was which before --------------------------------------

const MARKED = 40;

function pictureOf(run) {
  const both = pick(run, run.tracks);
  return both && (both[state.turn] || both.diagonalized);
}

// Lines are rotated at all records or at none.
function tracksTurned(run) {
  return state.turn === "rotated" && Boolean((pick(run, run.tracks) || {}).rotated);
}

// Strength or quality of the function at a place of a record, rotated where the page shows it so.
function alongTrack(run, record, place, panel) {
  if (panel === "place") return place;
  const turn = tracksTurned(run) ? turnOf(run, record) : null;
  const one = turn && turn.functions[place];
  if (one) return panel === "strength" ? one.rho : one.quality;
  const curves = pick(run, run.curves)[record];
  const values = curves[panel === "strength" ? "eigenvalues" : "quality"];
  return values ? values[curves.k.indexOf(place)] : null;
}

function pointWords(run, record, place, overlap, last) {
  const end = last ? `<b>e${subscript(last)}</b> at the last record<br>` : "lost before the last record<br>";
  const value = (panel) => words(alongTrack(run, record, place, panel), 3);
  const before = overlap === null ? "begins here" : `squared overlap with the record before ${overlap}`;
  return `${end}${run.moments[record]}: e${subscript(place)}, ρ/ρ₁ ${value("strength")}, Q* ${value("quality")}<br>${before}`;
}

function trackLine(run, picture, line, panel) {
  const [start, places, overlaps, color, symbol] = line;
  const records = places.map((_, i) => picture.records[start + i]);
  const few = picture.records.length <= MARKED;
  const begins = start > 0 ? `${symbol}-open` : symbol;
  const ends = (i) => i === 0 || i === places.length - 1;
  return {
    type: "scatter", mode: "lines+markers", cliponaxis: false,
    x: records.map((record) => epochAt(run.epochs[record])),
    y: records.map((record, i) => alongTrack(run, record, places[i], panel)),
    line: { color, width: 1.8 },
    marker: {
      color, symbol: places.map((_, i) => (i ? symbol : begins)), line: { color, width: 1.5 },
      size: places.map((_, i) => (i === 0 && start > 0 ? 8 : ends(i) ? 6 : few ? 4 : 0.1)),
    },
    text: records.map((record, i) => pointWords(run, record, places[i], i ? overlaps[i - 1] : null, places[places.length - 1])),
    hovertemplate: "%{text}<extra></extra>",
  };
}

// All lines that end early are one trace: drawn one by one, some hundred of them would make the page slow.
function lostLines(run, picture) {
  const [lost, ended, once] = [0, 1, 2].map(() => ({ x: [], y: [], text: [] }));
  picture.lines.filter((line) => line.length === 3).forEach(([start, places, overlaps]) => {
    const put = (trace, i) => {
      const record = picture.records[start + i];
      trace.x.push(epochAt(run.epochs[record]));
      trace.y.push(places[i]);
      trace.text.push(pointWords(run, record, places[i], i ? overlaps[i - 1] : null, 0));
    };
    if (places.length === 1) return put(once, 0);
    places.forEach((_, i) => put(lost, i));
    put(ended, places.length - 1);
    lost.x.push(null); lost.y.push(null); lost.text.push("");
  });
  const shared = { type: "scatter", hovertemplate: "%{text}<extra></extra>", cliponaxis: false };
  return [
    { ...shared, ...lost, mode: "lines", line: { color: data.gone, width: 1.2 } },
    { ...shared, ...once, mode: "markers", marker: { color: data.gone, size: 3 } },
    { ...shared, ...ended, mode: "markers", marker: { color: data.gone, symbol: "x-thin", size: 5, line: { color: data.gone, width: 1.2 } } },
  ];
}

function drawTrack(chart) {
  const run = data.runs[chart.dataset.run];
  const panel = chart.dataset.panel;
  const picture = pictureOf(run);
  const key = [state.mode, state.split, state.turn, state.epochs].join(" ");
  if (chart.dataset.drawn === key) return chart.data ? moveMark(chart) : undefined;
  chart.dataset.drawn = key;
  trackWords(chart.closest(".track-run"), run, picture);
  if (!picture || !picture.lines.length) return void Plotly.purge(chart);
  const alive = picture.lines.filter((line) => line.length > 3);
  const traces = alive.map((line) => trackLine(run, picture, line, panel)).reverse();
  const ends = [picture.records[0], picture.records[picture.records.length - 1]].map((record) => run.epochs[record]);
  const layout = withEpochs(structuredClone(run.track_layouts[panel]), ends);
  if (panel === "place") {
    traces.unshift(...lostLines(run, picture));
    layout.yaxis.tickvals = alive.map(([, places]) => places[places.length - 1]);
    layout.yaxis.ticktext = alive.map(([, places]) => `e${subscript(places[places.length - 1])}`);
  }
  let empty = chart.parentNode.querySelector(".empty");
  if (empty) empty.remove();
  if (traces.every((trace) => trace.y.every((value) => value === null))) {
    Plotly.purge(chart);
    chart.parentNode.append(element("p", (layoutOf(run, "cumulative_quality") || {}).note || "Not measured here.", "empty"));
    return;
  }
  draw(chart, traces, layout);
  chart.setAttribute("aria-label", `${chart.dataset.title} of ${run.label}, ${state.split}, ${state.mode}: ${picture.note}`);
}

function trackWords(block, run, picture) {
  const none = !picture || !picture.lines.length;
  block.querySelector(".panels").hidden = none;
  const turned = tracksTurned(run);
  block.querySelector(".track-now").textContent = picture ? `${state.split}, ${state.mode}${turned ? ", rotated inside clusters" : ""}` : "";
  const why = picture ? picture.note : `This run has no ${state.split} split.`;
  const plain = run.unturned[state.split] || "Some record has nothing that could be rotated, so the lines are as diagonalized.";
  const mixes = "Where a cluster grows or shrinks between two records, the rotation mixes other functions, and lines break there that do not break as diagonalized.";
  const same = none || state.turn !== "rotated" ? "" : turned ? mixes : plain;
  const how = none ? "" : ` A line goes on while the squared overlap with the record before is above ${picture.least}, on the ${picture.samples} samples kept.`;
  block.querySelector(".track-note").textContent = `${why}${how} ${same}`.trim();
}
