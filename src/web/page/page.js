// The page of PuyPuy: fetches the daemon's state and numbers, and draws them.
// Sections: state, fetching, units, scales, lines, drawing, cards, cursor, lists, range and keys, search, live.
// Texts from the daemon are only inserted with textContent and setAttribute, never as HTML.

// ---- State ----

const SPANS = [["15 min", 900], ["1 h", 3600], ["6 h", 21600], ["24 h", 86400], ["7 days", 604800]];
const [SHORTEST, LONGEST] = [30, 40 * 86400]; // limits of a range in seconds
const HUGE = 1e300; // largest number that is drawn to scale
const COLUMNS = 360; // columns per chart
const SERIES = 60; // most series per request
const LINES = 8; // most lines per chart, because each needs its own colour
const FOUND = 24; // most charts in search results
const OTHERS = 200; // most charts of metrics that belong to no check

const state = {
  status: null, // the newest /api/status
  events: { events: [], open: [] },
  series: [],
  newest: new Map(), // newest number by series id, for the tiles
  span: 3600, // length of the range in seconds, up to now
  zoom: null, // [from, to] of a fixed range instead
  view: null, // the range that the charts show; a new object for each new range
  data: new Map(), // columns within the view, by series id
  find: "",
  paused: false,
  cursor: null, // the time under the pointer
  marked: null, // [from, to] while the pointer drags
  failure: "", // error of the last request, empty if it succeeded
  most: SERIES, // most series per request now; fewer if the store is slow
  answered: 0, // host time of the newest answer
  ahead: 0, // seconds by which the host's clock is ahead of the browser's
};
const byName = new Map(); // series by metric name
let cards = [];
let tiles = []; // the charts of the tiles, with their groups

const byId = (id) => document.getElementById(id);
const tell = (id, text) => (byId(id).textContent = text);
const isNumber = (value) => !Number.isNaN(value);
const now = () => Date.now() / 1000 + state.ahead;
const isLive = () => !state.zoom && !state.paused;
const hasStore = () => state.status.sink.type === "Local";
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// ---- Fetching ----

async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(15000) }).catch(() => Promise.reject(new Error("")));
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.error ?? `${path.split("?")[0]} is answered with ${answer.status}`);
  if (body.now) [state.answered, state.ahead] = [body.now, body.now - Date.now() / 1000];
  return body;
}

async function askStatus() {
  state.status = await ask("/api/status");
  const { store, started, host, charts } = state.status;
  const isYoung = hasStore() && !(store?.oldest < now() - SPANS[0][1]);
  if (!state.known && !location.hash && isYoung) {
    history.replaceState(null, "", address({ span: SPANS[0][1] }));
    readAddress();
  }
  const begin = state.zoom?.[0] ?? now() - state.span;
  if (hasStore()) state.events = await ask(`/api/events?span=${clamp(Math.ceil(now() - begin), SHORTEST, LONGEST)}`);
  const known = JSON.stringify([store?.series, started, host, charts]);
  if (known !== state.known) {
    state.series = hasStore() ? (await ask("/api/series")).series : [];
    for (const { tags } of state.series) Object.setPrototypeOf(tags, null); // a tag may have the name of a built-in property
    state.known = known;
    arrange();
  }
}

async function askTiles() {
  const ids = tiles.flatMap((tile) => idsOf(tile.groups));
  for (const part of parts(ids)) {
    const { series } = await ask(`/api/points?ids=${part}&span=${Math.max(60, Math.ceil(state.status.period * 4))}&points=${SERIES}`);
    for (const { id, avg } of series) state.newest.set(id, avg.findLast((value) => value !== null) ?? NaN);
  }
}

// Fetches what visible cards lack: the whole view for some series, only the newest columns for others.
async function askPoints() {
  const { view } = state;
  if (isLive()) moveView(view);
  const age = (id) => (view.to - (state.data.get(id)?.to ?? -Infinity)) / view.step;
  const ids = (isWanted, idsOfCard) => [...new Set(cards.filter(isWanted).flatMap(idsOfCard))];
  const whole = ids((card) => card.isNear || card.isEmpty, (card) => card.ids).filter((id) => !(Math.abs(age(id)) <= 20));
  const rest = ids((card) => card.isNear && !card.isEmpty, drawnIds).filter((id) => age(id) > 0 && age(id) <= 20);
  const last = Math.min(...rest.map((id) => state.data.get(id).to));
  for (const part of parts(whole)) {
    await askColumns(view, part, view.from);
    if (state.isWanted) return; // something else may be in sight by now
  }
  for (const part of parts(rest)) await askColumns(view, part, (Math.floor(last / view.step) - 1) * view.step);
}

const parts = (ids) => Array.from({ length: Math.ceil(ids.length / state.most) }, (_, i) => ids.slice(i * state.most, (i + 1) * state.most));

async function askColumns(view, ids, from) {
  if (state.view !== view) return;
  const width = view.step ? `step=${view.step}` : `points=${COLUMNS}`;
  const answer = await ask(`/api/points?ids=${ids}&from=${from}&to=${view.to}&${width}`);
  if (state.view !== view) return;
  keep(view, answer, ids);
  for (const card of cards.filter((each) => each.ids.some((id) => ids.includes(id)))) {
    if (from === view.from) card.chosen = null;
    draw(card);
  }
}

function moveView(view) {
  view.to = Math.floor(now());
  view.from = view.to - state.span;
  if (view.step) view.begin = Math.floor(view.from / view.step) * view.step;
}

// Stores an answer in the columns of the view; NaN means no value.
function keep(view, answer, ids) {
  const { from, step } = answer;
  if (!view.step) Object.assign(view, { step, begin: from, count: Math.ceil((view.to - from) / step) + 1 });
  const place = (time) => Math.round((time - view.begin) / view.step);
  for (const id of ids) {
    const old = state.data.get(id);
    const moved = (values) => Float64Array.from({ length: view.count }, (_, i) => values?.[i - place(old.begin)] ?? NaN);
    const [avg, min, max] = [old?.avg, old?.min, old?.max].map(moved);
    state.data.set(id, { begin: view.begin, to: view.to, avg, min, max });
  }
  for (const { id, avg, min = avg, max = avg } of answer.series) {
    const kept = state.data.get(id);
    avg.forEach((value, i) => {
      kept.avg[place(from) + i] = value ?? NaN;
      kept.min[place(from) + i] = min[i] ?? NaN;
      kept.max[place(from) + i] = max[i] ?? NaN;
    });
  }
}

// ---- Units ----

