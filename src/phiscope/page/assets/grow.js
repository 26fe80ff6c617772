// ---- a page that is open is told of new records: the same as if it had been made anew -------------

// Everything from the first changed record on is replaced; what lies before stays as it is.
function grow(data, update) {
  data.several = update.several;
  data.log_epochs = update.log_epochs;
  update.runs.forEach((fresh, index) => growRun(data.runs[index], fresh));
  growPositions(data, update.positions);
  data.runs.forEach((run) => (run.at = latestOf(data, run)));
  growHistory(data, update);
}

function growRun(run, fresh) {
  const first = fresh.first;
  const put = (rows, news) => rows.splice(first, rows.length, ...news);
  ["sizes", "gaps", "track_layouts", "layouts", "answers", "bandless", "extremes"].forEach((name) => (run[name] = fresh[name]));
  if (!fresh.epochs) return;
  ["moments", "epochs", "steps"].forEach((name) => fresh[name] && put(run[name], fresh[name]));
  ["regimes", "intervals"].forEach((name) => run.splits.forEach((split) => put(run[name][split], fresh[name][split])));
  ["curves", "maps", "gallery", "looks", "restricted", "planes", "turns"].forEach((name) =>
    run.splits.forEach((split) => Object.keys(run[name][split]).forEach((mode) => put(run[name][split][mode], fresh[name][split][mode]))),
  );
  const blank = fresh.epochs.map(() => null);
  const column = (table, news) => Object.keys(table).forEach((name) => put(table[name], (news && news[name]) || blank));
  column(run.scalars, fresh.scalars);
  run.splits.forEach((split) => column(run.numbers[split], fresh.numbers[split]));
  Object.assign(run.unturned, fresh.unturned);
  growMaps(run, fresh.limits);
  run.splits.forEach((split) =>
    Object.keys(run.tracks[split]).forEach((mode) => growTracks(run.tracks[split], mode, fresh.tracks[split][mode], first)),
  );
}

// Colors must mean the same at every record, so the widest range of all holds for all.
function growMaps(run, limits) {
  Object.entries(limits).forEach(([split, modes]) =>
    Object.entries(modes).forEach(([mode, ends]) => {
      const spec = run.map_specs[split] && run.map_specs[split][mode];
      if (!spec) return;
      const trace = spec.data[0];
      if (ends.high > trace.zmax) Object.assign(trace, { zmin: ends.low, zmax: ends.high }), (spec.limit = ends.limit);
      if (ends.columns <= spec.columns) return;
      spec.columns = ends.columns;
      spec.layout.xaxis.range = [0.5, ends.columns + 0.5];
    }),
  );
}

// New lines begin at the last record the old ones reach; where both are at one place, they are one function.
function growTracks(pictures, mode, fresh, first) {
  const old = pictures[mode];
  const turned = old.rotated && fresh.rotated;
  const joined = { diagonalized: joinTracks(old.diagonalized, fresh.diagonalized, first) };
  if (turned) joined.rotated = joinTracks(old.rotated, fresh.rotated, first);
  pictures[mode] = joined;
}

const ALIVE = 3;

function joinTracks(old, fresh, first) {
  if (!fresh.lines.length) return fresh.samples ? fresh : old.lines.length ? old : fresh;
  const kept = old.records.filter((record) => record < first);
  if (!old.lines.length || kept[kept.length - 1] !== fresh.records[0]) return fresh;
  const parts = old.lines.map((line) => cutTrack(line, kept.length)).filter(Boolean);
  const shift = kept.length - 1;
  const open = new Map(parts.filter(([start, places]) => start + places.length === kept.length).map((line) => [line[1][line[1].length - 1], line]));
  const lines = fresh.lines.map(([start, places, overlaps, ...look]) => {
    const before = start ? undefined : open.get(places[0]);
    if (!before) return [start + shift, places, overlaps, ...look];
    return [before[0], before[1].concat(places.slice(1)), before[2].concat(overlaps), ...look];
  });
  const gone = parts.filter((line) => line[0] + line[1].length < kept.length).map((line) => line.slice(0, ALIVE));
  const alive = (line) => line.length > ALIVE;
  const dead = gone.concat(lines.filter((line) => !alive(line))).sort((a, b) => a[0] - b[0] || a[1][0] - b[1][0]);
  const living = lines.filter(alive).sort((a, b) => a[1][a[1].length - 1] - b[1][b[1].length - 1]);
  return {
    ...fresh,
    records: kept.concat(fresh.records.slice(1)),
    lines: living.concat(dead),
    functions: Math.max(old.functions, fresh.functions),
    note: joinedNote(old.note, fresh.note, living.filter((line) => line[0] === 0).length),
  };
}

