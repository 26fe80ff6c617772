"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const last = Math.max(data.positions.length - 1, 0);
  const state = { position: last, mode: "centered", split: data.splits[0] || "" };
  const every = (selector, root) => Array.from((root || document).querySelectorAll(selector));
  const config = { displayModeBar: false, responsive: true, doubleClick: false };
  // Without a whole redraw a slide takes less than half the time; the axes stay as they are anyway.
  const AT_ONCE = { mode: "immediate", frame: { duration: 0, redraw: false }, transition: { duration: 0 } };
  const visible = new Set();
  let Plotly = null;

  const words = (value, digits = 4) => (value === null || value === undefined ? "–" : String(Number(value.toPrecision(digits))));
  const recordOf = (run) => (run.at.length ? run.at[state.position] : -1);
  const firstOf = (run) => (run.at.length ? run.at.find((index) => index >= 0) : -1);
  const pick = (run, table) => (table && table[state.split] ? table[state.split][state.mode] : undefined);

  function element(tag, text, className) {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  // ---- the picture: spectrum and the two shares -------------------------------------------------

  function curveOf(run, record, name) {
    const frames = pick(run, run.curves);
    const frame = frames && record >= 0 ? frames[record] : null;
    return frame && frame[name] ? { x: frame.k, y: frame[name] } : { x: [], y: [] };
  }

  function drawOperator(chart, whole) {
    const run = data.runs[chart.dataset.run];
    const name = chart.dataset.panel;
    const record = recordOf(run);
    const now = curveOf(run, record, name);
    const ghost = record === firstOf(run) ? { x: [], y: [] } : curveOf(run, firstOf(run), name);
    const panel = (run.layouts[state.mode] || {})[name];
    let empty = chart.parentNode.querySelector(".empty");
    if (!panel || !now.x.length) {
      Plotly.purge(chart);
      chart.dataset.drawn = "";
      if (!empty) chart.parentNode.append((empty = element("p", "", "empty")));
      const measured = record >= 0 && (run.regimes[state.split] || [])[record] !== undefined;
      empty.textContent = record < 0 ? "Not recorded yet at this time." : !measured ? `This run has no ${state.split} split.` : (panel && panel.note) || "Not measured here.";
      return;
    }
    if (empty) empty.remove();
    const key = `${state.mode} ${state.split}`;
    if (!whole && chart.dataset.drawn === key) {
      // Redrawing the unchanged gray curve would double the time of a slide.
      const both = (chart.data[0].x.length === 0) !== (ghost.x.length === 0);
      if (both) Plotly.restyle(chart, { x: [ghost.x, now.x], y: [ghost.y, now.y] }, [0, 1]);
      else Plotly.animate(chart, { data: [now], traces: [1] }, AT_ONCE).catch(() => "overtaken by the next slide");
    } else {
      const trace = (curve, color, width, size, title) => ({
        type: "scatter", mode: size ? "lines+markers" : "lines", x: curve.x, y: curve.y, cliponaxis: true,
        line: { color, width }, marker: { color, size }, hovertemplate: `${title}k = %{x}: %{y:.3~g}<extra></extra>`,
      });
      const layout = structuredClone(panel.layout);
      const traces = [trace(ghost, data.ghost, 1.7, 0, "first record, "), trace(now, run.color, 2, 5, "")];
      const size = run.sizes[state.split];
      if (name === "cumulative_quality" && state.mode === "centered" && size > 1) {
        const chance = { x: now.x, y: now.x.map((k) => Math.min(k / (size - 1), 1)) };
        const level = trace(chance, "#57606A", 1.2, 0, "by chance, ");
        level.line.dash = "dot";
        traces.push(level);
      }
      Plotly.react(chart, traces, layout, config);
      chart.dataset.drawn = key;
    }
    const mark = panel.layout.annotations.length ? `; marked: ${panel.layout.annotations[0].text}` : "";
    const end = Math.min(now.y.length, 12);
    chart.setAttribute("aria-label", `${name.replace("_", " ")} of ${run.label}, ${state.split}, ${state.mode}, ${run.moments[record]}: first ${end} values ${now.y.slice(0, end).map((v) => words(v, 3)).join(", ")}${mark}`);
  }

  function nowWords(run) {
    const record = recordOf(run);
    if (record < 0) return "nothing recorded yet at this time";
    const found = (run.regimes[state.split] || [])[record];
    const start = `${run.moments[record]}, ${state.split}`;
    if (!found) return `${start}: regime not decided`;
    const moved = found.similarity === null ? "" : `, S_init = ${found.similarity}`;
    return `${start}: ${found.regime} (k90 = ${found.k90}, D_eff = ${found.dimension}, r = ${found.rank}${moved})`;
  }

  // ---- class map -------------------------------------------------------------------------------

  function drawMap(chart) {
    const run = data.runs[chart.dataset.run];
    const figure = chart.closest("figure");
    const frames = pick(run, run.maps);
    const spec = pick(run, run.map_specs);
    let record = recordOf(run);
    while (frames && record > 0 && !frames[record]) record -= 1;
    const frame = frames && record >= 0 ? frames[record] : null;
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
    drawn.data[0].z = frame.z;
    drawn.layout.shapes = frame.clusters.map(([from, to]) => ({
      type: "line", xref: "x", yref: "paper", x0: from - 0.45, x1: to + 0.45, y0: 1.0, y1: 1.0, line: { color: "#1F2328", width: 4 },
    }));
    chart.style.height = `${drawn.layout.height}px`;
    Plotly.react(chart, drawn.data, drawn.layout, config);
    figure.querySelector(".map-now").textContent = `${run.moments[record]}, ${state.split}, ${state.mode}`;
    scale.querySelector("i").className = spec.diverging ? "scale-diverging" : "scale-sequential";
    scale.querySelector(".scale-low").textContent = spec.diverging ? `−${spec.limit}` : "0";
    scale.querySelector(".scale-high").textContent = String(spec.limit);
    if (frame.clusters.length) {
      const ranges = frame.clusters.map(([from, to]) => `${from} to ${to}`).join(", ");
      note.textContent = `Nearly equal strength (neighbors within 5 %): k = ${ranges}. Inside such a group the single columns are determined only up to a rotation; the group as a whole is safe.`;
      note.hidden = false;
    }
    chart.setAttribute("aria-label", `Heat map of ${run.label}, ${run.moments[record]}: ${frame.z.length} rows by ${frame.z[0].length} eigenfunctions`);
  }

  // ---- gallery ---------------------------------------------------------------------------------

  const FIRST_CARDS = window.innerWidth < 620 ? 4 : 8;

  function tileList(samples, indices, values) {
    const list = element("ul", undefined, samples.sprite ? "tiles" : "tiles words");
    indices.forEach((index, place) => {
      const item = element("li");
      const target = samples.targets[index];
      item.title = `sample ${index}${target ? `, target ${target}` : ""}, value ${words(values[place], 3)}`;
      if (samples.sprite) {
        const { uri, columns, rows, width, height } = samples.sprite;
        const tile = element("span", undefined, "tile");
        tile.setAttribute("role", "img");
        tile.setAttribute("aria-label", item.title);
        tile.style.aspectRatio = `${width} / ${height}`;
        tile.style.backgroundImage = `url(${uri})`;
        tile.style.backgroundSize = `${100 * columns}% ${100 * rows}%`;
        const left = columns > 1 ? (100 * (index % columns)) / (columns - 1) : 0;
        const top = rows > 1 ? (100 * Math.floor(index / columns)) / (rows - 1) : 0;
        tile.style.backgroundPosition = `${left}% ${top}%`;
        item.append(tile, element("span", target, "tile-label"));
      } else {
        item.append(element("b", words(values[place], 3)), element("span", target ? `target ${target}` : ""), element("span", samples.words[index], "inputs"));
      }
      list.append(item);
    });
    return list;
  }

  function drawGallery(block) {
    const run = data.runs[block.dataset.run];
    const record = recordOf(run);
    const frames = pick(run, run.gallery);
    const samples = run.samples[state.split];
    const frame = frames && record >= 0 ? frames[record] : null;
    const place = block.querySelector(".gallery");
    const now = block.querySelector(".gallery-now");
    const more = block.querySelector(".more");
    place.replaceChildren();
    more.hidden = true;
    if (!frame || !samples) {
      now.textContent = "no samples were kept for this run, split and time";
      return;
    }
    now.textContent = `${run.moments[record]}, ${state.split}, ${state.mode}`;
    const curve = pick(run, run.curves)[record];
    const map = (pick(run, run.maps) || [])[record];
    const clusters = map ? map.clusters : [];
    const shown = block.dataset.all ? frame : frame.slice(0, FIRST_CARDS);
    shown.forEach((ends, order) => {
      const k = order + 1;
      const card = element("div", undefined, "ends");
      const cluster = clusters.find(([from, to]) => from <= k && k <= to);
      const title = element("h4", `e${String(k).replace(/\d/g, (d) => "₀₁₂₃₄₅₆₇₈₉"[d])}${cluster ? ` [${cluster[0]} to ${cluster[1]}]` : ""}`);
      title.append(element("span", `ρ/ρ₁ = ${words(curve.eigenvalues[order], 2)}`));
      card.append(title, element("p", "largest"), tileList(samples, ends.largest, ends.high));
      card.append(element("p", "smallest"), tileList(samples, ends.smallest, ends.low));
      place.append(card);
    });
    more.hidden = frame.length <= FIRST_CARDS;
    more.textContent = block.dataset.all ? "Show fewer" : `Show all ${frame.length}`;
  }

  // ---- numbers and histories -------------------------------------------------------------------

  function fillNumbers() {
    every("b[data-name]").forEach((cell) => {
      const run = data.runs[cell.dataset.run];
      const record = recordOf(run);
      const column = cell.dataset.split ? (run.numbers[cell.dataset.split] || {})[cell.dataset.name] : run.scalars[cell.dataset.name];
      if (record < 0 || !column) return;
      cell.textContent = words(column[record]);
      const ends = cell.dataset.split && run.intervals[cell.dataset.split][record][cell.dataset.name];
      cell.parentNode.querySelector(".between").textContent = ends ? `[${words(ends[0], 3)}, ${words(ends[1], 3)}]` : "";
    });
  }

  function fillCurveTables() {
    const place = document.getElementById("curve-tables");
    if (!place.closest("details").open) return;
    place.replaceChildren();
    data.runs.forEach((run) => {
      const record = recordOf(run);
      const frames = pick(run, run.curves);
      const frame = frames && record >= 0 ? frames[record] : null;
      if (!frame) return;
      const panel = (run.layouts[state.mode] || {}).eigenvalues;
      const shape = panel && panel.layout.shapes[0];
      const table = element("table", undefined, "curve-table");
      table.append(element("caption", `${run.label}, ${run.moments[record]}, ${state.split}, ${state.mode}`));
      const head = table.createTHead().insertRow();
      ["k", "ρₖ / ρ₁", "Q*ₖ", "Π*(k)", "Q̂ₖ", "Π̂(k)"].forEach((title) => head.append(element("th", title)));
      const body = table.createTBody();
      const columns = ["eigenvalues", "quality", "cumulative_quality", "utilization", "cumulative_utilization"];
      for (let i = 0; i < Math.min(frame.k.length, (shape ? shape.x0 : 10) + 4, 40); i += 1) {
        const row = body.insertRow();
        row.insertCell().textContent = frame.k[i];
        columns.forEach((name) => (row.insertCell().textContent = frame[name] ? words(frame[name][i], 3) : "–"));
        if (shape && shape.x0 === frame.k[i]) row.className = "last-needed";
      }
      place.append(table);
    });
  }

  function drawHistory(chart) {
    const spec = data.history[chart.dataset.history];
    const epoch = data.positions.length ? data.positions[state.position].epoch : 0;
    const narrow = spec.data.every((trace) => trace.x.length < 2);
    if (chart.dataset.drawn) {
      Plotly.relayout(chart, { "shapes[0].x0": epoch, "shapes[0].x1": epoch });
      return;
    }
    const layout = structuredClone(spec.layout);
    layout.shapes[0].x0 = layout.shapes[0].x1 = epoch;
    if (narrow) layout.shapes = [];
    Plotly.react(chart, spec.data, layout, config);
    chart.dataset.drawn = "yes";
  }

  // ---- what happens when something is chosen ---------------------------------------------------

  const drawers = [
    [".operator", (node) => drawOperator(node, false)],
    [".map", drawMap],
    [".history", drawHistory],
    [".gallery-run", drawGallery],
  ];
  const drawerOf = (node) => drawers.find(([selector]) => node.matches(selector))[1];
  let later = 0;
  let asked = false;

  // The picture follows the slider at once; what is further down follows when the slider rests.
  function refresh() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      const chosen = data.positions[state.position];
      if (chosen) {
        document.getElementById("moment").textContent = chosen.label;
        document.getElementById("position").setAttribute("aria-valuetext", chosen.label);
      }
      every(".run-row").forEach((row) => (row.querySelector(".run-now").textContent = nowWords(data.runs[row.dataset.run])));
      every(".mode-words").forEach((node) => (node.hidden = node.dataset.mode !== state.mode));
      if (Plotly) visible.forEach((node) => node.matches(".operator, .map") && drawerOf(node)(node));
      clearTimeout(later);
      later = setTimeout(() => {
        every(".chart, .gallery-run").forEach((node) => (node.dataset.stale = "yes"));
        if (Plotly) visible.forEach(show);
        fillNumbers();
        fillCurveTables();
      }, 120);
    });
  }

  function show(node) {
    if (!Plotly || node.dataset.stale === "no") return;
    node.dataset.stale = "no";
    drawerOf(node)(node);
  }

  function ribbons() {
    const place = document.getElementById("ribbons");
    place.replaceChildren();
    if (data.positions.length < 2) return;
    data.runs.forEach((run) => {
      const line = element("div");
      run.at.forEach((record) => {
        const found = record >= 0 ? (run.regimes[state.split] || [])[record] : null;
        line.append(element("i", undefined, `zone-${found ? found.regime : "none"}`));
      });
      place.append(line);
    });
  }

  function controls() {
    const slider = document.getElementById("position");
    const play = document.getElementById("play");
    let timer = 0;
    const stop = () => {
      clearInterval(timer);
      timer = 0;
      play.setAttribute("aria-pressed", "false");
      play.firstElementChild.textContent = "▶";
      play.querySelector(".play-word").textContent = "Play";
    };
    const choose = (position) => {
      state.position = position;
      slider.value = String(position);
      refresh();
    };
    play.disabled = data.positions.length < 2;
    slider.addEventListener("input", () => (stop(), choose(Number(slider.value))));
    play.addEventListener("click", () => {
      if (timer) return stop();
      if (state.position === last) choose(0);
      play.setAttribute("aria-pressed", "true");
      play.firstElementChild.textContent = "❚❚";
      play.querySelector(".play-word").textContent = "Pause";
      timer = setInterval(() => (state.position >= last ? stop() : choose(state.position + 1)), Math.max(90, Math.min(500, 9000 / (last + 1))));
    });
    every("input[name=mode], input[name=split]").forEach((input) =>
      input.addEventListener("change", () => {
        state[input.name] = input.value;
        ribbons();
        refresh();
      }),
    );
    every(".more").forEach((button) =>
      button.addEventListener("click", () => {
        const block = button.closest(".gallery-run");
        block.dataset.all = block.dataset.all ? "" : "yes";
        drawGallery(block);
      }),
    );
    every("details.numbers").forEach((node) => node.addEventListener("toggle", fillCurveTables));
    ribbons();
    refresh();
  }

  // ---- the drawing library ---------------------------------------------------------------------

  async function unpack() {
    const packed = atob(document.getElementById("library").textContent.trim());
    const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    script.remove();
    document.getElementById("library").remove();
    return window.Plotly;
  }

  function watch() {
    const watcher = new IntersectionObserver(
      (entries) =>
        entries.forEach((entry) => {
          if (!entry.isIntersecting) return visible.delete(entry.target);
          visible.add(entry.target);
          show(entry.target);
        }),
      { rootMargin: "300px 0px" },
    );
    every(".chart, .gallery-run").forEach((node) => watcher.observe(node));
    // What is out of sight is drawn when nothing else is to do, so that a capture of the whole page is complete.
    const rest = every(".chart, .gallery-run");
    const idle = window.requestIdleCallback || ((work) => setTimeout(work, 30));
    const next = () => {
      const node = rest.shift();
      if (node) show(node);
      if (rest.length) idle(next);
    };
    idle(next);
    window.addEventListener("beforeprint", () => every(".chart, .gallery-run").forEach(show));
  }

  controls();
  const note = document.getElementById("unpacking");
  if (typeof DecompressionStream === "undefined") {
    note.textContent = "This browser is too old to unpack the pictures (it lacks DecompressionStream); any browser from 2023 on shows them.";
    note.hidden = false;
    return;
  }
  unpack().then(
    (library) => {
      Plotly = library;
      watch();
      document.documentElement.dataset.ready = "yes";
    },
    (error) => {
      note.textContent = `The pictures could not be unpacked: ${error.message}`;
      note.hidden = false;
    },
  );
})();