const BINARY = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL = ["", "k", "M", "G", "T", "P", "E"];
const SECONDS = new Map([["ns", 1e-9], ["us", 1e-6], ["µs", 1e-6], ["ms", 1e-3], ["s", 1]]);
const SHORT = new Map([["bytes", "B"], ["bytes/s", "B/s"], ["%", "%"], ["1/s", "/s"]]);
const isBytes = (unit) => /^(bytes|KiB)(\/s)?$/.test(unit);
// A unit that is too long to repeat after each number, so it is shown once beside the title; otherwise empty.
const longUnit = ({ unit, title }) => (SHORT.has(unit) || SECONDS.has(unit) || isBytes(unit) || title.toLowerCase().includes(unit) ? "" : unit);

function show(value, unit, places = 3) {
  if (!Number.isFinite(value)) return "–";
  if (SECONDS.has(unit)) return duration(value * SECONDS.get(unit), places);
  if (unit === "unix s") return dateOf(value);
  if (unit.startsWith("KiB")) return show(value * 1024, unit.replace("KiB", "bytes"), places);
  const [size, names] = isBytes(unit) ? [1024, BINARY] : [1000, DECIMAL];
  let power = 0;
  if (isBytes(unit) || Math.abs(value) >= 10000) {
    for (; Math.abs(value) >= 999.5 && power < names.length - 1; power++) value /= size;
  }
  return `${digits(value, places)} ${names[power]}${SHORT.get(unit) ?? (unit.startsWith("%") ? "%" : "")}`.trim();
}

const digits = (value, places) => String(Number(value.toPrecision(Math.max(places, Math.trunc(Math.abs(value)).toString().length))));

function duration(seconds, places = 3) {
  const length = Math.abs(seconds);
  if (length < 60) {
    const [factor, name] = length >= 1 || length === 0 ? [1, "s"] : length >= 1e-3 ? [1e3, "ms"] : [1e6, "µs"];
    return `${digits(seconds * factor, places)} ${name}`;
  }
  const [large, name, small, rest] = length < 3600 ? [60, "min", 1, "s"] : length < 86400 ? [3600, "h", 60, "min"] : [86400, "d", 3600, "h"];
  const more = Math.floor((length % large) / small);
  return `${Math.trunc(seconds / large)} ${name}${more ? ` ${more} ${rest}` : ""}`;
}

function timeFormat(options) {
  const format = new Intl.DateTimeFormat("en-GB", { hourCycle: "h23", ...options });
  return (time) => format.format(time * 1000);
}
const MINUTE = { hour: "2-digit", minute: "2-digit" };
const minuteOf = timeFormat(MINUTE);
const secondOf = timeFormat({ ...MINUTE, second: "2-digit" });
const dayOf = timeFormat({ weekday: "short", day: "numeric" });
const dateOf = timeFormat({ ...MINUTE, second: "2-digit", day: "numeric", month: "short" });
const momentOf = (time) => (dayOf(time) === dayOf(now()) && now() - time < 86400 ? secondOf(time) : dateOf(time));

// The offset, such as GMT+2, of a zone's name or of UTC+2.
function offsetOf(timeZone) {
  try {
    const format = new Intl.DateTimeFormat("en-GB", { timeZone, timeZoneName: "shortOffset" });
    return format.formatToParts().find((part) => part.type === "timeZoneName").value;
  } catch {
    return timeZone.replace("UTC", "GMT");
  }
}

// ---- Scales ----

const TICKS = [5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];

// The smallest round number that is at least `rough`; for bytes a power of two.
function roundUp(rough, unit) {
  if (isBytes(unit)) return 2 ** Math.ceil(Math.log2(rough));
  const time = unit === "s" && rough > 30 && TICKS.find((step) => step >= rough);
  const power = 10 ** Math.floor(Math.log10(rough));
  return time || power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.9999);
}

// The scale starts at zero, except for a size in bytes that varies little.
function valueScale({ full, unit, stacked, below }, low, high) {
  if (full && high <= full * 1.001) return { low: low < 0 ? -full : 0, high: full, step: full < 10 ? 1 : full / 4 };
  const moves = (high - low) / high;
  const movesLittle = unit === "bytes" && !stacked && low > 0 && moves > 1e-9 && moves < 0.1;
  if (!movesLittle) [low, high] = [Math.min(0, low), Math.max(0, high)];
  if (high - low < 1 / HUGE) [low, high] = [below ? -1 : low, low + 1];
  const step = roundUp((high - low) / 4, unit);
  return { low: Math.floor(low / step) * step, high: Math.ceil(high / step) * step, step };
}

// Times that are round in the browser's time zone, with their labels.
function timeTicks({ from, to }, most) {
  const step = TICKS.find((each) => (to - from) / each <= most) ?? LONGEST;
  const zone = (time) => new Date(time * 1000).getTimezoneOffset() * -60;
  const ticks = [];
  for (let local = Math.ceil((from + zone(from)) / step) * step; ; local += step) {
    const time = local - zone(local - zone(from));
    if (time > to) return ticks;
    ticks.push([time, local % 86400 === 0 ? dayOf(time) : step < 60 ? secondOf(time) : minuteOf(time)]);
  }
}

// ---- Lines ----

// A pattern in {braces} stands for any text in a metric's name.
function isLike(pattern, name) {
  const [first, ...rest] = pattern.split(/\{[^}]*\}/);
  if (!rest.length) return name === pattern;
  return name.length > first.length && name.startsWith(first) && name.endsWith(rest.at(-1));
}
const like = (pattern) => (byName.has(pattern) ? [pattern] : pattern.includes("{") ? [...byName.keys()].filter((name) => isLike(pattern, name)) : []);

// The lines of a chart from its existing series; each group has one colour and one legend entry.
function groupsOf(chart) {
  const sides = [chart.metrics, chart.below ?? []].map((names) => names.flatMap(like));
  const all = sides.flatMap((names, below) => names.flatMap((name) => byName.get(name)).map((series) => ({ ...series, side: below ? -1 : 1 })));
  const own = all.filter((series) => belongs(chart, series));
  const told = own.filter(({ tags }) => tags[chart.each]); // others are sums of these, or of another kind
  const lines = new Map();
  for (const series of told.length ? told : own) {
    const { side, name, tags } = series;
    const key = JSON.stringify([side, name, chart.sum ? tags[chart.each] : tags]);
    if (!lines.has(key)) lines.set(key, { side, name, tags, series: [] });
    lines.get(key).series.push(series);
  }
  return group(chart, [...lines.values()], shortNames(sides.flat()));
}

