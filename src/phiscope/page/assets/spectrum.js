// ---- spectrum and the two shares: all runs on one pair of axes ------------------------------------

function curveOf(run, record, name) {
  const frames = pick(run, run.curves);
  const frame = frames && record >= 0 ? frames[record] : null;
  return frame && frame[name] ? { x: frame.k, y: frame[name] } : { x: [], y: [] };
}

// A 95 % band as one closed line; where an end is not known it has a gap.
function bandOf(run, record, name) {
  const frames = pick(run, run.curves);
  const frame = frames && record >= 0 ? frames[record] : null;
  const ends = frame && frame.bands && frame.bands[name];
  if (!ends) return { x: [], y: [] };
  const kept = frame.k.map((k, i) => i).filter((i) => ends[0][i] !== null && ends[1][i] !== null);
  // A low end at or below zero has no place on a logarithmic axis, but it is as low as one can see.
  const low = (value) => (name === "eigenvalues" ? Math.max(value, 1e-9) : value);
  const back = [...kept].reverse();
  return { x: [...kept, ...back].map((i) => frame.k[i]), y: [...kept.map((i) => ends[1][i]), ...back.map((i) => low(ends[0][i]))] };
}

function sheer(color) {
  const shade = isDark() ? data.dark[color] || color : color;
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(shade.slice(at, at + 2), 16));
  return `rgba(${red},${green},${blue},0.22)`;
}

const layoutOf = (run, name) => (run.layouts[state.mode] || {})[name];

// The axes are the same for all runs; marks may differ, and each is drawn once. A run without a curve here has no mark:
// it would be read as one of the curves that are there.
function sharedLayout(name, parts) {
  const layouts = data.runs.map((run, i) => parts[i].now.x.length && layoutOf(run, name)).filter(Boolean);
  const layout = structuredClone(layouts[0].layout);
  const there = new Set(layout.annotations.map((one) => one.text));
  layouts.slice(1).forEach((other) =>
    other.layout.annotations.forEach((one, i) => {
      if (there.has(one.text)) return;
      there.add(one.text);
      layout.annotations.push({ ...one, yshift: 12 * (there.size - 1) });
      layout.shapes.push(other.layout.shapes[i]);
    }),
  );
  layout.margin = { l: 50, r: 14, t: 8 + 12 * Math.max(there.size, 1), b: 36 };
  return layout;
}

function whyEmpty(name) {
  const run = data.runs[0];
  const record = recordOf(run);
  if (record < 0) return "Not recorded yet at this time.";
  if (!run.splits.includes(state.split)) return `This run has no ${state.split} split.`;
  const panel = layoutOf(run, name);
  return (panel && panel.note) || "Not measured here.";
}

function chanceTrace(run, now) {
  const size = run.sizes[state.split];
  return {
    type: "scatter", mode: "lines", x: now.x, y: now.x.map((k) => Math.min(k / (size - 1), 1)),
    line: { color: "#57606A", width: 1.2, dash: "dot" }, hovertemplate: "by chance, k = %{x}: %{y:.3~g}<extra></extra>",
  };
}

// Band, first record and chosen record of each run: three traces, empty where there is nothing.
function curveTraces(run, parts) {
  const alone = data.runs.length === 1;
  const title = alone ? "" : `${plain(run.label)}, `;
  const shared = { type: "scatter", cliponaxis: true };
  return [
    { ...shared, ...parts.band, mode: "lines", fill: "toself", fillcolor: sheer(run.color), line: { width: 0 }, hoverinfo: "skip" },
    {
      ...shared, ...parts.ghost, mode: "lines", line: { color: alone ? data.ghost : run.color, width: alone ? 1.7 : 1, dash: alone ? "solid" : "dot" },
      hovertemplate: `${title}first record, k = %{x}: %{y:.3~g}<extra></extra>`,
    },
    {
      ...shared, ...parts.now, mode: "lines+markers", line: { color: run.color, width: 2 },
      marker: { color: run.color, size: alone ? 5 : 4 }, hovertemplate: `${title}k = %{x}: %{y:.3~g}<extra></extra>`,
    },
  ];
}

function drawOperator(chart) {
  const name = chart.dataset.panel;
  const parts = data.runs.map((run) => ({
    now: curveOf(run, recordOf(run), name),
    band: bandOf(run, recordOf(run), name),
    ghost: recordOf(run) === firstOf(run) ? { x: [], y: [] } : curveOf(run, firstOf(run), name),
  }));
  if (!data.runs.some((run, i) => parts[i].now.x.length && layoutOf(run, name))) return emptied(chart, whyEmpty(name));
  // Redrawing what has not changed would double the time of a slide.
  const key = `${state.mode} ${state.split} ${parts.map((part) => [part.ghost, part.now, part.band].map((curve) => (curve.x.length ? 1 : 0)).join("")).join(" ")}`;
  if (chart.dataset.drawn === key) {
    const moved = parts.flatMap((part, i) => [[part.band, 3 * i], [part.now, 3 * i + 2]]).filter(([curve]) => curve.x.length);
    const all = { data: moved.map(([curve]) => curve), traces: moved.map(([, place]) => place) };
    Plotly.animate(chart, all, AT_ONCE).catch(() => "overtaken by the next slide");
  } else {
    emptied(chart, "");
    const traces = data.runs.flatMap((run, i) => curveTraces(run, parts[i]));
    if (name === "cumulative_quality" && state.mode === "centered")
      data.runs.forEach((run, i) => run.sizes[state.split] > 1 && traces.push(chanceTrace(run, parts[i].now)));
    draw(chart, traces, sharedLayout(name, parts));
    chart.dataset.drawn = key;
  }
  spectrumWords(chart, name, parts);
}

function spectrumWords(chart, name, parts) {
  const said = data.runs.map((run, i) => {
    const values = parts[i].now.y.slice(0, 12).map((value) => words(value, 3)).join(", ");
    return values ? `${run.label}, ${run.moments[recordOf(run)]}: first values ${values}` : `${run.label}: nothing yet`;
  });
  chart.setAttribute("aria-label", `${name.replace("_", " ")}, ${state.split}, ${state.mode}. ${said.join(". ")}`);
}

// Whether there are bands, and why not where there are none.
function bandWords() {
  const drawn = data.runs.filter((run) => curveOf(run, recordOf(run), "eigenvalues").x.length);
  if (!drawn.length) return "";
  const reasons = drawn.map((run) => {
    const frame = pick(run, run.curves)[recordOf(run)];
    return frame.bands ? "" : run.bandless[state.split] || "the last record alone has one";
  });
  const without = [...new Set(reasons.filter(Boolean))];
  const all = reasons.every(Boolean);
  const several = data.runs.length > 1;
  const ghost = data.positions.length < 2 ? "" : several ? "Thin dotted: first records." : "Gray: first record.";
  const bands = all ? "" : "Shaded: 95 % bands.";
  const none = without.length ? `No 95 % band${all ? "" : " for some"}: ${without.join("; ")}.` : "";
  return [ghost, bands, none].filter(Boolean).join(" ");
}
