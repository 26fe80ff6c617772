// ---- the plane of used variance and evenness: why D_LR is what it is ------------------------------

const LOWEST_END = 0.35;

function placesOf(run) {
  const found = run.regimes[state.split] || [];
  return found.map((one, record) => ({ one, record })).filter(({ one }) => one && one.used !== null && one.even !== null);
}

// From where to where the axis of evenness reaches: over the paths of all runs, so that nothing moves but the points.
function evennessEnds(paths) {
  const reached = paths.flat().map(({ one }) => one.even);
  return [Math.min(LOWEST_END, 0.7 * Math.min(...reached)), 1.25 * Math.max(1.2, ...reached)];
}

// The curve of one D_LR: U times evenness is 1 - level.
function levelCurve(level, from, to) {
  const x = Array.from({ length: 41 }, (_, i) => from + ((to - from) * i) / 40);
  return { x, y: x.map((used) => (1 - level) / used) };
}

function area(lower, upper, color) {
  return {
    type: "scatter", mode: "lines", fill: "toself", fillcolor: color, line: { width: 0 }, hoverinfo: "skip",
    x: [...lower.x, ...[...upper.x].reverse()], y: [...lower.y, ...[...upper.y].reverse()],
  };
}

function planeTraces(top) {
  const { levels, least, distance, used } = data.why;
  const above = levelCurve(0, 1 / top, 1.02);
  const nothing = area(above, { x: [1 / top, 1.02], y: [top, top] }, isDark() ? "rgba(255,255,255,0.05)" : "rgba(31,35,40,0.05)");
  const corner = area(levelCurve(distance, used, 1), levelCurve(0, used, 1), isDark() ? "rgba(91,158,211,0.42)" : "rgba(79,143,192,0.36)");
  const curves = levels.map((level) => ({
    ...levelCurve(level, Math.max(least, (1 - level) / top), 1),
    type: "scatter", mode: "lines", hoverinfo: "skip",
    line: { color: level === distance ? "#57606A" : data.ghost, width: 1, dash: level ? "dot" : "solid" },
  }));
  return [nothing, corner, ...curves];
}

function whyWords(run, { one, record }) {
  const value = (number) => words(number, 3);
  return `${plain(run.label)}, ${run.moments[record]}: ${one.regime || "no word"}<br>D_LR ${value(one.distance)}, U ${value(one.used)}, evenness ${value(one.even)}`;
}

function pathTraces(run, path) {
  const line = {
    type: "scatter", mode: "lines+markers", x: path.map(({ one }) => one.used), y: path.map(({ one }) => one.even),
    line: { color: run.color, width: 1.6 }, text: path.map((place) => whyWords(run, place)), hovertemplate: "%{text}<extra></extra>",
    marker: {
      color: run.color, opacity: 1, size: path.map((_, i) => (i ? 4.5 : 9)), symbol: path.map((_, i) => (i ? "circle" : "square")), line: { width: 0 },
    },
  };
  return path.length ? [line] : [];
}

// Where the runs stand at the chosen time; a run that is not recorded yet, or says nothing, has no point.
function pointsNow() {
  const points = data.runs.map((run) => ({ run, record: recordOf(run), one: (run.regimes[state.split] || [])[recordOf(run)] }));
  const there = points.filter(({ one }) => one && one.used !== null && one.even !== null);
  return {
    x: there.map(({ one }) => one.used), y: there.map(({ one }) => one.even),
    colors: there.map(({ run }) => run.color), texts: there.map((point) => whyWords(point.run, point)),
  };
}

function nowTrace(now) {
  return {
    type: "scatter", mode: "markers", x: now.x, y: now.y, text: now.texts, hovertemplate: "%{text}<extra></extra>", cliponaxis: false,
    marker: { color: now.colors, size: 15, line: { color: isDark() ? "#15181c" : "#ffffff", width: 2 } },
  };
}

function planeNotes(ends) {
  const note = (text, x, y, more) => ({ text, x, y, showarrow: false, font: { size: 11, color: "#57606A" }, ...more });
  const right = data.why.levels
    .filter((level) => 1 - level > ends[0])
    .map((level) => note(level ? String(level) : "D<sub>LR</sub> 0", 1, Math.log10(1 - level), { xref: "paper", xanchor: "left", xshift: 4 }));
  const nothing = note("no network lies here", 1.01, Math.log10(ends[1]), { xanchor: "right", yanchor: "top" });
  return [...right, ...(ends[1] > 1.7 ? [nothing] : [])];
}

function drawWhy(chart) {
  const paths = data.runs.map(placesOf);
  if (paths.every((path) => !path.length)) return emptied(chart, data.why.nowhere);
  const now = pointsNow();
  const key = `${state.split} ${paths.map((path) => path.length)}`;
  if (chart.dataset.drawn === key) {
    const last = chart.data.length - 1;
    Plotly.restyle(chart, { x: [now.x], y: [now.y], text: [now.texts], "marker.color": [tinted(now.colors)] }, [last]);
  } else {
    emptied(chart, "");
    const ends = evennessEnds(paths);
    const layout = structuredClone(data.why.layout);
    layout.margin = { l: 52, r: 48, t: 6, b: 38 };
    Object.assign(layout.xaxis, { range: [0, 1.02], tickvals: [0, 0.25, 0.5, 0.75, 1], showgrid: false });
    const ticks = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20].filter((tick) => ends[0] <= tick && tick <= ends[1]);
    delete layout.yaxis.dtick;
    Object.assign(layout.yaxis, { range: ends.map(Math.log10), tickvals: ticks, ticktext: ticks.map(String), showgrid: false });
    layout.annotations = planeNotes(ends);
    draw(chart, [...planeTraces(ends[1]), ...data.runs.flatMap((run, i) => pathTraces(run, paths[i])), nowTrace(now)], layout);
    chart.dataset.drawn = key;
  }
  chart.setAttribute("aria-label", `Used variance and evenness, ${state.split}. ${now.texts.map((text) => text.replace("<br>", "; ")).join(". ")}`);
}