function belongs(chart, { id, tags }) {
  if (chart.ids) return chart.ids.has(id);
  const has = ([tag, value]) => tags[tag] === value;
  const isOut = ([tag, begins]) => begins.some((text) => (text[0] === "*" ? tags[tag]?.includes(text.slice(1)) : tags[tag]?.startsWith(text)));
  return Object.entries(chart.only ?? {}).every(has) && !Object.entries(chart.without ?? {}).some(isOut);
}

function group(chart, lines, names) {
  const isPair = chart.below && chart.each; // a value above and one below the axis share a colour
  // A single line's label has all its tags; several lines' labels only the tags in which they differ.
  const isOwn = (tag) => tag !== chart.each && !Object.hasOwn(chart.only ?? {}, tag);
  const tells = (tag) => isOwn(tag) && (lines.length === 1 || lines.some((line) => line.tags[tag] !== lines[0].tags[tag]));
  const tags = chart.sum ? [] : [...new Set(lines.flatMap((line) => Object.keys(line.tags)))].filter(tells);
  const groups = new Map();
  for (const line of lines) {
    const words = [chart.each, ...tags].map((tag) => line.tags[tag]).filter(Boolean);
    if (names.size > 1 && !isPair) words.unshift(names.get(line.name));
    let label = words.join(" ") || (names.size > 1 ? line.name : "");
    const isTaken = groups.get(label)?.lines.some((other) => other.side === line.side);
    if (isTaken) label = [line.name, ...Object.entries(line.tags).flat()].join(" ");
    if (!groups.has(label)) groups.set(label, { label, lines: [] });
    groups.get(label).lines.push(line);
  }
  const all = [...groups.values()];
  return chart.each || names.size === 1 ? all.sort((a, b) => a.label.localeCompare(b.label, "en", { numeric: true })) : all;
}

const idsOf = (groups) => groups.flatMap((each) => each.lines.flatMap((line) => line.series.map(({ id }) => id)));

// Names without their common first and last words.
function shortNames(names) {
  const words = names.map((name) => name.split("_"));
  const isCommon = (place) => names.length > 1 && words.every((own) => own.length > 1 && own.at(place) === words[0].at(place));
  while (isCommon(0)) words.forEach((own) => own.shift());
  while (isCommon(-1)) words.forEach((own) => own.pop());
  return new Map(names.map((name, place) => [name, words[place].join(" ")]));
}

// The numbers of a series as they are drawn: for a counter its change per second, with no value after a reset.
function numbersOf({ id, kind }) {
  const numbers = state.data.get(id);
  if (kind !== "counter") return numbers;
  let last = -1;
  const rates = numbers.max.map((value, i) => {
    if (!isNumber(value)) return NaN;
    const rate = (value - numbers.max[last]) / ((i - last) * state.view.step);
    last = i;
    return rate >= 0 ? rate : NaN;
  });
  return { avg: rates, min: rates, max: rates };
}

// The sum of several series. Its exact extremes are unknown; it reached at least the value at which one series was at its
// extreme and the others at their mean.
function addUp(all) {
  if (all.length === 1) return all[0];
  const sum = { avg: [], min: [], max: [] };
  for (let i = 0; i < state.view.count; i++) {
    const there = all.filter((each) => isNumber(each.avg[i]));
    const mean = there.length ? there.reduce((total, each) => total + each.avg[i], 0) : NaN;
    sum.avg.push(mean);
    sum.max.push(mean + Math.max(...there.map((each) => each.max[i] - each.avg[i])));
    sum.min.push(mean - Math.max(...there.map((each) => each.avg[i] - each.min[i])));
  }
  return sum;
}

// How many columns apart two values may be and still be joined: a check with a long period leaves columns empty.
function reachOf(values, chart) {
  let [least, last] = [Infinity, -Infinity];
  values.forEach((value, i) => {
    if (!isNumber(value)) return;
    least = Math.min(least, i - last);
    last = i;
  });
  const period = state.status.checks.find((check) => check.name === chart.check)?.period ?? 0;
  return 1.5 * Math.max(least, Math.ceil(period / state.view.step));
}

// The indices of columns with a value, split at gaps.
function stretches(values, reach) {
  const all = [];
  let last = -Infinity;
  values.forEach((value, i) => {
    if (!isNumber(value)) return;
    if (!all.length || i - last > reach) all.push([]);
    all.at(-1).push(i);
    last = i;
  });
  return all;
}

const rangeOf = ({ min, max }) => [Math.min(...min.filter(isNumber)), Math.max(...max.filter(isNumber))];

// The value in a column, or the last one before it that is still near enough.
function valueAt(line, place) {
  for (let i = place; i >= 0 && place - i < line.reach; i--) if (isNumber(line.avg[i])) return line.avg[i];
  return NaN;
}

// ---- Drawing ----

const SVG = "http://www.w3.org/2000/svg";

// Updates the children of a node to match a list of [tag, attributes, text or children]; reuses existing nodes.
function fill(parent, items) {
  items.forEach(([tag, attributes = {}, content], place) => {
    let node = parent.children[place];
    if (node?.tagName.toLowerCase() !== tag) {
      const fresh = document.createElementNS(tag === "svg" ? SVG : parent.namespaceURI, tag);
      node ? node.replaceWith(fresh) : parent.append(fresh);
      node = fresh;
    }
    set(node, attributes);
    if (Array.isArray(content)) fill(node, content);
    else if (content !== undefined && node.textContent !== content) node.textContent = content;
  });
  while (parent.children.length > items.length) parent.lastElementChild.remove();
  return parent;
}

function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
  }
}

// The groups to draw, with their numbers: all that have values, but at most the LINES largest. The other groups are not
// requested again before the whole range is.
function choose(card) {
  const there = (card.chosen ?? card.groups).flatMap((group) => {
    const lines = group.lines.map((line) => ({ ...line, ...addUp(line.series.map(numbersOf)) }));
    const size = Math.max(...lines.flatMap(rangeOf).filter(Number.isFinite).map(Math.abs));
    return size >= 0 ? [{ group, label: group.label, lines, size }] : [];
  });
  if (card.chosen) return there;
  const largest = new Set([...there].sort((a, b) => b.size - a.size).slice(0, LINES));
  card.others = there.length - largest.size;
  const drawn = there.filter((each) => largest.has(each));
  if (card.others) card.chosen = drawn.map((each) => each.group);
  return drawn;
}

const drawnIds = (card) => (card.chosen ? idsOf(card.chosen) : card.ids);

