// The page of PuyPuy: fetches the daemon's state and numbers, and draws them.
// Sections: state, fetching, units, scales, lines, drawing, cards, cursor, lists, range and keys, search, live.
// Texts from the daemon are only inserted with textContent and setAttribute, never as HTML.

// ---- State ----

const YOUNG = 900; // a store younger than this is shown with this span
const [SHORTEST, LONGEST] = [30, 40 * 86400]; // limits of a range in seconds
const HUGE = 1e300; // largest number that is drawn to scale
const COLUMNS = 360; // columns per chart
const SERIES = 60; // most series per request
const LINES = 8; // most lines per chart, because each needs its own colour
const FOUND = 24; // most charts in search results
const OTHERS = 200; // most charts of metrics that belong to no check

const state = {
  status: null, // the newest /api/status
  events: [], // changes of level of health events in the range
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
  const isYoung = hasStore() && !(store?.oldest < now() - YOUNG);
  if (!state.known && !location.hash && isYoung) {
    history.replaceState(null, "", address({ span: YOUNG }));
    readAddress();
  }
  const begin = state.zoom?.[0] ?? now() - state.span;
  if (hasStore()) state.events = (await ask(`/api/events?span=${clamp(Math.ceil(now() - begin), SHORTEST, LONGEST)}`)).events;
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
  keep(view, answer);
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
function keep(view, { from, step, series }) {
  if (!view.step) Object.assign(view, { step, begin: from, count: Math.ceil((view.to - from) / step) + 1 });
  const place = (time) => Math.round((time - view.begin) / step);
  for (const { id, avg, min = avg, max = avg } of series) {
    const old = state.data.get(id);
    const merge = (fresh, known) => Float64Array.from({ length: view.count }, (_, i) => fresh[i - place(from)] ?? known?.[i - place(old.begin)] ?? NaN);
    state.data.set(id, { begin: view.begin, to: view.to, avg: merge(avg, old?.avg), min: merge(min, old?.min), max: merge(max, old?.max) });
  }
}

// ---- Units ----

const BINARY = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL = ["", "k", "M", "G", "T", "P", "E"];
// Factor and short name of units that are written after each number, also per second. Other units are beside the title.
const UNITS = {
  "%": [1, "%"], 1: [1, ""], bytes: [1, "B"], KiB: [1024, "B"], MiB: [1024 ** 2, "B"],
  ns: [1e-9, "s"], us: [1e-6, "s"], ms: [1e-3, "s"], s: [1, "s"],
};
const measure = (unit) => UNITS[unit.replace(/\/s$/, "")];
const isBytes = (unit) => measure(unit)?.[1] === "B";
const longUnit = ({ unit, title }) => (measure(unit) || title.toLowerCase().includes(unit) ? "" : unit);

function show(value, unit, places = 3) {
  if (!Number.isFinite(value)) return "–";
  if (unit === "unix s") return dateOf(value);
  const [factor, name] = measure(unit) ?? [1];
  const text = name === "s" ? duration(value * factor, places) : scaled(value * factor, name ?? "", places);
  return text + (name !== undefined && unit.endsWith("/s") ? "/s" : "");
}

function scaled(value, name, places) {
  const [size, prefixes] = name === "B" ? [1024, BINARY] : [1000, DECIMAL];
  let power = 0;
  if (name === "B" || Math.abs(value) >= 10000) {
    for (; Math.abs(value) >= 999.5 && power < prefixes.length - 1; power++) value /= size;
  }
  return `${digits(value, places)} ${prefixes[power]}${name}`.trim();
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
  const keyOf = ({ side, name, tags }) => JSON.stringify([side, name, chart.sum ? tags[chart.each] : tags]);
  const lines = [...Map.groupBy(told.length ? told : own, keyOf).values()].map((series) => ({ ...series[0], series }));
  return group(chart, lines, shortNames(sides.flat()));
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

const placesOf = (values) => [...values.keys()].filter((i) => isNumber(values[i])); // the columns with a value

// The numbers of a series as they are drawn: for a counter its change per second, with no value after a reset.
function numbersOf({ id, kind }) {
  const numbers = state.data.get(id);
  if (kind !== "counter") return numbers;
  const rates = numbers.max.map(() => NaN);
  placesOf(numbers.max).forEach((i, nth, places) => {
    const last = places[nth - 1];
    const rate = (numbers.max[i] - numbers.max[last]) / ((i - last) * state.view.step);
    if (rate >= 0) rates[i] = rate;
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
  const least = Math.min(...placesOf(values).map((i, nth, places) => i - (places[nth - 1] ?? -Infinity)));
  const period = state.status.checks.find((check) => check.name === chart.check)?.period ?? 0;
  return 1.5 * Math.max(least, Math.ceil(period / state.view.step));
}

// The columns with a value, split at gaps.
function stretches(values, reach) {
  const all = [];
  for (const place of placesOf(values)) {
    if (!(place - all.at(-1)?.at(-1) <= reach)) all.push([]);
    all.at(-1).push(place);
  }
  return all;
}

const rangeOf = ({ min, max }) => [Math.min(...min.filter(isNumber)), Math.max(...max.filter(isNumber))];

// The value in a column, or the last one before it that is still near enough.
const valueAt = ({ avg, reach }, place) => avg.findLast((value, i) => i <= place && place - i < reach && isNumber(value)) ?? NaN;

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
  
  legend.classList.toggle("long", groups.length > 4);
  const { width, height } = card.size;
  if (card.isEmpty || !width) return;
  figure.classList.add("drawn");
  const lines = groups.flatMap((each, color) => each.lines.map((line) => ({ ...line, label: each.label, color, reach: reachOf(line.avg, chart) })));
  legend.hidden = lines.length === 1;
  const total = chart.stacked && { ...lines[0], label: "", ...addUp(lines) };
  if (total && chart.full) total.max = total.max.map((value) => Math.min(value, chart.full));
  const all = (total ? [total] : lines).flatMap((line) => rangeOf(line).map((value) => value * line.side));
  const scale = valueScale(chart, ...[Math.min(...all), Math.max(...all)].map((value) => clamp(value, -HUGE, HUGE)));
  const places = 1 + Math.max(2, Math.ceil(Math.log10(Math.max(scale.high, -scale.low) / scale.step)));
  const levels = Array.from({ length: Math.round((scale.high - scale.low) / scale.step) + 1 }, (_, i) => scale.low + i * scale.step);
  const labels = levels.map((value) => [value, show(chart.below ? Math.abs(value) : value, chart.unit, places)]);
  const box = { left: 8 + 6.3 * Math.max(...labels.map(([, text]) => text.length)), right: width - 6, top: 9, bottom: height - 17 };
  const view = { ...state.view };
  const x = (time) => round(box.left + clamp((time - view.from) / (view.to - view.from), 0, 1) * (box.right - box.left));
  const y = (value) => round(box.bottom - ((value - scale.low) / (scale.high - scale.low)) * (box.bottom - box.top));
  card.picture = { groups, lines, total, view, box, x, y };
  const shapes = total ? stack(card) : lines.flatMap((line) => curve(card, line));
  fill(svg, [...[gaps(card), grid(card, labels), shapes, flags(card)].map((layer) => ["g", {}, layer]), ["g"]]);
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

const areaPath = (picture, { reach, side }, upper, lower) =>
  stretches(upper, reach).map((places) => `M${points(picture, upper, side, places)}L${points(picture, lower, side, places.toReversed())}Z`).join("");

const path = ({ loud }, kind, color, d) => ["path", { class: `${kind} c${color}${loud >= 0 && loud !== color ? " dim" : ""}`, d }];

// A rectangle between two times; by default as high as the chart.
const block = ({ x, box }, kind, from, to, y = box.top, height = box.bottom - box.top) => ["rect", { class: kind, x: x(from), width: Math.max(2, x(to) - x(from)), y, height }];

// A line with its extremes: as a band if it is the only line on its side of the axis, otherwise its maxima as a thin line.
function curve(card, line) {
  const { picture } = card;
  const { avg, min, max, color, side } = line;
  const shapes = [path(card, "line", color, linePath(picture, line, avg))];
  if (!avg.some((value, i) => max[i] > value || min[i] < value)) return shapes;
  const isAlone = picture.lines.filter((other) => other.side === side).length === 1;
  return [isAlone ? path(card, "band", color, areaPath(picture, line, max, min)) : path(card, "peak", color, linePath(picture, line, max)), ...shapes];
}

// Stacked lines, and the maxima of their sum as a line.
function stack(card) {
  const { picture } = card;
  const { lines, total } = picture;
  let lower = total.avg.map(() => 0);
  const shapes = lines.map((line) => {
    const upper = total.avg.map((sum, i) => (isNumber(sum) ? lower[i] + (line.avg[i] || 0) : NaN));
    const shape = path(card, "layer", line.color, areaPath(picture, { ...total, side: 1 }, upper, lower));
    lower = upper;
    return shape;
  });
  const rises = total.max.some((value, i) => value > total.avg[i] * 1.001);
  return rises ? [...shapes, path(card, "top", 0, linePath(picture, total, total.max))] : shapes;
}

// Rectangles where none of the chart's lines has values.
function gaps({ chart, picture }) {
  const { lines, view } = picture;
  const isThere = lines[0].avg.map((_, i) => (lines.some((line) => isNumber(line.avg[i])) ? 1 : NaN));
  const reach = reachOf(isThere, chart);
  const there = stretches(isThere, reach).map((places) => [middle(view, places[0]), middle(view, places.at(-1))]);
  const begins = [Math.max(view.from, state.status.store?.oldest ?? 0), ...there.map(([, last]) => last)];
  const ends = [...there.map(([first]) => first), view.to - 2 * view.step]; // the values of the newest columns may not have been stored yet
  return begins.flatMap((from, i) => (ends[i] - from > reach * view.step ? [block(picture, "gap", from, ends[i])] : []));
}

function grid({ chart, picture: { view, box, x, y } }, labels) {
  const text = (anchor, atX, atY, words) => ["text", { "text-anchor": anchor, x: atX, y: atY }, words];
  const across = (kind, values) => ["path", { class: kind, d: values.map((value) => `M${box.left} ${y(value)}H${box.right}`).join("") }];
  const [all, ticks] = [labels.map(([value]) => value), timeTicks(view, (box.right - box.left) / 62)];
  const isInside = ([time]) => x(time) > box.left + 12 && x(time) < box.right - 14;
  const shapes = [
    across("level", all),
    across("axis", all.filter((value) => Math.abs(value) < (all[1] - all[0]) / 2)),
    ["path", { class: "level", d: ticks.map(([time]) => `M${x(time)} ${box.bottom}v4`).join("") }],
    ...labels.map(([value, words]) => text("end", box.left - 5, y(value) + 4, words)),
    ...ticks.filter(isInside).map(([time, words]) => text("middle", x(time), box.bottom + 15, words)),
  ];
  if (!chart.below) return shapes;
  const names = shortNames([...chart.metrics, ...chart.below]);
  const half = (sign, own) => `${sign} ${own.map((name) => names.get(name)).join(", ")}`;
  return [...shapes, text("start", box.left + 6, box.top + 11, half("▲", chart.metrics)), text("start", box.left + 6, box.bottom - 5, half("▼", chart.below))];
}

const isOf = (chart) => ({ event }) => chart.events?.some((pattern) => isLike(pattern, event));

// Bars for the periods in which an event of the chart was not OK.
function flags({ chart, picture }) {
  const shapes = [];
  const open = state.status.events.map((event) => ({ ...event, time: event.since, isOpen: true }));
  const changes = [...state.events, ...open].filter(isOf(chart)).sort((a, b) => a.time - b.time);
  for (const own of Map.groupBy(changes, ({ event }) => event).values()) {
    own.forEach(({ level, time, isOpen }, i) => {
      const end = own[i + 1]?.time ?? (isOpen ? Infinity : time);
      const isInView = time <= picture.view.to && end >= picture.view.from;
      if (level !== "OK" && isInView) shapes.push(block(picture, `flag ${level.toLowerCase()}`, time, end, 1, 4));
    });
  }
  return shapes;
}

// ---- Cards ----

const sight = new IntersectionObserver((seen) => {
  for (const { target, isIntersecting } of seen) target.card.isNear = isIntersecting;
  refresh();
}, { rootMargin: "200px" });
const sizes = new ResizeObserver((seen) => {
  for (const { target, contentRect } of seen) draw(Object.assign(target.card, { size: contentRect }));
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
  figure.card = plot.card = card; // for events
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
  const sections = Map.groupBy(shown, (chart) => (chart.first ? "Overview" : chart.check));
  const others = unclaimed(charts);
  const more = others.length > OTHERS ? `: the first ${OTHERS} of ${others.length}; the search finds the rest` : "";
  sections.set(`Scripts, modules and others${more}`, others.slice(0, OTHERS));
  const old = new Map(cards.map((card) => [card.key, card]));
  cards = [];
  fill(byId("charts"), [...sections].map(() => ["section"]));
  [...sections].forEach(([title, all], i) => place(byId("charts").children[i], title, all, old));
  const found = state.find ? search(state.find) : [];
  const few = found.length > FOUND ? `, the first ${FOUND} are shown` : "";
  place(byId("found"), `Metrics with “${state.find}” in name or tags: ${found.length}${few}`, found.slice(0, FOUND), old);
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
  if (state.marked) shapes.push(block(picture, "marked", ...state.marked));
  if (isIn) shapes.push(["path", { class: "cursor", d: `M${x(middle(view, column))} ${box.top}V${box.bottom}` }]);
  fill(svg.lastElementChild, shapes);
  const value = (line) => show(isIn ? valueAt(line, column) : newest(line), chart.unit);
  fill(legend, groups.map(({ label }, color) => ["button", { title: label }, [
    ["i", { class: `c${color}` }],
    ["span", {}, label],
    ["b", {}, lines.filter((line) => line.color === color).map(value).join(" / ")],
  ]]));
  // The caption has the time, and the total, the only line or the one under the pointer.
  const isPointed = isIn && state.pointed?.picture === picture && state.height;
  const line = total || (lines.length === 1 ? lines[0] : isPointed && nearest(picture, column));
  const words = isIn ? [momentOf(view.begin + column * view.step)] : [];
  if (line) {
    const [low, high] = [line.min, line.max].map((all) => show(all[column], chart.unit));
    words.push(`${line.label} ${value(line)}${isIn && low !== high ? ` (${low} to ${high})` : ""}`);
  }
  said.textContent = words.join(" · ") || (others ? `the ${LINES} largest of ${LINES + others}` : "");
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

const isTroubled = ({ state: word }) => word !== "ok" && word !== "waiting";
const bare = (message) => message.replace(/^(recovered: )?(OK|WARNING|ERROR): /, "");
const bold = (text, kind) => ["b", { class: kind.toLowerCase() }, text];
const plain = (text) => ["span", {}, text];
const fillRows = (list, rows) => fill(list, rows.map((cells) => ["li", {}, cells]));

// Current problems, worst first: their level, what it is, and why.
function troubles({ events, sink, checks }) {
  const all = sink.up ? [] : [["ERROR", `${sink.type} takes no points`, sink.why ?? ""]];
  for (const { event, level, message } of events) all.push([level, event, bare(message)]);
  for (const { name, state: word, why } of checks.filter(isTroubled)) all.push(["WARNING", `${name} (${word})`, why ?? ""]);
  return all.sort(([a], [b]) => (b === "ERROR") - (a === "ERROR"));
}

// What the header says, with its level.
function verdictOf({ checks }, [worst, ...others]) {
  if (state.failure) return ["No answer", "error"];
  if (worst) return [`${worst[0]}: ${worst[1]}${others.length ? ` and ${others.length} more` : ""}`, worst[0].toLowerCase()];
  return checks.length ? ["All well", "ok"] : ["Nothing is switched on", "quiet"];
}

function showStatus() {
  const { status, failure, zoom } = state;
  byId("silence").hidden = !document.body.classList.toggle("silent", Boolean(failure));
  tell("silence", `${failure} ${state.answered ? `What is shown is of ${momentOf(state.answered)}. ` : ""}The page goes on asking.`);
  set(byId("live"), { "aria-pressed": isLive() });
  tell("live", isLive() ? "Live" : zoom ? "To now" : "Paused");
  if (!status) return;
  document.body.classList.toggle("storeless", !hasStore());
  const open = troubles(status);
  const [title, kind] = verdictOf(status, open);
  set(byId("verdict"), { class: kind, title });
  tell("verdict", title);
  tell("host", status.host);
  document.title = `${title} · ${status.host}`;
  set(byId("troubles"), { class: `note box ${kind}` });
  fillRows(byId("troubles"), open.slice(0, 5).map(([level, what, why]) => [bold(`${level} ${what} `, level), plain(why)]));
  byId("note").hidden = !tell("note", note(status));
  showTiles(status);
  showLists(status);
  const own = new Intl.DateTimeFormat().resolvedOptions().timeZone;
  const host = status.zone.replace("Etc/", "");
  tell("foot", `PuyPuy ${status.version}. Times are in the zone of this browser, ${own}${own === host ? "" : `; the host has ${host}`}.`);
}

// Why there are no charts; empty if there are some.
function note({ sink, checks, period }) {
  if (!hasStore()) return `The numbers go to ${sink.type}, so their charts are there. With “tsdtype = Local” in config.ini this page draws them itself.`;
  if (!checks.length) return "Switch a check on with “./puypuy.sh enable memory”: it runs from the next tick on. “./puypuy.sh list” shows all checks.";
  return state.series.length ? "" : `No numbers yet: the first come at the next tick, changes per second one tick later. The period is ${duration(period)}.`;
}

const TILES = { cpu: "CPU", memory: "Memory", disk: "Fullest disk", network: "Network" };

function newestOf({ chart, groups }) {
  const sum = (series) => series.reduce((all, { id }) => all + (state.newest.get(id) ?? NaN), 0);
  const lines = groups.flatMap(({ label, lines: own }) => own.map((line) => ({ label, value: sum(line.series) })));
  return lines.filter((line) => isNumber(line.value)).map((line) => ({ ...line, text: show(line.value, chart.unit) }));
}

// A tile: its title, number, the line below it, level, and what a click shows.
function tileOf(tile) {
  const { tile: name, each, below } = tile.chart;
  const lines = newestOf(tile);
  if (each) lines.sort((a, b) => b.value - a.value);
  const [first = { text: "–", label: "no numbers yet" }, second] = lines;
  const more = each || !lines.length ? first.label : second ? `${below ? "↑" : second.label} ${second.text}` : "";
  const worst = state.status.events.filter(isOf(tile.chart)).map(({ level }) => level).sort()[0] ?? "";
  return [TILES[name], (below && lines.length ? "↓ " : "") + first.text, more, worst, name];
}

function showTiles({ checks, sink, spool: { batches }, started }) {
  const ofTile = (name) => tiles.filter(({ chart }) => chart.tile === name);
  const boot = ofTile("uptime").flatMap(newestOf)[0]?.value;
  const well = checks.filter((check) => !isTroubled(check)).length;
  const all = [
    ...Object.keys(TILES).flatMap(ofTile).map(tileOf),
    [boot ? "Uptime" : "Daemon runs for", duration(now() - (boot ?? started)), checks.length ? `${well} of ${checks.length} checks well` : "no checks", well < checks.length ? "WARNING" : "", "checks"],
    ["Sink", sink.type, (sink.up ? "" : "away; ") + (batches ? `${batches} batches wait` : "nothing waits"), sink.up ? "" : "ERROR", "delivery"],
  ];
  fill(byId("tiles"), all.map(([title, value, more, level, to]) => ["button", { class: `tile ${level.toLowerCase()}`, "data-to": to }, [plain(title), bold(value, ""), plain(more)]]));
}

function showLists({ sink, spool, points: counts, store, started, checks }) {
  byId("lists").hidden = false;
  const since = (time) => (time ? `, since ${momentOf(time)}` : "");
  const list = (id, rows, none) => fillRows(byId(id).lastElementChild, rows.length ? rows : [[plain(none)]]);
  const none = hasStore() ? "None in this time" : `They go to ${sink.type}, as the numbers do`;
  list("events", state.events.slice(0, 100).map(({ time, event, level, message }) => [plain(momentOf(time)), bold(level, level), plain(event), plain(bare(message))]), none);
  list("checks", checks.map((check) => {
    const { name, kind, state: word, last, ms, points, missed } = check;
    const run = last ? `${momentOf(last)}, ${show(ms ?? NaN, "ms")}, ${points ?? 0} points` : "not yet run";
    const why = (check.why ?? "") + (isTroubled(check) ? ` (since ${momentOf(check.since)})` : "");
    return [bold(word, isTroubled(check) ? "warning" : word), plain(name + (kind === "check" ? "" : `, ${kind}`)), plain(why), plain(run + (missed ? `, ${missed} ticks missed` : ""))];
  }), "None");
  const rows = Object.entries({
    Sink: sink.type + (sink.up ? ", takes points" : `, takes no points${since(sink.since)}`),
    Why: sink.up ? "" : sink.why,
    "Next attempt": sink.backoff && `in ${duration(Math.ceil(sink.backoff))}`,
    "Last delivery": sink.last ? momentOf(sink.last) : "not yet",
    Waiting: spool.batches ? `${spool.batches} batches, ${show(spool.bytes, "bytes")}${since(spool.oldest)}` : "nothing",
    Points: Object.entries(counts).map(([what, count]) => `${count} ${what}`).join(", "),
    Store: store && `${show(store.bytes, "bytes")}, ${store.series} series${since(store.oldest)}`,
    "Daemon started": momentOf(started),
  });
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
  refresh();
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

function press(event) {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || byId("keys").open) return;
  if (target.id === "find" && key !== "Escape") return;
  const card = target.closest(".plot")?.card;
  const aside = { ArrowLeft: -1, ArrowRight: 1 }[key];
  if (aside && card?.picture) stepCursor(card, event.shiftKey ? aside * 10 : aside);
  else if (aside) shift(aside / 4, 1);
  else if (byId("spans").children[key - 1]) byId("spans").children[key - 1].click();
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
