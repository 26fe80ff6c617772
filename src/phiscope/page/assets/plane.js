// ---- the plane of two of them, one dot a sample -------------------------------------------------------------

const stillness = window.matchMedia("(prefers-reduced-motion: reduce)");
const PLANE = { left: 34, right: 10, top: 10, bottom: 26, near: 14 };
const planes = new WeakMap();

function symbolPath(path, symbol, x, y, r) {
  if (symbol === "circle") path.moveTo(x + r, y), path.arc(x, y, r, 0, 7);
  else if (symbol === "square") path.rect(x - 0.88 * r, y - 0.88 * r, 1.76 * r, 1.76 * r);
  else if (symbol === "diamond") path.moveTo(x, y - 1.3 * r), path.lineTo(x + 1.3 * r, y), path.lineTo(x, y + 1.3 * r), path.lineTo(x - 1.3 * r, y), path.closePath();
  else if (symbol === "triangle") path.moveTo(x, y - 1.2 * r), path.lineTo(x + 1.1 * r, y + 0.8 * r), path.lineTo(x - 1.1 * r, y + 0.8 * r), path.closePath();
  else {
    const t = 0.4 * r;
    [[-r, -t], [-t, -t], [-t, -r], [t, -r], [t, -t], [r, -t], [r, t], [t, t], [t, r], [-t, r], [-t, t], [-r, t]].forEach(([dx, dy], i) => path[i ? "lineTo" : "moveTo"](x + dx, y + dy));
    path.closePath();
  }
}

const LEVELS = 12;
const levelColor = (share) => `hsl(${Math.round(230 - 195 * share)} 70% ${Math.round(38 + 12 * share)}%)`;

// Dots by color and symbol, so that each is one path: classes, steps of a target's value, or one group of all.
function dotGroups(run) {
  const samples = run.samples[state.split];
  const groups = samples && samples.groups;
  if (groups && groups.of) return groups.names.map((name, c) => ({ name, color: groups.colors[c], symbol: groups.symbols[c], of: groups.of.flatMap((one, i) => (one === c ? [i] : [])) }));
  if (groups) {
    const step = (level) => Math.min(LEVELS - 1, Math.floor(level * LEVELS));
    return Array.from({ length: LEVELS }, (_, c) => ({ name: "", color: levelColor((c + 0.5) / LEVELS), symbol: "circle", of: groups.levels.flatMap((one, i) => (step(one) === c ? [i] : [])) }));
  }
  return [{ name: "", color: run.color, symbol: "circle", of: null }];
}

function planeChoices(block, series) {
  const selects = every(".plane-axes select[data-axis]", block);
  selects.forEach((select, axis) => {
    const known = select.options.length;
    if (known === series.count) return;
    const wanted = known ? Math.min(select.selectedIndex, series.count - 1) : Math.min(axis, series.count - 1);
    select.replaceChildren(...Array.from({ length: series.count }, (_, k) => new Option(`e${subscript(k + 1)}`, String(k))));
    select.selectedIndex = wanted;
  });
  return selects.map((select) => select.selectedIndex);
}