// An error in one chart must not stop the others.
function draw(card) {
  if (!card.ids.every((id) => state.data.has(id))) return;
  try {
    drawAll(card);
  } catch (error) {
    console.error(card.chart, error);
    card.figure.hidden = true;
    sizes.unobserve(card.plot); // being hidden is another size
  }
}

function drawAll(card) {
  const { chart, figure, legend, svg } = card;
  const groups = choose(card);
  figure.hidden = card.isEmpty = !groups.length;
  legend.hidden = groups.length === 1;
  legend.classList.toggle("long", groups.length > 4);
  const { width, height } = card.size;
  if (card.isEmpty || !width) return;
  figure.classList.add("drawn");
  const lines = groups.flatMap((each, color) => each.lines.map((line) => ({ ...line, label: each.label, color, reach: reachOf(line.avg, chart) })));
  const total = chart.stacked && { ...lines[0], label: "", ...addUp(lines) };
  if (total && chart.full) total.max = total.max.map((value) => Math.min(value, chart.full));
  const all = (total ? [total] : lines).flatMap((line) => rangeOf(line).map((value) => value * line.side));
  const scale = valueScale(chart, ...[Math.min(...all), Math.max(...all)].map((value) => clamp(value, -HUGE, HUGE)));
  const places = 1 + Math.max(2, Math.ceil(Math.log10(Math.max(scale.high, -scale.low) / scale.step)));
  const levels = Array.from({ length: Math.round((scale.high - scale.low) / scale.step) + 1 }, (_, i) => scale.low + i * scale.step);
  const kind = (value) => (Math.abs(value) < scale.step / 2 ? "axis" : "level");
  const labels = levels.map((value) => [value, show(chart.below ? Math.abs(value) : value, chart.unit, places), kind(value)]);
  const box = { left: 8 + 6.3 * Math.max(...labels.map(([, text]) => text.length)), right: width - 6, top: 9, bottom: height - 17 };
  const view = { ...state.view };
  const x = (time) => round(box.left + clamp((time - view.from) / (view.to - view.from), 0, 1) * (box.right - box.left));
  const y = (value) => round(box.bottom - ((value - scale.low) / (scale.high - scale.low)) * (box.bottom - box.top));
  card.picture = { groups, lines, total, view, box, x, y };
  const shapes = total ? stack(card) : lines.flatMap((line) => curve(card, line));
  const flags = flagsOf(chart).map((flag) => bar(card.picture, flag));
  fill(svg, [...[gaps(card), grid(card, labels), shapes, flags].map((layer) => ["g", {}, layer]), ["g"]]);
  drawCursor(card);
  const told = lines.map((line) => `${line.label} ${show(newest(line), chart.unit)}, at most ${show(rangeOf(line)[1], chart.unit)}`);
  set(svg, { "aria-label": `${chart.title}, ${minuteOf(view.from)} to ${minuteOf(view.to)}: ${told.join("; ")}` });
}

const round = (value) => Math.round(value * 10) / 10;
const middle = (view, i) => view.begin + (i + 0.5) * view.step;
const newest = (line) => valueAt({ ...line, reach: line.reach + 3 }, line.avg.length - 1);

const points = ({ view, x, y }, values, side, places) => places.map((i) => `${x(middle(view, i))} ${y(values[i] * side)}`).join("L");

// h0 adds a line of length zero, whose round cap shows a single column as a dot.
const linePath = (picture, line, values) => stretches(values, line.reach).map((places) => `M${points(picture, values, line.side, places)}h0`).join("");

function areaPath(picture, line, upper, lower) {
  const area = (places) => `M${points(picture, upper, line.side, places)}L${points(picture, lower, line.side, places.toReversed())}Z`;
  return stretches(upper, line.reach).map(area).join("");
}

function path(card, kind, { color }, d) {
  const isDim = card.loud >= 0 && card.loud !== color;
  return ["path", { class: `${kind} c${color}${isDim ? " dim" : ""}`, d }];
}

// A line with its extremes: as a band if it is the only line on its side of the axis, otherwise its maxima as a thin line.
function curve(card, line) {
  const { picture } = card;
  const shapes = [path(card, "line", line, linePath(picture, line, line.avg))];
  if (!line.avg.some((value, i) => line.max[i] > value || line.min[i] < value)) return shapes;
  const isAlone = picture.lines.every((other) => other === line || other.side !== line.side);
  shapes.unshift(isAlone ? path(card, "band", line, areaPath(picture, line, line.max, line.min)) : path(card, "peak", line, linePath(picture, line, line.max)));
  return shapes;
}

// Stacked lines, and the maxima of their sum as a line.
function stack(card) {
  const { picture } = card;
  const { total } = picture;
  let lower = total.avg.map(() => 0);
  const shapes = picture.lines.map((line) => {
    const upper = total.avg.map((sum, i) => (isNumber(sum) ? lower[i] + (line.avg[i] || 0) : NaN));
    const shape = path(card, "layer", line, areaPath(picture, { ...total, side: 1 }, upper, lower));
    lower = upper;
    return shape;
  });
  const rises = total.max.some((value, i) => value > total.avg[i] * 1.001);
  return rises ? [...shapes, path(card, "top", total, linePath(picture, total, total.max))] : shapes;
}

// Rectangles where none of the chart's lines has values.
function gaps({ chart, picture: { lines, view, box, x } }) {
  const isThere = lines[0].avg.map((_, i) => (lines.some((line) => isNumber(line.avg[i])) ? 1 : NaN));
  const reach = reachOf(isThere, chart);
  const there = stretches(isThere, reach).flatMap((places) => [middle(view, places[0]), middle(view, places.at(-1))]);
  // The values of the newest columns may not have been stored yet.
  const edges = [Math.max(view.from, state.status.store?.oldest ?? 0), ...there, Math.max(view.to - 2 * view.step, there.at(-1))];
  const shapes = [];
  for (let i = 0; i < edges.length; i += 2) {
    const [from, to] = [edges[i], edges[i + 1]];
    if (to - from > reach * view.step) shapes.push(["rect", { class: "gap", x: x(from), width: x(to) - x(from), y: box.top, height: box.bottom - box.top }]);
  }
  return shapes;
}

