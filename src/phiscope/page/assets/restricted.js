// ---- the network on its k leading eigenfunctions alone ---------------------------------------------------------

function drawRestricted(chart) {
  const run = data.runs[chart.dataset.run];
  const rows = (run.restricted[state.split] || { centered: [] }).centered;
  const record = recordOf(run);
  const frame = record >= 0 ? rows[record] : null;
  const note = chart.closest(".restricted-run").querySelector(".restricted-now");
  if (!frame) {
    Plotly.purge(chart);
    note.textContent = "not stored for this split and time";
    return;
  }
  const name = frame.accuracy ? "accuracy" : "loss";
  const values = frame[name];
  const whole = values[values.length - 1];
  const shown = frame.k.filter((k) => k <= 64).length;
  const line = (x, y, color, dash, title) => ({ type: "scatter", mode: dash ? "lines" : "lines+markers", x, y, line: { color, width: dash ? 1.2 : 2, dash }, marker: { color, size: 5 }, hovertemplate: title });
  const traces = [
    line([0, frame.k[shown - 1]], [whole, whole], "#57606A", "dot", `all ${frame.k[frame.k.length - 1]}: %{y:.3~g}<extra></extra>`),
    line(frame.k.slice(0, shown), values.slice(0, shown), run.color, undefined, "first %{x}: %{y:.3~g}<extra></extra>"),
  ];
  const layout = structuredClone((run.layouts.centered || {}).cumulative_quality.layout);
  Object.assign(layout, { shapes: [], annotations: [] });
  layout.xaxis = { ...layout.xaxis, type: "linear", range: [-0.6, frame.k[shown - 1] + 0.6], title: { text: "eigenfunctions kept, k", standoff: 6 } };
  delete layout.xaxis.tickvals;
  delete layout.xaxis.ticktext;
  layout.yaxis = { ...layout.yaxis, range: name === "accuracy" ? [-0.02, 1.04] : undefined, rangemode: "tozero" };
  draw(chart, traces, layout);
  const least = name === "accuracy" ? frame.k[values.findIndex((value) => value >= 0.99 * whole)] : null;
  note.textContent = `${nowShort(run, record, null)}: ${name} ${words(whole, 3)} with all${least === null ? "" : `, 99 % of it with the first ${least}`}`;
  chart.setAttribute("aria-label", `${name} of ${run.label} over the number of eigenfunctions kept: ${values.slice(0, 12).map((value) => words(value, 3)).join(", ")}`);
}
