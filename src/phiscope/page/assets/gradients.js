// ---- where in the input an eigenfunction looks: its gradient over the samples of the gallery -----------------

const looking = new Set();

// The gradients of a record's k-th function by sample, null where none were stored or the page shows others.
function looksOf(run, record, k) {
  const frames = state.mode === "centered" ? pick(run, run.looks) : null;
  const frame = frames && record >= 0 ? frames[record] : null;
  if (!frame || k > frame.samples.length) return null;
  const bytes = atob(frame.cells);
  const size = frame.shape.reduce((all, one) => all * one, 1);
  const each = frame.samples[k - 1].length;
  return new Map(
    frame.samples[k - 1].map((sample, place) => {
      const start = ((k - 1) * each + place) * size;
      const values = Float32Array.from({ length: size }, (_, i) => ((bytes.charCodeAt(start + i) << 24) >> 24) / 127);
      return [sample, { values, shape: frame.shape, scale: frame.scale[k - 1] }];
    }),
  );
}

// A switch over the gallery, where any record of the run has gradients.
function lookSwitch(block, run) {
  const frames = pick(run, run.looks);
  let label = block.querySelector(".look-switch");
  if (!label && frames && frames.some(Boolean)) {
    label = element("label", undefined, "look-switch");
    const box = element("input");
    box.type = "checkbox";
    box.addEventListener("change", () => {
      if (box.checked) looking.add(block);
      else looking.delete(block);
      block.dataset.drawn = "";
      drawGallery(block);
    });
    label.append(box, " where it looks");
    label.title = "the gradient of the eigenfunction by the input: orange where more raises it, blue where more lowers it; of a text, the darker the more a token counts";
    block.querySelector(".gallery").before(label);
  }
  if (label) label.hidden = !frames || !frames.some(Boolean) || state.mode !== "centered";
}

// Orange raises the function, blue lowers it; the strongest of the function's samples is opaque.
function lookCanvas(look, signed) {
  const [height, width] = look.shape.length === 2 ? look.shape : [1, look.shape[0]];
  const canvas = element("canvas", undefined, "look");
  [canvas.width, canvas.height] = [width, height];
  canvas.setAttribute("aria-hidden", "true");
  const pen = canvas.getContext("2d");
  const pixels = pen.createImageData(width, height);
  look.values.forEach((value, i) => {
    const color = !signed || value > 0 ? [230, 100, 10] : [30, 110, 200];
    pixels.data.set([...color, Math.round(235 * Math.sqrt(Math.abs(value)))], 4 * i);
  });
  pen.putImageData(pixels, 0, 0);
  return canvas;
}

// The columns of a table that move the function most.
function lookWords(run, look) {
  const names = run.columns || [];
  const order = Array.from(look.values.keys()).sort((a, b) => Math.abs(look.values[b]) - Math.abs(look.values[a]));
  const said = order.slice(0, 3).filter((i) => look.values[i]).map((i) => `${names[i] || `column ${i + 1}`} ${look.values[i] > 0 ? "+" : "−"}${words(Math.abs(look.values[i] * look.scale), 2)}`);
  return said.length ? `changes by ${said.join(", ")} a unit` : "changes with no column";
}

// Puts the gradients over or under the samples of one side of a function.
function addLooks(run, block, record, k, indices, list) {
  const looks = looking.has(block) ? looksOf(run, record, k) : null;
  if (!looks) return;
  const samples = run.samples[state.split];
  indices.forEach((index, place) => {
    const look = looks.get(index);
    const item = list.children[place];
    if (!look) return;
    if (samples.sprite) item.querySelector(".tile").append(lookCanvas(look, true));
    else if (samples.marked) item.append(lookCanvas(look, false));
    else item.append(element("span", lookWords(run, look), "look-words"));
  });
}