function grid({ chart, picture: { view, box, x, y, lines } }, labels) {
  const shapes = [];
  const line = (kind, x1, x2, y1, y2) => shapes.push(["line", { class: kind, x1, x2, y1, y2 }]);
  const text = (anchor, atX, atY, words) => shapes.push(["text", { "text-anchor": anchor, x: atX, y: atY }, words]);
  for (const [value, words, kind] of labels) {
    line(kind, box.left, box.right, y(value), y(value));
    text("end", box.left - 5, y(value) + 4, words);
  }
  for (const [time, words] of timeTicks(view, (box.right - box.left) / 62)) {
    const at = x(time);
    line("tick", at, at, box.bottom, box.bottom + 4);
    if (at > box.left + 12 && at < box.right - 14) text("middle", at, box.bottom + 15, words);
  }
  if (!chart.below) return shapes;
  const names = shortNames([...chart.metrics, ...chart.below]);
  const half = (all) => all.map((name) => names.get(name)).join(", ");
  text("start", box.left + 6, box.top + 11, `▲ ${half(chart.metrics)}`);
  text("start", box.left + 6, box.bottom - 5, `▼ ${half(chart.below)}`);
  return shapes;
}

const isOf = (chart) => ({ event }) => chart.events?.some((pattern) => isLike(pattern, event));

// The periods in which an event of a chart was not OK.
function flagsOf(chart) {
  const flags = [];
  const begun = new Map();
  const { events, open } = state.events;
  for (const { event, level, time } of [...events, ...open].filter(isOf(chart)).sort((a, b) => a.time - b.time)) {
    const before = begun.get(event);
    if (before) before.to = Math.max(time, before.from);
    begun.set(event, { level, from: time, to: open.some((each) => each.event === event) ? Infinity : time });
    if (level !== "OK") flags.push(begun.get(event));
  }
  return flags;
}

function bar({ x }, { level, from, to }) {
  return ["rect", { class: `flag ${level.toLowerCase()}`, x: x(from), y: 1, height: 4, width: Math.max(2, x(to) - x(from)) }];
}

// ---- Cards ----

const owners = new WeakMap(); // card by DOM node
const sight = new IntersectionObserver((seen) => {
  for (const { target, isIntersecting } of seen) owners.get(target).isNear = isIntersecting;
  refresh();
}, { rootMargin: "200px" });
const sizes = new ResizeObserver((seen) => {
  for (const { target, contentRect } of seen) draw(Object.assign(owners.get(target), { size: contentRect }));
});

function makeCard(chart) {
  const figure = document.createElement("figure");
  figure.className = "card";
  fill(figure, [
    ["figcaption", {}, [["h3", { title: chart.title }, [["b", {}, chart.title], ["span", {}, longUnit(chart)]]], ["span", { class: "said" }]]],
    ["div", { class: "plot" }, [["svg", { role: "img", tabindex: 0, "aria-label": chart.title }]]],
    ["div", { class: "legend" }],
  ]);
  const [caption, plot, legend] = figure.children;
  const card = { chart, figure, plot, legend, svg: plot.firstChild, said: caption.lastChild, loud: -1, isNear: Boolean(chart.first && !state.find), size: { width: 0, height: 0 } };
  for (const node of [figure, plot]) owners.set(node, card);
  sight.observe(figure);
  sizes.observe(plot);
  followPointer(card);
  return card;
}

// Rebuilds the sections of charts; reuses cards that are still needed.
function arrange() {
  const { status, series } = state;
  const own = series.filter((each) => each.host === status.host);
  byName.clear();
  for (const each of own.length ? own : series) byName.set(each.name, [...(byName.get(each.name) ?? []), each]);
  const charts = hasStore() ? status.charts : [];
  tiles = charts.filter((chart) => chart.tile).map((chart) => ({ chart, groups: groupsOf(chart) }));
  const shown = charts.filter((chart) => chart.tile !== "uptime");
  const sections = new Map([["Overview", shown.filter((chart) => chart.first)]]);
  for (const chart of shown.filter((each) => !each.first)) sections.set(chart.check, [...(sections.get(chart.check) ?? []), chart]);
  const others = unclaimed(charts);
  const more = others.length > OTHERS ? `: the first ${OTHERS} of ${others.length}; the search finds the rest` : "";
  sections.set(`Scripts, modules and others${more}`, others.slice(0, OTHERS));
  const old = new Map(cards.map((card) => [card.key, card]));
  cards = [];
  fill(byId("charts"), [...sections].map(() => ["section"]));
  [...sections].forEach(([title, all], i) => place(byId("charts").children[i], title, all, old));
  const found = state.find ? search(state.find) : [];
  place(byId("found"), foundTitle(found), found.slice(0, FOUND), old);
  byId("found").hidden = !(byId("charts").hidden = Boolean(state.find));
  for (const { figure, plot } of old.values()) [sight.unobserve(figure), sizes.unobserve(plot)];
}

function place(section, title, charts, old) {
  fill(section, [["h2", {}, title], ["div", { class: section.id && charts.length === 1 ? "grid one" : "grid" }]]);
  section.hidden = !charts.length;
  const own = charts.map((chart) => {
    const key = JSON.stringify([section.id, chart]);
    const card = old.get(key) ?? makeCard(chart);
    old.delete(key);
    const groups = groupsOf(chart);
    card.figure.hidden = !groups.length;
    return Object.assign(card, { key, chart, groups, ids: idsOf(groups), chosen: null });
  });
  section.lastElementChild.replaceChildren(...own.map((card) => card.figure));
  cards.push(...own);
}

// A chart for each metric that is in no other chart.
function unclaimed(charts) {
  const claimed = new Set(charts.flatMap((chart) => [...chart.metrics, ...(chart.below ?? [])].flatMap(like)));
  return [...byName.keys()].filter((name) => !claimed.has(name) && name !== "health_status").sort().map(chartOf);
}

const chartOf = (name) => ({ title: name, unit: byName.get(name)[0].unit ?? "", metrics: [name] });

// ---- Cursor ----

function followPointer(card) {
  const { plot, legend } = card;
  let start = null;
  const isDrag = (event) => start && Math.abs(event.clientX - start.x) > 8;
  const point = (event) => {
    const { box, view } = card.picture;
    const edge = plot.getBoundingClientRect();
    const time = view.from + clamp((event.clientX - edge.left - box.left) / (box.right - box.left), 0, 1) * (view.to - view.from);
    state.marked = isDrag(event) ? [start.time, time].sort((a, b) => a - b) : null;
    setCursor(time, card, event.clientY - edge.top);
    return time;
  };
  const follow = (name, action) => plot.addEventListener(name, (event) => card.picture && action(event));
  follow("pointerdown", (event) => {
    if (event.button) return;
    start = { x: event.clientX, time: point(event) };
    plot.setPointerCapture(event.pointerId);
  });
  follow("pointermove", point);
  follow("pointerup", (event) => {
    point(event);
    const { marked } = state;
    start = state.marked = null;
    if (marked) go({ zoom: marked });
  });
  follow("pointercancel", () => (start = state.marked = null));
  // On touch screens the cursor stays when the finger is lifted.
  follow("pointerleave", (event) => event.pointerType === "mouse" && !start && setCursor(null));
  follow("dblclick", undo);
  const stress = (event) => {
    card.loud = [...legend.children].indexOf(event.target.closest("button"));
    draw(card);
  };
  for (const name of ["pointerover", "focusin"]) legend.addEventListener(name, stress);
  for (const name of ["pointerleave", "focusout"]) legend.addEventListener(name, () => stress({ target: plot }));
}

