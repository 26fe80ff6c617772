// ---- time panels: epochs on a linear or a logarithmic axis ---------------------------------------

const logEpochs = () => (state.epochs === "log" ? data.log_epochs : null);
const chosenEpoch = () => (data.positions.length ? data.positions[state.position].epoch : 0);

// Where an epoch is drawn: on a logarithmic axis epoch 0 has no place of its own.
function epochAt(epoch) {
  const axis = logEpochs();
  return axis && axis.zero !== null && epoch === 0 ? axis.zero : epoch;
}

function upright(at, color, dash) {
  return { type: "line", x0: at, x1: at, y0: 0, y1: 1, yref: "paper", line: { color, width: 1, dash }, layer: "below" };
}

// The first shape of a time panel is the chosen epoch, so that a slide moves it without a redraw.
function withEpochs(layout, ends) {
  const axis = logEpochs();
  layout.xaxis.tickangle = 0;
  if (ends && ends[1] > ends[0]) {
    const room = 0.06 * (ends[1] - ends[0]);
    layout.xaxis.range = [ends[0] - room, ends[1] + room / 3];
  }
  layout.shapes = [upright(epochAt(chosenEpoch()), "#8A8F98", "solid")];
  if (!axis) return layout;
  Object.assign(layout.xaxis, {
    type: "log", range: [Math.log10(axis.low), Math.log10(axis.high)], tickmode: "array", tickvals: axis.ticks, ticktext: axis.labels,
  });
  delete layout.xaxis.rangemode;
  if (axis.gap !== null) layout.shapes.push(upright(axis.gap, "#B8BDC4", "dot"));
  return layout;
}

function moveMark(chart) {
  const at = epochAt(chosenEpoch());
  Plotly.relayout(chart, { "shapes[0].x0": at, "shapes[0].x1": at });
}

// The 95 % intervals of a number as closed lines: one for each stretch of records that have them.
function intervalBand([place, split, name], trace) {
  const run = data.runs[place];
  const ends = (run.intervals[split] || []).map((one, record) => (one[name] ? { at: epochAt(run.epochs[record]), low: one[name][0], high: one[name][1] } : null));
  const x = [];
  const y = [];
  let stretch = [];
  const close = () => {
    const back = [...stretch].reverse();
    if (stretch.length > 1) x.push(...stretch.map((one) => one.at), ...back.map((one) => one.at), null), y.push(...stretch.map((one) => one.high), ...back.map((one) => one.low), null);
    stretch = [];
  };
  ends.forEach((one) => (one ? stretch.push(one) : close()));
  close();
  return { type: "scatter", mode: "lines", x, y, fill: "toself", fillcolor: sheer(trace.line.color), line: { width: 0 }, hoverinfo: "skip" };
}

// The interval of a mean over seeds: a closed line around it.
function seedBand(trace) {
  const back = (values) => values.slice().reverse();
  return {
    type: "scatter", mode: "lines", x: [...trace.x, ...back(trace.x)].map(epochAt), y: [...trace.high, ...back(trace.low)],
    fill: "toself", fillcolor: sheer(trace.line.color), line: { width: 0 }, hoverinfo: "skip",
  };
}

function drawHistory(chart) {
  const spec = data.history[chart.dataset.history];
  if (chart.dataset.drawn === state.epochs) return moveMark(chart);
  const layout = withEpochs(structuredClone(spec.layout));
  if (spec.data.every((trace) => trace.x.length < 2)) layout.shapes[0].visible = false;
  const bands = spec.origins.map((origin, i) => origin && intervalBand(origin, spec.data[i])).filter((band) => band && band.x.length);
  const traces = spec.data.map((trace) => ({ ...trace, x: trace.x.map(epochAt), customdata: trace.x }));
  const seeds = spec.data.filter((trace) => trace.low && trace.low.length).map(seedBand);
  draw(chart, [...traces, ...bands, ...seeds], layout);
  chart.dataset.drawn = state.epochs;
}

// Whether there are intervals, which only records with shards of samples have.
function intervalWords() {
  const any = data.runs.some((run) => Object.values(run.intervals).some((rows) => rows.some((one) => Object.keys(one).length)));
  return any
    ? "Shaded, and small brackets in the tables: 95 % intervals for the value in the whole population, where they are known."
    : "No record here has the shards of samples that 95 % intervals need.";
}
