// Line charts as plain SVG: several series over steps, light and dark by the style sheet's
// variables, read with the pointer or the arrow keys, and as a table.

const NS = "http://www.w3.org/2000/svg";
const MARGIN = { left: 58, right: 14, top: 10, bottom: 40 };
const HEIGHT = 250;
export const HUES = [205, 25, 145, 330, 50, 270, 175, 0];
const DASHES = ["", "6 3", "2 3", "8 3 2 3", "12 4", "1 4"];

export function formatted(value) {
  if (!Number.isFinite(value)) return "";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e5) return value.toExponential(2).replace("e+", "e").replace(".00e", "e");
  return String(Number(value.toPrecision(4)));
}

function element(name, attributes = {}, text = "") {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

function ticksOf(low, high, count = 5) {
  const raw = (high - low) / count || 1;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((each) => each * unit >= raw) * unit;
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) found.push(Math.abs(at) < step * 1e-9 ? 0 : at);
  return found;
}

function logTicks(low, high) {
  const found = [];
  const from = Math.ceil(Math.log10(low) - 1e-9), to = Math.floor(Math.log10(high) + 1e-9);
  const every = Math.max(1, Math.ceil((to - from) / 5));
  for (let power = from; power <= to; power += every) found.push(10 ** power);
  return found.length >= 2 ? found : [low, Math.sqrt(low * high), high];
}