function setCursor(time, card = null, height = 0) {
  state.frame ||= requestAnimationFrame(() => {
    state.frame = 0;
    cards.filter((each) => each.picture && each.isNear).forEach(drawCursor);
  });
  Object.assign(state, { cursor: time, pointed: card, height });
}

function drawCursor({ picture, chart, svg, legend, said, others }) {
  const { view, box, x, groups, lines, total } = picture;
  const isIn = state.cursor !== null && state.cursor >= view.from && state.cursor <= view.to;
  const column = isIn ? Math.floor((state.cursor - view.begin) / view.step) : -1;
  const shapes = [];
  if (state.marked) {
    const [from, to] = state.marked.map(x);
    shapes.push(["rect", { class: "marked", x: from, width: to - from, y: box.top, height: box.bottom - box.top }]);
  }
  const at = x(middle(view, column));
  if (isIn) shapes.push(["line", { class: "cursor", x1: at, x2: at, y1: box.top, y2: box.bottom }]);
  fill(svg.lastElementChild, shapes);
  const values = (own) => own.map((line) => show(isIn ? valueAt(line, column) : newest(line), chart.unit)).join(" / ");
  const entries = groups.map(({ label }, color) => ["button", { type: "button", title: label }, [
    ["i", { class: `c${color}` }],
    ["span", {}, label],
    ["b", {}, values(lines.filter((line) => line.color === color))],
  ]]);
  fill(legend, entries);
  // The lines with values in the caption: the total or a single group; otherwise the line under the pointer.
  const alone = total ? [total] : groups.length === 1 ? lines : [];
  const own = isIn && alone.length !== 1 && state.pointed?.picture === picture && state.height ? [nearest(picture, column)] : alone;
  const time = isIn ? [momentOf(view.begin + column * view.step)] : [];
  const [low, high] = own.length === 1 ? [own[0].min, own[0].max].map((all) => show(all[column], chart.unit)) : [];
  const range = isIn && low !== high ? ` (${low} to ${high})` : "";
  const told = own.slice(0, 1).map((line) => `${line.label} ${values(own)}${range}`);
  said.textContent = [...time, ...told].join(" · ") || (others ? `the ${LINES} largest of ${LINES + others}` : "");
}

function nearest({ lines, y }, column) {
  const distance = (line) => Math.abs(y(valueAt(line, column) * line.side) - state.height) || 0;
  return lines.reduce((best, line) => (distance(line) < distance(best) ? line : best));
}

// Moves the cursor of the focused chart by some columns, and announces the values to screen readers.
function stepCursor(card, columns) {
  const { view, lines } = card.picture;
  const time = clamp((state.cursor ?? view.to) + columns * view.step, view.from, view.to);
  setCursor(time, card);
  const column = Math.floor((time - view.begin) / view.step);
  const values = lines.map((line) => `${line.label} ${show(valueAt(line, column), card.chart.unit)}`);
  tell("spoken", `${secondOf(time)}: ${values.join(", ")}`);
}

// ---- Lists ----

const STATES = { fault: "warning", late: "warning", off: "warning", waiting: "quiet", ok: "good" }; // worst first
const isTroubled = (check) => STATES[check.state] === "warning";
const levelClass = (level) => (level === "OK" ? "good" : level.toLowerCase());

const bare = (level, message) => message.replace(`${level}: `, "");

// Current problems, worst first.
function troubles() {
  const { sink, checks } = state.status;
  const all = state.events.open.map(({ event, level, message }) => ({ level, what: event, why: bare(level, message) }));
  if (!sink.up) all.push({ level: "ERROR", what: `${sink.type} takes no points`, why: sink.why ?? "" });
  for (const { name, state: word, why } of checks.filter(isTroubled)) all.push({ level: "WARNING", what: `${name} (${word})`, why: why ?? "" });
  return all.sort((a, b) => (b.level === "ERROR") - (a.level === "ERROR"));
}

function showStatus() {
  const { status, failure, zoom } = state;
  document.body.classList.toggle("silent", Boolean(failure));
  byId("silence").hidden = !failure;
  tell("silence", `${failure} What is shown is of ${state.answered ? momentOf(state.answered) : "no time yet"}. The page goes on asking.`);
  set(byId("live"), { "aria-pressed": isLive() });
  tell("live", isLive() ? "Live" : zoom ? "To now" : "Paused");
  if (!status) return;
  byId("lists").hidden = false;
  const open = troubles();
  const [level, word] = failure ? ["ERROR", "No answer"] : open.length ? [open[0].level, `${open[0].level}: ${open[0].what}`] : status.checks.length ? ["OK", "All well"] : ["quiet", "Nothing is switched on"];
  const verdict = word + (!failure && open.length > 1 ? ` and ${open.length - 1} more` : "");
  set(byId("verdict"), { class: levelClass(level), title: verdict });
  tell("verdict", verdict);
  tell("host", status.host);
  document.title = `${verdict} · ${status.host}`;
  set(byId("troubles"), { class: levelClass(level) });
  fill(byId("troubles"), open.slice(0, 5).map((each) => ["li", {}, [["b", { class: levelClass(each.level) }, `${each.level} ${each.what} `], ["span", {}, each.why]]]));
  byId("note").hidden = !tell("note", note(status));
  showTiles();
  showEvents();
  showChecks();
  showDelivery();
  const [own, other] = [offsetOf(undefined), offsetOf(status.zone)];
  tell("foot", `PuyPuy ${status.version}. Times are in the zone of this browser, ${own}${own === other ? "" : `; the host has ${other}`}.`);
}

