"use strict";

/* Plots: a colour written "--name" is looked up in the style sheet, so they follow light and dark. */
const root = document.documentElement;
const color = (name) => getComputedStyle(root).getPropertyValue(name).trim();

function themed(value) {
  if (typeof value === "string") return value.startsWith("--") ? color(value) : value;
  if (Array.isArray(value)) {
    return value.length && typeof value[0] === "object" ? value.map(themed) : value;
  }
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, themed(each)]));
  }
  return value;
}

function layoutOf(spec) {
  const axis = { gridcolor: color("--line"), zerolinecolor: color("--line"), linecolor: color("--muted") };
  const own = themed(spec.layout);
  const axes = Object.fromEntries(
    Object.keys(own).filter((key) => /^[xy]axis/.test(key)).map((key) => [key, { ...axis, ...own[key] }]),
  );
  return {
    height: 320, margin: { l: 10, r: 10, t: 10, b: 10 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: color("--text"), family: "system-ui, sans-serif", size: 12 },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 11 } },
    hoverlabel: { bgcolor: color("--surface"), font: { color: color("--text") } },
    ...own, ...axes,
  };
}

/* plotly lies in the page as gzip in base 85: less than half of it to mail. */
const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;.=>?@^_`{|}~";

function fromBase85(text) {
  const digits = new Uint8Array(128);
  [...ALPHABET].forEach((letter, value) => { digits[letter.charCodeAt(0)] = value; });
  const missing = (5 - (text.length % 5)) % 5; // letters of the last five, and so many bytes
  const whole = text + "~".repeat(missing);
  const view = new DataView(new ArrayBuffer((whole.length / 5) * 4));
  for (let at = 0, byte = 0; at < whole.length; at += 5, byte += 4) {
    let value = 0;
    for (let i = at; i < at + 5; i++) value = value * 85 + digits[whole.charCodeAt(i)];
    view.setUint32(byte, value);
  }
  return new Uint8Array(view.buffer, 0, view.byteLength - missing);
}

async function unpackPlotly(packed) {
  const bytes = fromBase85(packed.textContent);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

const touch = matchMedia("(hover: none)").matches;
const PER_TRIAL = "trials"; // a trace's meta: its texts are the keys of its points' trials,
const PER_CURVE = "curves"; // or of those of its curves, which gaps keep apart
const drawn = new Set();

function drawPlot(script) {
  drawn.add(script);
  const spec = JSON.parse(script.textContent);
  spec.data.filter((trace) => trace.meta === PER_CURVE).forEach(nameEachPoint);
  const options = {
    displaylogo: false, responsive: true, displayModeBar: touch ? false : "hover",
    modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
  };
  const target = document.getElementById(script.dataset.for);
  const article = target.closest("article");
  const picks = spec.data.some((trace) => trace.meta === PER_TRIAL);
  const traces = picks ? [...spec.data, highlight(spec, pickedIn(article))] : spec.data;
  const layout = layoutOf(spec);
  if (touch) layout.dragmode = false; // a finger scrolls the page; a tap picks
  const done = Plotly.react(target, themed(traces), layout, options);
  if (picks && !target.dataset.picks) {
    target.dataset.picks = "yes";
    target.on("plotly_click", (event) => {
      const point = event.points.find((each) => each.data.meta === PER_TRIAL);
      if (point) choose(article, point.data.text[point.pointIndex]);
    });
  }
  return done;
}

function nameEachPoint(trace) {
  const keys = trace.text;
  let curve = 0;
  trace.text = trace.x.map((x) => (x === null ? keys[curve++] : keys[curve]));
  trace.meta = PER_TRIAL;
}

/* The picked trial: one of a chapter, marked in all its charts and tables, with what to do next. */
let picked = null; // { article, key }
const bar = document.getElementById("picked");
const pickedIn = (article) => (picked && picked.article === article ? picked.key : null);

/* A trace that marks a trial's points: a ring, or a line where the trial has several in one trace. */
function highlight(spec, key) {
  const x = [], y = [];
  let line = false;
  for (const trace of spec.data.filter((each) => key !== null && each.meta === PER_TRIAL)) {
    const own = trace.text.flatMap((text, i) => (text === key ? [i] : []));
    if (!own.length) continue;
    line ||= own.filter((i) => trace.y[i] !== null).length > 1;
    x.push(...own.map((i) => trace.x[i]), null);
    y.push(...own.map((i) => trace.y[i]), null);
  }
  return {
    type: "scatter", x, y, hoverinfo: "skip", showlegend: false, connectgaps: false,
    mode: line ? "lines" : "markers", line: { color: "--text", width: 4 },
    marker: { color: "--text", size: 15, symbol: "circle-open", line: { width: 3 } },
  };
}

function choose(article, key) {
  picked = key === null ? null : { article, key };
  drawn.forEach((script) => {
    const target = document.getElementById(script.dataset.for);
    if (target.dataset.picks) drawPlot(script);
  });
  document.querySelectorAll("button.pick-trial").forEach((button) => {
    const on = picked !== null && button.closest("article") === article && button.dataset.trial === key;
    button.setAttribute("aria-pressed", String(on));
    button.closest("tr").classList.toggle("on", on);
  });
  parallels.forEach((each) => each.show(pickedIn(each.figure.closest("article"))));
  tell();
}

function tell() {
  bar.hidden = picked === null;
  document.body.classList.toggle("has-picked", picked !== null);
  if (picked === null) return;
  const { runs, commands } = JSON.parse(picked.article.querySelector("script.selection").textContent);
  const [run, status] = runs[picked.key];
  bar.querySelector("strong").textContent = `Trial ${picked.key}`;
  bar.querySelector(".state").textContent = status.replace("_", " ");
  bar.querySelector(".run").textContent = run;
  bar.querySelector(".said").textContent = "";
  const texts = { "run id": run };
  if (status === "finished") {
    Object.entries(commands).forEach(([name, text]) => { texts[name] = text.replaceAll("TRIAL", picked.key); });
  }
  bar.querySelector(".actions").replaceChildren("Copy ", ...Object.entries(texts).map(([name, text]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.title = text;
    button.addEventListener("click", () => copy(text));
    return button;
  }));
}

/* A browser may refuse its clipboard to a page in a frame: then the text is selected to be copied by hand. */
async function copy(text) {
  const said = bar.querySelector(".said");
  said.textContent = text;
  try {
    await navigator.clipboard.writeText(text);
    said.textContent = `Copied: ${text}`;
  } catch {
    getSelection().selectAllChildren(said);
    if (document.execCommand("copy")) said.textContent = `Copied: ${text}`;
  }
}

/* A plot is drawn when it comes near the screen: a page with forty of them opens at once. */
function drawPlots() {
  const specs = [...document.querySelectorAll("script.spec[data-for]")];
  const byTarget = new Map(specs.map((script) => [document.getElementById(script.dataset.for), script]));
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((each) => each.isIntersecting)) {
      watcher.unobserve(entry.target);
      drawPlot(byTarget.get(entry.target));
    }
  }, { rootMargin: "600px" });
  byTarget.forEach((_, target) => watcher.observe(target));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach(drawPlot));
  addEventListener("beforeprint", () => specs.filter((each) => !drawn.has(each)).forEach(drawPlot));
}

/* Tables: headings become buttons that sort; what is missing stays at the end. */
function sortable(table) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    heading.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => sort(table, headings, column));
  });
}

function sort(table, headings, column) {
  const heading = headings[column];
  const up = heading.getAttribute("aria-sort") !== "ascending";
  headings.forEach((each) => each.setAttribute("aria-sort", "none"));
  heading.setAttribute("aria-sort", up ? "ascending" : "descending");
  const numeric = heading.classList.contains("number");
  const key = (row) => {
    const cell = row.cells[column];
    return numeric ? Number.parseFloat(cell.dataset.value) : cell.textContent.trim();
  };
  const compare = (a, b) => {
    if (numeric && (Number.isNaN(a) || Number.isNaN(b))) return Number.isNaN(a) - Number.isNaN(b);
    const order = numeric ? a - b : a.localeCompare(b, undefined, { numeric: true });
    return up ? order : -order;
  };
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => compare(key(a), key(b)));
  table.tBodies[0].append(...rows);
}

/* Parallel coordinates: hover shows a line, a click or the list picks it, a drag along an axis filters. */
const SVG = "http://www.w3.org/2000/svg";
const RAMP = [[200, 45, 90], [224, 140, 60], [120, 165, 150], [140, 150, 170]];  // best to worst

function shade(share) {
  const place = share * (RAMP.length - 1);
  const i = Math.min(Math.floor(place), RAMP.length - 2);
  const mix = RAMP[i].map((from, channel) => Math.round(from + (place - i) * (RAMP[i + 1][channel] - from)));
  return `rgb(${mix.join(",")})`;
}

function element(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
  if (text !== undefined) made.textContent = text;
  return made;
}

class Parallel {
  constructor(figure) {
    this.figure = figure;
    this.spec = JSON.parse(figure.querySelector("script.spec").textContent);
    this.select = figure.querySelector("select.pick");
    this.filters = this.spec.axes.map(() => null);
    this.width = Math.max(704, 118 * this.spec.axes.length);
    this.height = 380;
    this.top = 46;
    this.bottom = this.height - 16;
    this.draw();
    this.spec.trials.forEach((trial, i) => this.select.append(new Option(`${i + 1}. trial ${trial}`, i)));
    this.select.addEventListener("change", () => this.pick(this.select.value === "" ? null : Number(this.select.value)));
    figure.querySelector("button.clear").addEventListener("click", () => {
      this.filters.fill(null);
      this.refresh();
    });
    this.refresh();
  }

  x(axis) { return 14 + axis * ((this.width - 110) / Math.max(1, this.spec.axes.length - 1)); }
  y(position) { return this.bottom - position * (this.bottom - this.top); }

  draw() {
    const svg = element("svg", { viewBox: `0 0 ${this.width} ${this.height}` });
    const count = this.spec.trials.length;
    this.lines = this.spec.trials.map((trial, i) => {
      const parts = this.spec.axes.map((axis, a) => [this.x(a), axis.positions[i]]);
      let pen = "M";
      const path = parts.map(([x, position]) => {
        if (position === null) { pen = "M"; return ""; }
        const step = `${pen}${x.toFixed(1)} ${this.y(position).toFixed(1)}`;
        pen = "L";
        return step;
      }).join("");
      const line = element("path", { d: path, class: "line", stroke: shade(i / Math.max(1, count - 1)) });
      line.dataset.trial = trial;
      line.append(element("title", {}, `trial ${trial}`));
      line.addEventListener("click", () => this.pick(i));
      line.addEventListener("mouseenter", () => line.classList.add("over"));
      line.addEventListener("mouseleave", () => line.classList.remove("over"));
      return line;
    });
    svg.append(...[...this.lines].reverse());
    this.spec.axes.forEach((axis, a) => svg.append(this.axis(axis, a)));
    this.brushes = this.spec.axes.map((axis, a) => this.brush(svg, a));
    this.svg = svg;
    this.figure.querySelector(".lines").append(svg);
  }

  axis(axis, a) {
    const group = element("g", {});
    const x = this.x(a);
    group.append(element("line", { x1: x, x2: x, y1: this.top, y2: this.bottom }));
    const last = a > 0 && a === this.spec.axes.length - 1;
    const title = { x: last ? this.width - 4 : x - 8, y: 16 + (a % 2) * 15, class: "title" };
    group.append(element("text", { ...title, "text-anchor": last ? "end" : "start" }, axis.title));
    axis.ticks.forEach(([place, text]) => group.append(
      element("text", { x: x + 6, y: this.y(place) + 4 }, text.length > 13 ? `${text.slice(0, 12)}…` : text),
    ));
    return group;
  }

  brush(svg, a) {
    const area = element("rect", { class: "catch", x: this.x(a) - 9, width: 14, y: this.top - 6, height: this.bottom - this.top + 12 });
    const band = element("rect", { class: "brush", x: this.x(a) - 7, width: 14, height: 0 });
    svg.append(band, area);
    let start = null;
    const place = (event) => {
      const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      return Math.min(1, Math.max(0, (this.bottom - point.y) / (this.bottom - this.top)));
    };
    area.addEventListener("pointerdown", (event) => { start = place(event); area.setPointerCapture(event.pointerId); });
    area.addEventListener("pointermove", (event) => {
      if (start === null) return;
      const end = place(event);
      this.filters[a] = [Math.min(start, end), Math.max(start, end)];
      this.refresh();
    });
    area.addEventListener("pointerup", (event) => {
      if (Math.abs(place(event) - start) < .01) this.filters[a] = null;
      start = null;
      this.refresh();
    });
    return band;
  }

  refresh() {
    let shown = 0;
    this.lines.forEach((line, i) => {
      const inside = this.filters.every((range, a) => {
        const position = this.spec.axes[a].positions[i];
        return !range || (position !== null && position >= range[0] - 1e-6 && position <= range[1] + 1e-6);
      });
      line.classList.toggle("off", !inside);
      shown += inside;
    });
    this.brushes.forEach((band, a) => {
      const [low, high] = this.filters[a] || [0, 0];
      band.setAttribute("y", this.y(high));
      band.setAttribute("height", (high - low) * (this.bottom - this.top));
    });
    this.figure.querySelector(".count").textContent = `${shown} of ${this.lines.length} lines`;
  }

  pick(number) {
    choose(this.figure.closest("article"), number === null ? null : this.spec.trials[number]);
  }

  show(key) {
    const place = this.spec.trials.indexOf(key);
    const number = place < 0 ? null : place;
    this.lines.forEach((line, i) => line.classList.toggle("on", i === number));
    this.select.value = number === null ? "" : String(number);
    const told = this.figure.querySelector(".picked");
    if (number === null) { told.textContent = ""; return; }
    this.svg.insertBefore(this.lines[number], this.svg.querySelector("g"));
    const values = this.spec.axes.map((axis) => `${axis.title} ${axis.texts[number]}`);
    told.textContent = `Trial ${this.spec.trials[number]} (place ${number + 1}): ${values.join(" · ")}`;
  }
}

if (matchMedia("(max-width: 75rem)").matches) {
  document.querySelectorAll("nav details").forEach((each) => each.removeAttribute("open"));
}
document.querySelectorAll("table:not(.pictures table)").forEach((table) => { if (table.tHead) sortable(table); });
const parallels = [...document.querySelectorAll("figure.parallel")].map((figure) => new Parallel(figure));
document.querySelectorAll("button.pick-trial").forEach((button) => button.addEventListener("click", () => {
  const article = button.closest("article");
  choose(article, pickedIn(article) === button.dataset.trial ? null : button.dataset.trial);
}));
bar.querySelector(".close").addEventListener("click", () => choose(null, null));
addEventListener("keydown", (event) => { if (event.key === "Escape" && picked) choose(null, null); });
const packed = document.getElementById("plotly");
if (packed) {
  unpackPlotly(packed).then(drawPlots).catch((error) => {
    const notice = document.createElement("p");
    notice.className = "notice";
    notice.textContent = `This browser cannot draw the plots (${error.message}); they lie beside this page in the folder figures.`;
    document.getElementById("content").prepend(notice);
  });
}
