// ---- the first screen: the numbers at the chosen time, and the strips under the slider --------------

// What says how well the networks answer, at most two of all runs.
function answerNames() {
  const names = new Map(data.runs.flatMap((run) => run.answers));
  return [...names].slice(0, 2);
}

// The last value that a training loop recorded by then, since not every record has one.
function answerAt(run, record, name) {
  const column = run.scalars[name] || [];
  for (let at = record; at >= 0; at -= 1) if (column[at] !== null && column[at] !== undefined) return words(column[at], 4);
  return "–";
}

function cell(row, content, className) {
  const made = row.insertCell();
  made.append(content);
  if (className) made.className = className;
  return made;
}

function dot(regime) {
  return element("i", undefined, `zone-dot zone-${regime || "none"}`);
}

function swatch(color) {
  const made = element("i", undefined, "swatch");
  made.style.background = `var(--c-${color.slice(1)})`;
  return made;
}

function fillNow() {
  const body = document.getElementById("now");
  if (!body) return;
  const rows = data.runs.map((run) => {
    const row = document.createElement("tr");
    const record = recordOf(run);
    const one = record < 0 ? null : (run.regimes[state.split] || [])[record];
    const moment = record < 0 ? "nothing recorded yet" : run.moments[record];
    const head = element("th");
    head.scope = "row";
    if (data.runs.length > 1) head.append(swatch(run.color), run.label);
    else head.append(`${moment}, ${state.split}`);
    head.className = "now-run";
    row.append(head);
    const word = cell(row, one ? dot(one.regime) : "", "run-now");
    word.append(one ? one.regime || "cannot be told" : record < 0 ? moment : run.splits.includes(state.split) ? "cannot be told" : `no ${state.split} split`);
    [one && one.distance, one && one.used, one && one.even].forEach((value) => cell(row, words(value, 3), "number"));
    cell(row, one ? `${one.k90 ?? "–"} for ${one.rank}` : "–", "number now-need");
    answerNames().forEach(([name]) => cell(row, answerAt(run, record, name), "number now-answer"));
    return row;
  });
  body.replaceChildren(...rows);
  const head = document.getElementById("now-head");
  every(".now-answer", head).forEach((node) => node.remove());
  answerNames().forEach(([, title]) => {
    const made = element("th", title, "now-answer");
    made.scope = "col";
    head.append(made);
  });
  every(".band-words").forEach((node) => (node.textContent = bandWords()));
}

// One strip a run: which word holds when, with names where there are several.
function ribbons() {
  const place = document.getElementById("ribbons");
  const key = document.getElementById("ribbon-key");
  place.replaceChildren();
  key.replaceChildren();
  if (data.positions.length < 2) return;
  const seen = new Set();
  data.runs.forEach((run) => {
    const line = element("div");
    const strip = element("span", undefined, "strip");
    let before;
    run.at.forEach((record) => {
      const found = record >= 0 ? (run.regimes[state.split] || [])[record] : null;
      const word = (found && found.regime) || "none";
      if (found) seen.add(word);
      if (before && before.dataset.word === word) return void (before.style.flexGrow = String(Number(before.style.flexGrow) + 1));
      before = element("i", undefined, `zone-${word}`);
      before.dataset.word = word;
      before.style.flexGrow = "1";
      strip.append(before);
    });
    if (data.runs.length > 1) {
      const name = element("span", undefined, "strip-name");
      name.append(swatch(run.color), run.label);
      line.append(name);
    }
    line.append(strip);
    place.append(line);
  });
  const order = ["coefficient", "extended", "intermediate", "minimal", "none"];
  order.filter((word) => seen.has(word)).forEach((word) => {
    const item = element("span");
    item.append(dot(word), word === "none" ? "no word" : word);
    key.append(item);
  });
}