// Why there are no charts; empty if there are some.
function note({ sink, checks, period }) {
  if (!hasStore()) return `The charts are where the numbers go: in ${sink.type}. With tsdtype = Local in config.ini this page would draw them itself.`;
  if (!checks.length) return "./puypuy.sh list shows what can be watched, and ./puypuy.sh enable check_memory switches a check on at the next tick.";
  return state.series.length ? "" : `No numbers yet: the first come at the next tick, changes per second one tick later. The period is ${duration(period)}.`;
}

// Name and title of each tile; the function makes its number and the line below it from the newest numbers of its chart.
const TILES = [
  ["cpu", "CPU", ([first]) => [first]],
  ["memory", "Memory", ([first, second]) => [first, second && `${second.label} ${second.text}`]],
  ["disk", "Fullest disk", (lines) => {
    const fullest = lines.reduce((most, line) => (line.value > most.value ? line : most));
    return [fullest, fullest.label];
  }],
  ["network", "Network", ([above, below]) => [{ text: `↓ ${above.text}` }, below && `↑ ${below.text}`]],
];

function newestOf({ chart, groups }) {
  const sum = (series) => series.reduce((all, { id }) => all + (state.newest.get(id) ?? NaN), 0);
  const lines = groups.flatMap(({ label, lines: own }) => own.map((line) => ({ label, value: sum(line.series) })));
  return lines.filter((line) => isNumber(line.value)).map((line) => ({ ...line, text: show(line.value, chart.unit) }));
}

function showTiles() {
  const { status, events } = state;
  const rows = TILES.flatMap(([name, title, numbers]) => tiles.filter((each) => each.chart.tile === name).map((tile) => {
    const lines = newestOf(tile);
    const [number, more] = lines.length ? numbers(lines) : [{ text: "–" }, "no numbers yet"];
    const worst = events.open.filter(isOf(tile.chart)).map((event) => event.level).sort()[0];
    return [title, number.text, more ?? "", worst ?? "", name];
  }));
  const boot = tiles.filter((each) => each.chart.tile === "uptime").flatMap(newestOf)[0]?.value;
  const begun = boot > 1e9 ? boot : now() - (boot ?? now() - status.started); // `boot` is a timestamp or an uptime in seconds
  const troubled = status.checks.filter(isTroubled).length;
  const well = `${status.checks.length - troubled} of ${status.checks.length} checks well`;
  const { batches } = status.spool;
  const waits = batches ? `${batches} batches wait` : "nothing waits";
  const own = [[boot ? "Uptime" : "Daemon runs for", duration(now() - begun), well, troubled ? "WARNING" : "", "checks"]];
  own.push(["Sink", status.sink.type, (status.sink.up ? "" : "away; ") + waits, status.sink.up ? "" : "ERROR", "delivery"]);
  fill(byId("tiles"), [...rows, ...own].map(([title, value, more, level, to]) => ["button", { type: "button", class: `tile ${level.toLowerCase()}`, "data-to": to }, [["span", {}, title], ["b", {}, value], ["span", {}, more]]]));
}

// Fills a list; each row is a list of [text, class].
function showRows(id, rows, none) {
  const cells = (row) => row.map(([text, kind = ""]) => [kind && kind !== "quiet" ? "b" : "span", { class: kind }, text]);
  fill(byId(id).lastElementChild, (rows.length ? rows : [[[none]]]).map((row) => ["li", {}, cells(row)]));
}

function showEvents() {
  const all = [...state.events.events].sort((a, b) => b.time - a.time).slice(0, 100);
  const none = hasStore() ? "None in this time" : `They go to ${state.status.sink.type}, as the numbers do`;
  showRows("events", all.map(({ time, event, level, message }) => [[momentOf(time)], [level, levelClass(level)], [event], [bare(level, message)]]), none);
}

function showChecks() {
  const order = (check) => Object.keys(STATES).indexOf(check.state);
  const checks = [...state.status.checks].sort((a, b) => order(a) - order(b) || a.name.localeCompare(b.name));
  showRows("checks", checks.map((check) => {
    const run = check.last ? `${momentOf(check.last)}, ${show(check.ms ?? NaN, "ms")}, ${check.points ?? 0} points` : "not yet run";
    const why = isTroubled(check) && check.since ? `${check.why ?? ""} (since ${momentOf(check.since)})` : (check.why ?? "");
    const kind = check.kind === "check" ? "" : `, ${check.kind}`;
    return [[check.state, STATES[check.state]], [check.name + kind], [why], [run + (check.missed ? `, ${check.missed} ticks missed` : ""), "quiet"]];
  }), "None");
}

function showDelivery() {
  const { sink, spool, points: counts, store, started } = state.status;
  const rows = [
    ["Sink", sink.type + (sink.up ? ", takes points" : `, takes no points${sink.since ? ` since ${momentOf(sink.since)}` : ""}`)],
    ["Why", sink.up ? "" : sink.why],
    ["Next attempt", sink.backoff ? `in ${duration(Math.ceil(sink.backoff))}` : ""],
    ["Last delivery", sink.last ? momentOf(sink.last) : "not yet"],
    ["Waiting", spool.batches ? `${spool.batches} batches, ${show(spool.bytes, "bytes")}${spool.oldest ? `, the oldest of ${momentOf(spool.oldest)}` : ""}` : "nothing"],
    ["Points", `${counts.collected} collected, ${counts.delivered} delivered, ${counts.dropped} dropped, ${counts.refused} refused`],
    ["Store", store && `${show(store.bytes, "bytes")}, ${store.series} series${store.oldest ? `, since ${momentOf(store.oldest)}` : ""}`],
    ["Daemon started", momentOf(started)],
  ];
  fill(byId("delivery").lastElementChild, rows.filter(([, text]) => text).flatMap(([name, text]) => [["dt", {}, name], ["dd", {}, text]]));
}

// ---- Range and keys ----

// Range and search are kept in the URL, so that a link shows the same.
function readAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const number = (name) => clamp(Math.floor(Number(asked.get(name))) || 0, 0, 1e11);
  const [from, end] = [number("from"), Math.min(number("to"), Math.floor(now()))];
  state.zoom = from > 0 && end > from ? [Math.max(from, end - LONGEST), end] : null;
  state.span = clamp(number("span") || 3600, SHORTEST, LONGEST);
  state.find = (asked.get("find") ?? "").slice(0, 200);
  if (byId("find").value.trim() !== state.find) byId("find").value = state.find;
  for (const button of byId("spans").children) set(button, { "aria-pressed": !state.zoom && Number(button.dataset.span) === state.span });
  const to = state.zoom?.[1] ?? Math.floor(now());
  state.view = { from: state.zoom?.[0] ?? to - state.span, to, step: 0, begin: 0, count: 0 };
  state.data.clear();
  state.cursor = null;
}

