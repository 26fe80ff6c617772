// ---- eigenfunctions on single samples: decoded, their signs and clusters aligned from record to record --------

const alignedSeries = new WeakMap();

// The values of one record, function by function; what is missing is NaN.
function decodedPlane(frame) {
  const bytes = atob(frame.cells);
  return frame.scale.map((scale, k) =>
    Float32Array.from({ length: frame.n }, (_, i) => {
      const step = (bytes.charCodeAt(k * frame.n + i) << 24) >> 24;
      return step === -128 ? NaN : (step / 127) * scale;
    }),
  );
}

function innerProduct(one, other) {
  let sum = 0;
  for (let i = 0; i < one.length; i += 1) sum += one[i] * other[i] || 0;
  return sum;
}

// The rotation nearest to a square matrix: U V^T of its singular value decomposition, by one-sided Jacobi turns.
function nearestRotation(matrix) {
  const size = matrix.length;
  // A little of the identity: where overlaps say nothing, functions stay as they are.
  const reach = 1e-6 * (1 + Math.max(...matrix.flat().map(Math.abs)));
  const u = Array.from({ length: size }, (_, c) => matrix.map((row, r) => row[c] + (r === c ? reach : 0)));
  const v = Array.from({ length: size }, (_, c) => Array.from({ length: size }, (__, r) => (r === c ? 1 : 0)));
  const turn = (columns, p, q, cos, sin) => {
    const [first, second] = [columns[p], columns[q]];
    for (let i = 0; i < size; i += 1) [first[i], second[i]] = [cos * first[i] - sin * second[i], sin * first[i] + cos * second[i]];
  };
  for (let sweep = 0, moved = true; sweep < 40 && moved; sweep += 1) {
    moved = false;
    for (let p = 0; p < size; p += 1) {
      for (let q = p + 1; q < size; q += 1) {
        const [a, b, c] = [innerProduct(u[p], u[p]), innerProduct(u[q], u[q]), innerProduct(u[p], u[q])];
        if (Math.abs(c) <= 1e-12 * Math.sqrt(a * b)) continue;
        moved = true;
        const zeta = (b - a) / (2 * c);
        const tan = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.hypot(1, zeta));
        const cos = 1 / Math.hypot(1, tan);
        turn(u, p, q, cos, cos * tan);
        turn(v, p, q, cos, cos * tan);
      }
    }
  }
  u.forEach((column) => {
    const length = Math.hypot(...column) || 1;
    column.forEach((value, i) => (column[i] = value / length));
  });
  return matrix.map((_, r) => matrix.map((__, c) => u.reduce((sum, column, j) => sum + column[r] * v[j][c], 0)));
}

// Signs are arbitrary, and inside a cluster so are the functions: both are taken as near to the record before as can be.
function alignedTo(before, values, clusters) {
  if (!before || before[0].length !== values[0].length) return values;
  const made = values.map((one, k) => (k < before.length && innerProduct(one, before[k]) < 0 ? one.map((value) => -value) : one));
  clusters.forEach(([start, end]) => {
    const stop = Math.min(end, before.length);
    if (stop - start < 2) return;
    const inside = Array.from({ length: stop - start }, (_, i) => start + i);
    const rotation = nearestRotation(inside.map((a) => inside.map((b) => innerProduct(values[a], before[b]))));
    inside.forEach((b, c) => {
      made[b] = values[b].map((_, i) => inside.reduce((sum, a, r) => sum + values[a][i] * rotation[r][c], 0));
    });
  });
  return made;
}

// All records of a run, aligned; those that came since the last look are added, one that changed is made anew.
function planeSeries(run) {
  const frames = pick(run, run.planes);
  if (!frames || !frames.some(Boolean)) return null;
  const key = `${state.split} ${state.mode}`;
  if (!alignedSeries.has(run)) alignedSeries.set(run, new Map());
  const kept = alignedSeries.get(run).get(key) || { frames: [], values: [] };
  let same = 0;
  while (same < kept.frames.length && kept.frames[same] === frames[same]) same += 1;
  if (same === frames.length && same === kept.frames.length) return kept;
  const values = kept.values.slice(0, same);
  let before = values.filter(Boolean).pop();
  for (const frame of frames.slice(same)) {
    values.push(frame && alignedTo(before, decodedPlane(frame), frame.clusters));
    before = values[values.length - 1] || before;
  }
  const there = values.filter(Boolean);
  const count = Math.min(...there.map((one) => one.length));
  const ends = Array.from({ length: count }, (_, k) => {
    let [low, high] = [Infinity, -Infinity];
    there.forEach((one) => one[k].forEach((value) => ((low = Math.min(low, Number.isNaN(value) ? low : value)), (high = Math.max(high, Number.isNaN(value) ? high : value)))));
    return [low, high];
  });
  const made = { frames: frames.slice(), values, count, ends };
  alignedSeries.get(run).set(key, made);
  return made;
}

// The chosen record, or the last one before it whose values the page has.
function planeRecord(series, record) {
  let found = record;
  while (found >= 0 && !series.values[found]) found -= 1;
  return found;
}