function cutTrack(line, count) {
  const [start, places, overlaps] = line;
  if (start >= count) return null;
  const length = Math.min(places.length, count - start);
  return [start, places.slice(0, length), overlaps.slice(0, length - 1)];
}

// The server knows the new records only; how many functions come from the first one is known here.
function joinedNote(old, fresh, whole) {
  const start = old.match(/ all the way back to (.*)\.$/);
  return start ? fresh.replace(/\d+ all the way back to .*$/, `${whole} all the way back to ${start[1]}.`) : fresh;
}

function growPositions(data, news) {
  const key = (position) => `${position.epoch} ${position.step || 0}`;
  const there = new Set(data.positions.map(key));
  data.positions.push(...news.filter((position) => !there.has(key(position))));
  data.positions.sort((a, b) => a.epoch - b.epoch || (a.step || 0) - (b.step || 0));
}

// For each place of the slider the latest measured record by then, -1 before the first.
function latestOf(data, run) {
  const splits = Object.values(run.curves);
  const step = (record) => (data.several ? run.steps[record] : 0);
  const measured = run.epochs.map((_, record) => record).filter((record) => splits.some((modes) => modes.raw[record]));
  measured.sort((a, b) => run.epochs[a] - run.epochs[b] || step(a) - step(b) || a - b);
  let next = 0;
  let latest = -1;
  return data.positions.map((position) => {
    const reached = (record) => run.epochs[record] < position.epoch || (run.epochs[record] === position.epoch && step(record) <= (position.step || 0));
    while (next < measured.length && reached(measured[next])) latest = Math.max(latest, measured[next++]);
    return latest;
  });
}

function growHistory(data, update) {
  data.history.forEach((spec) => {
    const news = update.history[spec.key] || {};
    spec.data.forEach((trace) => {
      const points = news[trace.name];
      if (!points || !points.x.length) return;
      if (points.whole) {
        Object.assign(trace, { x: points.x, y: points.y, low: points.low, high: points.high, mode: points.x.length <= 40 ? "lines+markers" : "lines" });
        trace.marker.size = points.x.length > 1 ? 4 : 8;
        widenLog(spec.layout.yaxis, points.y);
        return;
      }
      // A record that changed, by a late note, is there already: its points lie at and after the first new one.
      while (trace.x.length && trace.x[trace.x.length - 1] >= points.x[0]) trace.x.pop(), trace.y.pop();
      trace.x.push(...points.x);
      trace.y.push(...points.y);
      trace.mode = trace.x.length <= 40 ? "lines+markers" : "lines";
      trace.marker.size = trace.x.length > 1 ? 4 : 8;
      widenLog(spec.layout.yaxis, points.y);
    });
  });
}

// Ticks of a logarithmic axis were written out for the values there were.
function widenLog(axis, values) {
  const found = values.filter((value) => value > 0).map(Math.log10);
  if (axis.type !== "log" || !axis.range || !found.length) return;
  const low = Math.min(axis.range[0], Math.min(...found) - 0.11);
  const high = Math.max(axis.range[1], Math.max(...found) + 0.11);
  if (low === axis.range[0] && high === axis.range[1]) return;
  axis.range = [low, high];
  Object.assign(axis, { dtick: Math.max(1, Math.ceil((high - low) / 6)), exponentformat: "power" });
  delete axis.tickvals;
  delete axis.ticktext;
}
