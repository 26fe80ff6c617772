// ---- how an eigenfunction's values are spread in each class, beside its extreme samples -----------------------

const MOST_ROWS = 20;

// One row a class, one upright stroke a sample, on one axis from the smallest to the largest value of all.
function addSpread(card, run, record, k) {
  const frames = pick(run, run.planes);
  const frame = frames && frames[record];
  const groups = dotGroups(run);
  if (!frame || k > frame.scale.length || !groups[0].of || groups.length > MOST_ROWS || !groups[0].name) return;
  const values = decodedPlane(frame)[k - 1];
  const finite = values.filter((value) => !Number.isNaN(value));
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const means = groups.map((group) => group.of.reduce((sum, i) => sum + (values[i] || 0), 0) / group.of.length);
  const canvas = element("canvas", undefined, "spread");
  const [width, row] = [260, groups.length > 10 ? 7 : 10];
  [canvas.width, canvas.height] = [2 * width, 2 * row * groups.length];
  canvas.style.aspectRatio = `${width} / ${row * groups.length}`;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `values by class from ${words(low, 2)} to ${words(high, 2)}; means: ${groups.map((group, c) => `${group.name} ${words(means[c], 2)}`).join(", ")}`);
  canvas.title = `from ${words(low, 2)} to ${words(high, 2)}; rows from the top: ${groups.map((group) => group.name).join(", ")}`;
  const pen = canvas.getContext("2d");
  const ink = inkOf(document.body);
  pen.scale(2, 2);
  const left = row >= 10 ? 42 : 2;
  const x = (value) => left + ((value - low) / (high - low || 1)) * (width - left - 2);
  pen.fillStyle = ink;
  pen.font = `8.5px ${getComputedStyle(document.querySelector(".plane") || document.body).fontFamily}`;
  pen.globalAlpha = 0.85;
  if (row >= 10) groups.forEach((group, c) => pen.fillText(group.name.length > 8 ? `${group.name.slice(0, 7)}…` : group.name, 0, c * row + 8));
  pen.globalAlpha = 0.25;
  if (low < 0 && high > 0) pen.fillRect(x(0) - 0.25, 0, 0.5, row * groups.length);
  groups.forEach((group, c) => {
    pen.fillStyle = dotColor(group.color, ink);
    pen.globalAlpha = 0.5;
    group.of.forEach((i) => i < values.length && pen.fillRect(x(values[i]) - 0.6, c * row + 1, 1.2, row - 2));
    pen.globalAlpha = 1;
    pen.fillStyle = ink;
    pen.fillRect(x(means[c]) - 0.75, c * row, 1.5, row);
  });
  card.append(element("p", `each class, ${words(low, 2)} to ${words(high, 2)}`), canvas);
}