// Which class stands out; in a long list by name, in a short one by its mark.
function planeKey(block, run, groups) {
  const place = block.querySelector(".dots-key");
  const key = `${state.split} ${groups.length}`;
  if (place.dataset.of === key) return;
  place.dataset.of = key;
  place.replaceChildren();
  const levels = (run.samples[state.split] || {}).groups;
  if (levels && levels.levels) {
    const bar = element("i");
    bar.style.background = `linear-gradient(90deg, ${[0, 0.25, 0.5, 0.75, 1].map(levelColor).join(", ")})`;
    place.append(element("span", `target ${levels.low}`), bar, element("span", String(levels.high)));
    return;
  }
  if (groups.length < 2) return;
  const choose = (chosen) => {
    block.querySelector(".plane").dataset.group = chosen;
    every("button", place).forEach((button, c) => button.setAttribute("aria-pressed", String(String(c) === chosen)));
    paintPlane(block.querySelector(".plane"));
  };
  if (groups.length > 35) {
    const select = element("select");
    select.setAttribute("aria-label", "Class that stands out");
    select.append(new Option("all classes", ""), ...groups.map((group, c) => new Option(group.name, String(c))));
    select.addEventListener("change", () => choose(select.value));
    place.append(select);
    return;
  }
  groups.forEach((group, c) => {
    const button = element("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.title = "let this class stand out";
    const mark = element("canvas");
    [mark.width, mark.height] = [26, 26];
    mark.dataset.symbol = group.symbol;
    mark.dataset.color = group.color;
    button.append(mark, group.name);
    button.addEventListener("click", () => choose(button.getAttribute("aria-pressed") === "true" ? "" : String(c)));
    place.append(button);
  });
}

// A dot is painted once and stamped: paths of two thousand dots would take longer than a frame.
const stamps = new Map();
function stampOf(symbol, color, radius) {
  const key = `${symbol} ${color} ${radius}`;
  if (stamps.has(key)) return stamps.get(key);
  const stamp = element("canvas");
  stamp.width = stamp.height = Math.ceil(2.8 * radius) + 2;
  const path = new Path2D();
  symbolPath(path, symbol, stamp.width / 2, stamp.height / 2, radius);
  const pen = stamp.getContext("2d");
  pen.fillStyle = color;
  pen.fill(path);
  stamps.set(key, stamp);
  return stamp;
}

// Black of the palette is the ink of the page, which a dark page turns white.
const inkOf = (node) => getComputedStyle(node).color;
const dotColor = (color, ink) => (color === "#000000" ? ink : tinted(color));

function paintKey(block, ink) {
  every(".dots-key canvas", block).forEach((mark) => {
    const path = new Path2D();
    symbolPath(path, mark.dataset.symbol, 13, 13, 9);
    const pen = mark.getContext("2d");
    pen.clearRect(0, 0, 26, 26);
    pen.fillStyle = dotColor(mark.dataset.color, ink);
    pen.fill(path);
  });
}

function drawPlane(chart) {
  const run = data.runs[chart.dataset.run];
  const block = chart.closest(".plane-run");
  const series = planeSeries(run);
  const record = series ? planeRecord(series, recordOf(run)) : -1;
  block.querySelector(".plane-axes").hidden = chart.hidden = !series;
  const now = block.querySelector(".plane-now");
  const kept = planes.get(chart);
  if (!series || record < 0) {
    block.querySelector(".dots-key").hidden = true;
    now.textContent = series ? "not recorded yet at this time" : "no values on single samples were stored for this run and split";
    planes.delete(chart);
    if (series) chart.firstElementChild.getContext("2d").clearRect(0, 0, 9999, 9999);
    return;
  }
  block.querySelector(".dots-key").hidden = false;
  const [x, y] = planeChoices(block, series);
  const groups = dotGroups(run);
  planeKey(block, run, groups);
  now.textContent = nowShort(run, record, null);
  const values = series.values[record];
  const low = Math.min(series.ends[x][0], series.ends[y][0]);
  const high = Math.max(series.ends[x][1], series.ends[y][1]);
  const room = 0.04 * (high - low) || 1;
  const key = `${state.split} ${state.mode} ${x} ${y}`;
  const from = kept && kept.key === key && kept.to[0].length === values[x].length && !stillness.matches ? kept.at : null;
  const playing = document.getElementById("play").getAttribute("aria-pressed") === "true";
  const plane = { key, groups, axes: [x, y], range: [low - room, high + room], to: [values[x], values[y]], from, began: performance.now(), lasts: playing ? playPause() : 160 };
  plane.at = from || plane.to;
  planes.set(chart, plane);
  chart.setAttribute("aria-label", `Plane of eigenfunctions ${x + 1} and ${y + 1} of ${run.label}, ${now.textContent}: ${values[x].length} samples${groups.length > 1 && groups[0].name ? ` of ${groups.length} classes; ${spreadWords(groups, values[x], values[y])}` : ""}`);
  if (!from) return paintPlane(chart);
  if (kept.moving) plane.moving = true;
  else (plane.moving = true), requestAnimationFrame(() => movePlane(chart));
}

// How far apart classes are beside their own width, for somebody who cannot see it.
function spreadWords(groups, x, y) {
  let [within, all, total] = [0, 0, 0];
  const mean = (values, of) => of.reduce((sum, i) => sum + (values[i] || 0), 0) / (of.length || 1);
  const everyone = groups.flatMap((group) => group.of);
  [x, y].forEach((values) => {
    const middle = mean(values, everyone);
    groups.forEach(({ of }) => {
      const own = mean(values, of);
      of.forEach((i) => ((within += ((values[i] || 0) - own) ** 2), (all += ((values[i] || 0) - middle) ** 2), (total += 1)));
    });
  });
  return total && all ? `${Math.round(100 * (1 - within / all))} % of the spread lies between classes` : "";
}

function movePlane(chart) {
  const plane = planes.get(chart);
  if (!plane || !plane.moving) return;
  const share = Math.min(1, (performance.now() - plane.began) / plane.lasts);
  plane.at = share >= 1 || !plane.from ? plane.to : plane.to.map((ends, axis) => ends.map((end, i) => plane.from[axis][i] + share * (end - plane.from[axis][i])));
  paintPlane(chart);
  if (share >= 1) plane.moving = false;
  else requestAnimationFrame(() => movePlane(chart));
}

function planeScale(chart, plane) {
  const [width, height] = [chart.clientWidth, chart.clientHeight];
  const side = Math.min(width - PLANE.left - PLANE.right, height - PLANE.top - PLANE.bottom);
  const unit = side / (plane.range[1] - plane.range[0]);
  return { width, height, side, x: (value) => PLANE.left + (value - plane.range[0]) * unit, y: (value) => PLANE.top + side - (value - plane.range[0]) * unit };
}

function paintPlane(chart) {
  const plane = planes.get(chart);
  if (!plane || !chart.clientWidth) return;
  const canvas = chart.firstElementChild;
  const scale = planeScale(chart, plane);
  const dense = window.devicePixelRatio || 1;
  const [wide, tall] = [Math.round(scale.width * dense), Math.round(scale.height * dense)];
  if (canvas.width !== wide || canvas.height !== tall) [canvas.width, canvas.height] = [wide, tall];
  const pen = canvas.getContext("2d");
  const ink = inkOf(chart);
  pen.setTransform(dense, 0, 0, dense, 0, 0);
  pen.clearRect(0, 0, scale.width, scale.height);
  paintAxes(pen, plane, scale, ink, getComputedStyle(chart).fontFamily);
  const chosen = chart.dataset.group ? Number(chart.dataset.group) : -1;
  const count = plane.at[0].length;
  const radius = count > 800 ? 2.2 : count > 300 ? 2.8 : 3.4;
  const order = plane.groups.map((_, c) => c).sort((a, b) => (a === chosen) - (b === chosen));
  order.forEach((c) => {
    const group = plane.groups[c];
    const stamp = stampOf(group.symbol, dotColor(group.color, ink), radius * dense);
    const size = stamp.width / dense;
    const put = (i) => {
      const [x, y] = [plane.at[0][i], plane.at[1][i]];
      if (x === x && y === y) pen.drawImage(stamp, scale.x(x) - size / 2, scale.y(y) - size / 2, size, size);
    };
    pen.globalAlpha = chosen < 0 ? 0.72 : c === chosen ? 0.95 : 0.13;
    if (group.of) group.of.forEach((i) => i < count && put(i));
    else plane.at[0].forEach((_, i) => put(i));
  });
  pen.globalAlpha = 1;
  if (plane.keyInk !== ink) paintKey(chart.closest(".plane-run"), (plane.keyInk = ink));
  chart.painted = (chart.painted || 0) + 1;
}

function paintAxes(pen, plane, scale, ink, font) {
  const [low, high] = plane.range;
  const step = [1, 2, 5, 10, 20, 50, 100].find((one) => (high - low) / one <= 9) || (high - low) / 8;
  const [left, top, right, bottom] = [PLANE.left, PLANE.top, PLANE.left + scale.side, PLANE.top + scale.side];
  pen.strokeStyle = pen.fillStyle = ink;
  pen.font = `12px ${font}`;
  pen.lineWidth = 1;
  for (let at = Math.ceil(low / step) * step; at <= high; at += step) {
    const label = String(Number(at.toPrecision(3))).replace("-", "−");
    const [x, y] = [Math.round(scale.x(at)) + 0.5, Math.round(scale.y(at)) + 0.5];
    pen.globalAlpha = at === 0 ? 0.35 : 0.1;
    pen.beginPath();
    pen.moveTo(x, top), pen.lineTo(x, bottom), pen.moveTo(left, y), pen.lineTo(right, y);
    pen.stroke();
    pen.globalAlpha = 0.8;
    pen.textAlign = "center";
    if (x < right - 26) pen.fillText(label, x, bottom + 15);
    pen.textAlign = "right";
    if (y > top + 18) pen.fillText(label, left - 5, y + 4);
  }
  pen.globalAlpha = 1;
  pen.textAlign = "right";
  pen.fillText(`e${subscript(plane.axes[0] + 1)}`, right, bottom + 15);
  pen.fillText(`e${subscript(plane.axes[1] + 1)}`, left - 5, top + 9);
}

// What is under the pointer: the sample itself, its class, and both values.
function pointAt(chart, event) {
  const plane = planes.get(chart);
  const tip = chart.querySelector(".plane-tip");
  tip.hidden = true;
  if (!plane) return;
  const scale = planeScale(chart, plane);
  const box = chart.getBoundingClientRect();
  const [px, py] = [event.clientX - box.left, event.clientY - box.top];
  let [best, nearest] = [-1, PLANE.near ** 2];
  plane.at[0].forEach((x, i) => {
    const distance = (scale.x(x) - px) ** 2 + (scale.y(plane.at[1][i]) - py) ** 2;
    if (distance < nearest) [best, nearest] = [i, distance];
  });
  if (best < 0) return;
  const samples = data.runs[chart.dataset.run].samples[state.split];
  const target = samples && samples.targets[best];
  const said = `sample ${best}${target ? `, ${target}` : ""}: e${subscript(plane.axes[0] + 1)} = ${words(plane.to[0][best], 2)}, e${subscript(plane.axes[1] + 1)} = ${words(plane.to[1][best], 2)}`;
  tip.replaceChildren(...(samples && samples.sprite ? [tileOf(samples, best, said)] : samples && samples.marked ? [markedText(samples.marked[best])] : []), element("span", said));
  tip.style.left = `${Math.min(px + 12, Math.max(0, scale.width - 170))}px`;
  tip.style.top = `${py + 14}px`;
  tip.hidden = false;
}

every(".plane").forEach((chart) => {
  every("select", chart.closest(".plane-run")).forEach((select) => select.addEventListener("change", () => drawPlane(chart)));
  chart.addEventListener("pointermove", (event) => pointAt(chart, event));
  chart.addEventListener("pointerleave", () => (chart.querySelector(".plane-tip").hidden = true));
  new ResizeObserver(() => paintPlane(chart)).observe(chart);
});
document.addEventListener("shade", () => every(".plane").forEach(paintPlane));