function showRange() {
  readAddress();
  if (state.status) arrange();
  refresh(true);
}

function address({ span = state.span, zoom = null, find = state.find }) {
  return `#${zoom ? `from=${zoom[0]}&to=${zoom[1]}` : `span=${span}`}${find ? `&find=${encodeURIComponent(find)}` : ""}`;
}

function go({ span, zoom }) {
  if (zoom) {
    const width = clamp(zoom[1] - zoom[0], SHORTEST, LONGEST);
    const end = Math.ceil(Math.min((zoom[0] + zoom[1] + width) / 2, now()));
    zoom = [Math.floor(end - width), end];
  }
  history.pushState({ depth: (history.state?.depth ?? 0) + 1 }, "", address({ span, zoom }));
  state.paused = false;
  showRange();
}

function undo() {
  if (history.state?.depth) history.back();
  else if (state.zoom) go({ span: 3600 });
}

// Moves the range by a fraction of its width, or scales it around the cursor.
function shift(by, factor) {
  const { from, to } = state.view;
  const width = (to - from) * factor;
  const center = state.cursor ?? (state.zoom ? (from + to) / 2 : to);
  const begin = by ? from + by * width : center - (center - from) * factor;
  if (begin + width >= now()) go({ span: Math.round(clamp(width, SHORTEST, LONGEST)) });
  else go({ zoom: [begin, begin + width] });
}

function toggleLive() {
  if (state.zoom) return go({ span: 3600 });
  state.paused = !state.paused;
  showStatus();
  refresh();
}

const KEYS = [
  ["1 to 5", "15 minutes, 1 hour, 6 hours, 24 hours, 7 days"],
  ["← →", "earlier, later; in a chart that has the focus: the cursor"],
  ["+ −", "a shorter, a longer range"],
  ["drag", "zoom into a part of a chart"],
  ["Esc", "undo, as double click and the back button do; leave the search"],
  ["/", "search"],
  ["space", "pause and go on; from a zoom back to now"],
  ["?", "this list"],
];

function press(event) {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || byId("keys").open) return;
  if (target.id === "find" && key !== "Escape") return;
  const card = owners.get(target.closest?.(".plot"));
  const aside = { ArrowLeft: -1, ArrowRight: 1 }[key];
  if (aside && card?.picture) stepCursor(card, event.shiftKey ? aside * 10 : aside);
  else if (aside) shift(aside / 4, 1);
  else if (SPANS[key - 1]) go({ span: SPANS[key - 1][1] });
  else if (key === "+" || key === "=") shift(0, 0.5);
  else if (key === "-") shift(0, 2);
  else if (key === "/") byId("find").focus();
  else if (key === "?") byId("keys").showModal();
  else if (key === " " && target.tagName !== "BUTTON") toggleLive();
  else if (key === "Escape") state.find || target.id === "find" ? leaveSearch() : undo();
  else return;
  event.preventDefault();
}

// ---- Search ----

// A chart for each metric with a series whose name and tags contain all words.
function search(text) {
  const words = text.toLowerCase().split(/\s+/);
  const hits = new Map();
  for (const { id, name, tags } of [...byName.values()].flat()) {
    const all = [name, ...Object.entries(tags).flat()].join(" ").toLowerCase();
    if (words.every((word) => all.includes(word))) hits.set(name, (hits.get(name) ?? new Set()).add(id));
  }
  return [...hits.keys()].sort().map((name) => ({ ...chartOf(name), ids: hits.get(name) }));
}

function foundTitle({ length }) {
  const what = `${length || "No"} ${length === 1 ? "metric" : "metrics"} with “${state.find}” in name or tags`;
  return what + (length > FOUND ? `; the first ${FOUND} are shown` : "");
}

function find(text) {
  state.find = text;
  history.replaceState(history.state, "", address({ zoom: state.zoom }));
  if (state.status) arrange();
  refresh();
}

function leaveSearch() {
  byId("find").value = "";
  byId("find").blur();
  find("");
}

// ---- Live ----

const due = { status: 0, points: 0 }; // next request, on the clock of `seconds()`
const seconds = () => performance.now() / 1000;

// One round of requests at a time; a refresh requested meanwhile starts another round after it.
async function refresh() {
  state.isWanted = true;
  if (state.isBusy || document.hidden) return;
  state.isBusy = true;
  while (state.isWanted) {
    state.isWanted = false;
    await askAll().then(() => (state.failure = ""), fail);
    showStatus();
  }
  state.isBusy = false;
}

async function askAll() {
  const period = state.status?.period ?? 1;
  const isDue = !state.status || seconds() >= due.status;
  if (isDue) {
    due.status = seconds() + clamp(period, 5, 10);
    await askStatus();
    showStatus();
  }
  due.points = seconds() + Math.max(period, state.span / 400);
  if (hasStore()) await askPoints();
  if (isDue && hasStore()) await askTiles();
}

function fail(error) {
  due.status = seconds() + 2;
  if (error.message) state.most = Math.max(4, Math.floor(state.most / 2));
  state.failure = error.message ? `The daemon answers: ${error.message}.` : "The daemon does not answer.";
}

function beat() {
  if (seconds() >= due.status || (isLive() && !state.failure && seconds() >= due.points)) refresh();
}

function jump(to) {
  const card = cards.find((each) => each.chart.tile === to);
  (card?.figure ?? byId(to))?.scrollIntoView({ block: card ? "center" : "start" });
  card?.svg.focus({ preventScroll: true });
}

function begin() {
  fill(byId("spans"), SPANS.map(([name, span]) => ["button", { type: "button", "data-span": span }, name]));
  fill(byId("places"), ["Charts", "Events", "Checks", "Delivery"].map((name) => ["button", { type: "button", "data-to": name.toLowerCase() }, name]));
  fill(byId("key-list"), KEYS.flatMap(([key, what]) => [["dt", {}, key], ["dd", {}, what]]));
  document.addEventListener("click", ({ target }) => {
    const { span, to } = target.closest("[data-span], [data-to]")?.dataset ?? {};
    if (span) go({ span: Number(span) });
    if (to) jump(to);
  });
  byId("live").addEventListener("click", toggleLive);
  byId("help").addEventListener("click", () => byId("keys").showModal());
  byId("find").addEventListener("input", ({ target }) => find(target.value.trim()));
  document.addEventListener("keydown", press);
  document.addEventListener("visibilitychange", refresh);
  addEventListener("popstate", showRange);
  showRange();
  setInterval(beat, 500);
}

begin();
