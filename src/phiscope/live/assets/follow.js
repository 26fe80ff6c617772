// ---- a page that follows its runs while they grow ------------------------------------------------

const told = document.getElementById("live");
const KEPT = `phiscope ${location.search}`;
let source = null;
let marks = told.dataset.marks;
let newest = 0;

const say = (text, bad) => {
  told.textContent = text;
  told.classList.toggle("bad", Boolean(bad));
};

function ageWords() {
  if (!newest || told.classList.contains("bad")) return;
  const seconds = Math.floor((Date.now() - newest) / 1000);
  say(seconds < 2 ? "live: a new record just now" : seconds < 120 ? `live: last new record ${seconds} s ago` : `live: last new record ${Math.floor(seconds / 60)} min ago`);
}

// The slider stays at the newest record if it stood there; else at the moment that was chosen.
function take(news) {
  const { update, cards, contrast } = news;
  if (update.several !== data.several || update.unit !== data.unit) return again();
  const chosen = data.positions[state.position];
  const atNewest = state.position === last();
  const count = data.positions.length;
  grow(data, update);
  state.position = atNewest || !chosen ? last() : data.positions.findIndex((one) => one.label === chosen.label);
  if (state.position < 0) state.position = last();
  putText("cards", cards);
  if (contrast.trim()) putText("contrast", contrast);
  every(".chart").forEach((chart) => (chart.dataset.drawn = ""));
  fitSlider();
  ribbons();
  refresh();
  if (data.positions.length > count) newest = Date.now();
  if (newest) ageWords();
  document.documentElement.dataset.records = String(data.runs.reduce((sum, run) => sum + run.epochs.length, 0));
}

// What was unfolded stays unfolded.
function putText(name, text) {
  const holder = document.createElement("template");
  holder.innerHTML = text;
  const place = document.getElementById(name);
  const open = every("details", place).map((node) => node.open);
  every("details", holder.content).forEach((node, index) => index < open.length && (node.open = open[index]));
  place.replaceChildren(holder.content);
}

// A page that has to show what it has no place for is made anew, where it was.
function again() {
  disconnect();
  const { position, ...chosen } = state;
  sessionStorage.setItem(KEPT, JSON.stringify({ ...chosen, moment: position === last() ? null : data.positions[position].label }));
  location.reload();
}

function backToWhereItWas() {
  const text = sessionStorage.getItem(KEPT);
  if (!text) return;
  sessionStorage.removeItem(KEPT);
  const { moment, ...chosen } = JSON.parse(text);
  every("input[data-state]").forEach((input) => {
    if (chosen[input.dataset.state] !== input.value) return;
    input.checked = true;
    state[input.dataset.state] = input.value;
  });
  const place = data.positions.findIndex((one) => one.label === moment);
  state.position = place < 0 ? last() : place;
  fitSlider();
  ribbons();
  refresh();
}

function connect() {
  if (source || document.hidden) return;
  source = new EventSource(`${told.dataset.events}&marks=${encodeURIComponent(marks)}`);
  source.onopen = () => (newest ? ageWords() : say("live"));
  source.onerror = () => say("the server does not answer; trying again", true);
  source.addEventListener("records", (event) => {
    told.classList.remove("bad");
    take(JSON.parse(event.data));
    marks = event.lastEventId;
  });
  source.addEventListener("trouble", (event) => say(`${JSON.parse(event.data).sentence}; what was loaded before stays`, true));
  source.addEventListener("fine", () => say("live"));
  source.addEventListener("reload", again);
}

// A browser grants one server few connections: a page that nobody sees gives its own back.
function disconnect() {
  if (source) source.close();
  source = null;
}

backToWhereItWas();
setInterval(ageWords, 1000);
document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
window.addEventListener("pagehide", disconnect);
window.addEventListener("pageshow", connect);
connect();