export class LineChart {
  // title: of the figure; log: a logarithmic axis; ordered: series are colours of one scale.
  constructor(parent, { title, log = false, ordered = false, x = "step" }) {
    this.title = title; this.log = log; this.ordered = ordered; this.x = x;
    this.series = new Map(); this.looks = new Map(); this.hidden = new Set(); this.cursor = null;
    this.figure = document.createElement("figure");
    this.figure.className = "chart";
    this.figure.innerHTML = '<figcaption></figcaption><div class="plot"></div><p class="readout" aria-live="off"></p><ul class="legend"></ul>';
    this.figure.querySelector("figcaption").textContent = title;
    this.plot = this.figure.querySelector(".plot");
    this.readout = this.figure.querySelector(".readout");
    this.legend = this.figure.querySelector(".legend");
    this.svg = element("svg", { tabindex: "0", role: "img", class: "lines" });
    this.plot.append(this.svg);
    parent.append(this.figure);
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.moveTo(null));
    this.svg.addEventListener("blur", () => this.moveTo(null));
    this.svg.addEventListener("keydown", (event) => this.step(event));
    new ResizeObserver(() => this.draw()).observe(this.plot);
  }

  // look: hue and dash of a line, instead of those by its place.
  add(name, points, look = null) {
    const known = this.series.get(name) || [];
    if (look) this.looks.set(name, look);
    for (const point of points) if (!this.log || point[1] > 0) known.push(point);
    this.series.set(name, known);
    this.draw();
  }

  clear() { this.series.clear(); this.draw(); }

  shown() { return [...this.series].filter(([name]) => !this.hidden.has(name)); }

  times() {
    const found = new Set();
    for (const [, points] of this.shown()) for (const [time] of points) found.add(time);
    return [...found].sort((a, b) => a - b);
  }

  lookOf(name, index) {
    if (this.looks.has(name)) return this.looks.get(name);
    if (this.ordered) return { hue: 250 - (220 * index) / Math.max(1, this.series.size - 1), dash: "" };
    return { hue: HUES[index % HUES.length], dash: DASHES[Math.floor(index / HUES.length) % DASHES.length] };
  }

  scales(width) {
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const [, points] of this.shown()) for (const [time, value] of points) {
      left = Math.min(left, time); right = Math.max(right, time);
      low = Math.min(low, value); high = Math.max(high, value);
    }
    if (left === Infinity) [left, right, low, high] = [0, 1, this.log ? 0.1 : 0, 1];
    if (left === right) right = left + 1;
    if (low === high) [low, high] = this.log ? [low / 2, high * 2] : [low - Math.abs(low || 1) * 0.1, high + Math.abs(high || 1) * 0.1];
    const pad = (high - low) * 0.04;
    [low, high] = this.log ? [low / 1.15, high * 1.15] : [low - pad, high + pad];
    const at = this.log ? Math.log10 : (value) => value;
    const inner = width - MARGIN.left - MARGIN.right, tall = HEIGHT - MARGIN.top - MARGIN.bottom;
    return {
      left, right, low, high,
      x: (time) => MARGIN.left + ((time - left) / (right - left)) * inner,
      y: (value) => MARGIN.top + (1 - (at(value) - at(low)) / (at(high) - at(low))) * tall,
    };
  }

  draw() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => { this.waiting = null; this.drawNow(); });
  }

  drawNow() {
    const width = Math.max(240, Math.floor(this.plot.clientWidth));
    this.scale = this.scales(width);
    const { x, y, left, right, low, high } = this.scale;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.svg.setAttribute("height", HEIGHT);
    this.svg.replaceChildren();
    for (const tick of this.log ? logTicks(low, high) : ticksOf(low, high)) {
      this.svg.append(element("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(tick), y2: y(tick) }));
      this.svg.append(element("text", { class: "tick", x: MARGIN.left - 6, y: y(tick) + 4, "text-anchor": "end" }, formatted(tick)));
    }
    for (const tick of ticksOf(left, right, width < 400 ? 3 : 6)) {
      const anchor = x(tick) > width - 40 ? "end" : "middle";
      const at = anchor === "end" ? Math.min(x(tick) + 8, width) : x(tick);
      this.svg.append(element("text", { class: "tick", x: at, y: HEIGHT - 24, "text-anchor": anchor }, formatted(tick)));
    }
    this.svg.append(element("text", { class: "tick", x: width - MARGIN.right, y: HEIGHT - 6, "text-anchor": "end" }, this.x));
    [...this.series].forEach(([name, points], index) => {
      if (this.hidden.has(name) || !points.length) return;
      const line = points.map(([time, value]) => `${x(time).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
      const made = points.length > 1 ? element("polyline", { points: line, class: "series" }) : element("circle", { cx: x(points[0][0]), cy: y(points[0][1]), r: 3, class: "series" });
      const { hue, dash } = this.lookOf(name, index);
      made.style.setProperty("--hue", hue);
      if (dash) made.setAttribute("stroke-dasharray", dash);
      this.svg.append(made);
    });
    this.mark = element("line", { class: "cursor", y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom, visibility: "hidden" });
    this.svg.append(this.mark);
    this.drawLegend();
    this.show();
  }

  drawLegend() {
    const names = [...this.series.keys()];
    if (names.join("\n") !== this.listed) {
      this.listed = names.join("\n");
      this.legend.replaceChildren(...names.map((name, index) => {
        const item = document.createElement("li"), button = document.createElement("button");
        button.type = "button"; button.textContent = name;
        button.setAttribute("aria-pressed", "true");
        button.title = "Show or hide this line";
        const { hue, dash } = this.lookOf(name, index);
        button.style.setProperty("--hue", hue);
        if (dash) button.classList.add("dashed");
        button.addEventListener("click", () => {
          if (!this.hidden.delete(name)) this.hidden.add(name);
          button.setAttribute("aria-pressed", String(!this.hidden.has(name)));
          this.draw();
        });
        item.append(button);
        return item;
      }));
    }
    const lasts = this.shown().filter(([, of]) => of.length).slice(0, 6).map(([name, of]) => `${name} ${formatted(of[of.length - 1][1])}`);
    this.svg.setAttribute("aria-label", `${this.title} by ${this.x}. Last: ${lasts.join(", ") || "nothing yet"}. Arrow keys read values.`);
    this.figure.dataset.points = String(Math.max(0, ...this.shown().map(([, of]) => of.length)));
  }

  point(event) {
    const box = this.svg.getBoundingClientRect();
    const width = this.svg.viewBox.baseVal.width;
    const at = ((event.clientX - box.left) / box.width) * width;
    const times = this.times();
    if (!times.length) return;
    this.moveTo(times.reduce((best, time) => Math.abs(this.scale.x(time) - at) < Math.abs(this.scale.x(best) - at) ? time : best));
  }

  step(event) {
    const times = this.times();
    if (!times.length || !["ArrowLeft", "ArrowRight", "Home", "End", "Escape"].includes(event.key)) return;
    event.preventDefault();
    this.readout.setAttribute("aria-live", "polite");
    const here = times.indexOf(this.cursor);
    const to = { ArrowLeft: here < 0 ? times.length - 1 : Math.max(0, here - 1), ArrowRight: Math.min(times.length - 1, here + 1), Home: 0, End: times.length - 1 }[event.key];
    this.moveTo(event.key === "Escape" ? null : times[to]);
  }

  moveTo(time) { this.cursor = time; this.show(); }

  show() {
    if (!this.mark || !this.scale) return;
    const times = this.times();
    const time = this.cursor ?? times[times.length - 1];
    this.mark.setAttribute("visibility", this.cursor === null ? "hidden" : "visible");
    if (time === undefined) { this.readout.textContent = ""; return; }
    this.mark.setAttribute("x1", this.scale.x(time)); this.mark.setAttribute("x2", this.scale.x(time));
    const told = [];
    for (const [name, points] of this.shown()) {
      const last = points.filter(([at]) => at <= time).pop();
      if (last) told.push(`${name} ${formatted(last[1])}`);
    }
    this.readout.textContent = `${this.x} ${formatted(time)}: ${told.slice(0, 12).join(", ")}${told.length > 12 ? ", ..." : ""}`;
  }
}

// Which chart a number of a run belongs to, by its name.
export function placeOf(name) {
  const [first, ...rest] = name.split("/");
  const last = rest.join("/");
  if (first === "lr") return { chart: "Learning rates by layer group", series: last, log: true, ordered: true };
  if (first === "multiplier") return { chart: "Multipliers by layer group", series: last, log: true, ordered: true };
  if (last === "loss") return { chart: "Loss", series: first === "train" ? "training" : first.replaceAll("_", " ") };
  if (last === "proxy_kl") return { chart: "KL to the proxy", series: "training" };
  if (last) return { chart: last.replaceAll("_", " "), series: first.replaceAll("_", " ") };
  return { chart: name.replaceAll("_", " "), series: name.replaceAll("_", " ") };
}

// The charts of a run, or of several: each run then has a colour, and each of its series a dash.
export class Charts {
  constructor(parent, x = "step") { this.parent = parent; this.x = x; this.charts = new Map(); }

  add(name, points, run = null) {
    const { chart, series, log = false, ordered = false } = placeOf(name);
    const title = chart[0].toUpperCase() + chart.slice(1);
    if (!this.charts.has(title)) {
      const made = new LineChart(this.parent, { title, log, ordered: ordered && !run, x: this.x });
      this.charts.set(title, made);
      made.kinds = [];
    }
    const at = this.charts.get(title);
    if (!run) { at.add(series, points); return; }
    if (!at.kinds.includes(series)) at.kinds.push(series);
    const dash = DASHES[at.kinds.indexOf(series) % DASHES.length];
    at.add(`${run.letter} ${series}`, points, { hue: HUES[run.index % HUES.length], dash });
  }

  clear() { for (const chart of this.charts.values()) chart.clear(); }
}
