// ---- numbers ----------------------------------------------------------------------------------

function fillNumbers() {
  every(".interval-words").forEach((node) => (node.textContent = intervalWords()));
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
  if (!place || folded(place)) return;
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
