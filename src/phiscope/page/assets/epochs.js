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

// The interval of a mean over seeds: a closed line around it.
function seedBand(trace) {
  const back = (values) => values.slice().reverse();
  return {
    type: "scatter", mode: "lines", x: [...trace.x, ...back(trace.x)].map(epochAt), y: [...trace.high, ...back(trace.low)],
    fill: "toself", fillcolor: `${trace.line.color}2b`, line: { width: 0 }, hoverinfo: "skip",
  };
}

function drawHistory(chart) {
  const spec = data.history[chart.dataset.history];
  if (chart.dataset.drawn === state.epochs) return moveMark(chart);
  const layout = withEpochs(structuredClone(spec.layout));
  if (spec.data.every((trace) => trace.x.length < 2)) layout.shapes[0].visible = false;
  const traces = spec.data.map((trace) => ({ ...trace, x: trace.x.map(epochAt), customdata: trace.x }));
  const bands = spec.data.filter((trace) => trace.low && trace.low.length).map(seedBand);
  Plotly.react(chart, [...bands, ...traces], layout, config);
  chart.dataset.drawn = state.epochs;
}
