// Draws a Plotly figure with Plotly.react, so that zoom, hidden traces and the node survive.
// Streamlit calls the default export on each run with new data, and when the theme changes.

const RELEASE_MS = 350; // Plotly waits 300 ms after a click, in case it was the first of two
const LETTER_PX = 6.5; // of a name in a picture's legend, and what stands before it
const MARK_PX = 46;
const SHOWN_MS = 200; // of drawing charts, until the page shows those that are drawn
const UNDRAWN = "This chart could not be drawn. The browser's console says why.";
const UNLOADED =
  "This chart could not be drawn, because its drawing library did not load. " +
  "Reload the page to try again.";
const icon = (path) => ({ width: 24, height: 24, path }); // of Material Symbols
const EXPORTS = [
  {
    name: "png",
    title: "Download as PNG",
    click: (canvas) => picture(canvas, "png"),
    icon: icon("M21 19V5a2 2 0 0 0-2-2H5a2 2 0 0 0-2 2v14a2 2 0 0 0 2 2h14a2 2 0 0 0 2-2zM8.5 13.5l2.5 3.01L14.5 12l4.5 6H5z"),
  },
  {
    name: "svg",
    title: "Download as SVG",
    click: (canvas) => picture(canvas, "svg"),
    icon: icon("M3.5 18.49l6-6.01 4 4L22 6.92l-1.41-1.41-7.09 7.97-4-4L2 16.99z"),
  },
  {
    name: "csv",
    title: "Download data as CSV",
    click: (canvas) => data(canvas),
    icon: icon("M10 10h5v11h-5zM17 21h3a2 2 0 0 0 2-2v-9h-5zM20 3H5a2 2 0 0 0-2 2v3h19V5a2 2 0 0 0-2-2zM3 19a2 2 0 0 0 2 2h3V10H3z"),
  },
];
const CONFIG = {
  displaylogo: false,
  showSendToCloud: false,
  doubleClick: "reset",
  modeBarButtons: [["zoom2d", "pan2d", "resetScale2d"], EXPORTS],
};
const FORMULA = /^[=+\-@\t\r]/; // a spreadsheet would take such a name for a formula
const LIGHT = "accelboard-light"; // the event that says which runs are pointed at
const HIDE = "accelboard-hide"; // the event that says that other curves are hidden now
const DRAWN = "accelboard-drawn"; // the event that says that no chart waits for being drawn
// Runs, or on a run's page curves, whose names were clicked.
const hidden = (window.accelboardHidden ??= new Set());
const charts = new WeakMap(); // root element -> its chart
const queued = new Set(); // charts that are to be drawn
let drawing = false;
let library;

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".accelboard-plot");
  const chart = charts.get(root) ?? create(root);
  root.tell = setTriggerValue;
  take(chart, new TextDecoder().decode(data));
  root.setAttribute("aria-label", chart.alt);
  root.style.height = `${chart.height}px`;
  load(chart.script).then(
    () => queue(chart),
    (error) => fail(chart, error, UNLOADED),
  );
  // Also called when a newer run overtakes this one: only a chart off the page is torn down.
  return () => root.isConnected || destroy(chart);
}

// The same text again (a poll without news, another theme) is no new figure.
function take(chart, text) {
  if (text === chart.text) return;
  Object.assign(chart, { text, shown: undefined }, JSON.parse(text));
}

function load(path) {
  library ??= new Promise((resolve, reject) => {
    if (window.Plotly) return resolve();
    const script = document.createElement("script");
    script.src = new URL(path, document.baseURI);
    script.onload = () => (window.Plotly ? resolve() : reject(Error(`No Plotly in ${script.src}`)));
    script.onerror = () => reject(Error(`Could not load ${script.src}`));
    document.head.append(script);
  }).catch((error) => {
    library = undefined; // the next run may have more luck
    throw error;
  });
  return library;
}

// One by one, those in view first and then from the top of the page; what is drawn is shown every
// now and then, before the next is begun.
async function queue(chart) {
  queued.add(chart);
  if (drawing) return;
  drawing = true;
  await pause(); // the page's other charts come in the same go
  let shown = performance.now();
  while (queued.size) {
    const [next] = [...queued].sort((a, b) => isInView(b) - isInView(a) || top(a) - top(b));
    queued.delete(next);
    try {
      await draw(next);
    } catch (error) {
      fail(next, error, UNDRAWN);
    }
    if (performance.now() - shown < SHOWN_MS) continue;
    await pause();
    shown = performance.now();
  }
  drawing = false;
  document.dispatchEvent(new CustomEvent(DRAWN));
}

function top({ root }) {
  return root.getBoundingClientRect().top;
}

function isInView({ root }) {
  const { top, bottom } = root.getBoundingClientRect();
  return bottom > 0 && top < window.innerHeight;
}

function pause() {
  return new Promise((resolve) => setTimeout(resolve));
}

function create(root) {
  const chart = { root, canvas: root.querySelector(".accelboard-plot-canvas"), held: false };
  chart.observer = new ResizeObserver(() => queue(chart));
  chart.observer.observe(root);
  root.addEventListener("pointerdown", () => hold(chart));
  chart.gone = new AbortController();
  const { signal } = chart.gone;
  document.addEventListener(LIGHT, ({ detail }) => shade(chart, detail), { signal });
  document.addEventListener(HIDE, () => queue(chart), { signal });
  root.addEventListener("pointerover", ({ target }) => {
    const entry = target.closest(".legend .traces");
    if (entry) light(entry.__data__?.[0]?.trace?.meta?.runs ?? []);
  });
  listen();
  charts.set(root, chart);
  return chart;
}

// With points arriving under a half-drawn zoom box, it would take other data than was boxed.
function hold(chart) {
  clearTimeout(chart.timer);
  chart.held = true;
  const released = new AbortController();
  const release = () => {
    released.abort();
    chart.timer = setTimeout(() => {
      chart.held = false;
      draw(chart);
    }, RELEASE_MS);
  };
  for (const end of ["pointerup", "pointercancel"]) {
    window.addEventListener(end, release, { signal: released.signal });
  }
}

// Nothing is drawn while the chart has no width (a closed tab or expander): it is when it has.
async function draw(chart) {
  const { root, canvas, figure, height, held } = chart;
  const width = root.clientWidth;
  if (!window.Plotly || !width || held) return;
  if (hidden.page !== page()) restore();
  const template = { layout: theme(root) };
  const shown = JSON.stringify([width, template, ...hidden]);
  if (shown === chart.shown) return;
  chart.shown = shown;
  const { data, layout } = structuredClone(figure); // Plotly writes zoom and visibility into them
  for (const trace of data) if (isHidden(trace)) trace.visible = "legendonly";
  for (const trace of data) if (ofHiddenRuns(trace)) trace.visible = false;
  try {
    await window.Plotly.react(canvas, data, { ...layout, template, width, height }, CONFIG);
    root.setAttribute("data-state", "drawn");
    point(chart);
    press();
  } catch (error) {
    fail(chart, error, UNDRAWN);
  }
}

function fail({ root }, error, words) {
  console.error(error);
  root.setAttribute("data-state", "failed");
  root.querySelector(".accelboard-plot-message").textContent = words;
  document.dispatchEvent(new CustomEvent(DRAWN));
}

// What is pointed at in one chart, or in anything with a run's id, is lit up everywhere.
function point(chart) {
  if (chart.points) return;
  chart.points = true;
  chart.canvas.on("plotly_hover", ({ points }) => light(points[0].data.meta?.runs ?? []));
  chart.canvas.on("plotly_unhover", () => light([]));
  chart.canvas.on("plotly_legendclick", (clicked) => switchCurve(chart, clicked, false));
  chart.canvas.on("plotly_legenddoubleclick", (clicked) => switchCurve(chart, clicked, true));
}

function light(runs) {
  document.dispatchEvent(new CustomEvent(LIGHT, { detail: runs }));
}

function shade({ root, canvas }, runs) {
  let found = false;
  for (const trace of canvas._fullData ?? []) {
    const isSeen = trace.visible === true; // beside what is hidden, nothing is to be faint
    const lit = isSeen && (trace.meta?.runs ?? []).some((id) => runs.includes(id));
    found ||= lit;
    canvas.querySelector(`.scatterlayer .trace${trace.uid}`)?.classList.toggle("lit", lit);
  }
  root.toggleAttribute("data-lit", found);
}

function ofHiddenRuns({ meta }) {
  return meta?.runs?.length > 0 && meta.runs.every((id) => hidden.has(id));
}

function isHidden({ meta }) {
  return hidden.has(meta?.key);
}

// A click on a name in a chart's own legend hides its curve or shows it again; two show it alone,
// or all again. Of curves with a key, the link says which are hidden, so it is not left to Plotly.
function switchCurve({ root }, { curveNumber, fullData }, isAlone) {
  const own = fullData[curveNumber].meta?.key;
  if (!own) return true;
  const others = fullData.map(({ meta }) => meta?.key).filter((key) => key && key !== own);
  if (isAlone) {
    const wereAlone = !hidden.has(own) && others.every((key) => hidden.has(key));
    hidden.delete(own);
    for (const key of others) wereAlone ? hidden.delete(key) : hidden.add(key);
  } else if (!hidden.delete(own)) {
    hidden.add(own);
  }
  document.dispatchEvent(new CustomEvent(HIDE));
  root.tell("hidden", [...hidden]);
  return false;
}

function page() {
  return location.pathname + (new URLSearchParams(location.search).get("id") ?? "");
}

// A page begins with what its link hides; what was hidden on another page is not hidden here.
function restore() {
  hidden.page = page();
  hidden.clear();
  for (const id of new URLSearchParams(location.search).getAll("hide")) hidden.add(id);
}

// A click on a name hides its curves in all charts, and shows them again. One chart tells the
// server, which has the address.
function toggle({ target }) {
  const button = target.closest?.("button[data-run]");
  if (!button) return;
  const isShown = button.getAttribute("aria-pressed") === "true";
  for (const id of button.dataset.run.split(" ")) isShown ? hidden.add(id) : hidden.delete(id);
  press();
  if (isShown) light([]); // the pointer is still on its name
  document.dispatchEvent(new CustomEvent(HIDE));
  document.querySelector(".accelboard-plot").tell("hidden", [...hidden]);
}

function press() {
  for (const button of document.querySelectorAll("button[data-run]")) {
    const isShown = !button.dataset.run.split(" ").every((id) => hidden.has(id));
    button.setAttribute("aria-pressed", String(isShown));
  }
}

// Once a document, however many charts there are.
function listen() {
  if (window.accelboardListens) return;
  window.accelboardListens = true;
  const runsOf = (element) => element.dataset.run.split(" ");
  let lit = "";
  const over = ({ target }) => {
    const element = target.closest?.("[data-run]");
    if ((element?.dataset.run ?? "") === lit) return;
    lit = element?.dataset.run ?? "";
    light(element ? runsOf(element) : []);
  };
  for (const event of ["pointerover", "focusin"]) document.addEventListener(event, over);
  document.addEventListener("click", toggle);
  window.addEventListener("popstate", () => {
    restore();
    document.dispatchEvent(new CustomEvent(HIDE));
  });
  document.addEventListener(LIGHT, ({ detail }) => {
    for (const element of document.querySelectorAll("[data-run]")) {
      element.classList.toggle("lit", runsOf(element).some((id) => detail.includes(id)));
    }
  });
}

// A picture stands alone: with the chart's name, its legend, and a page behind it.
async function picture(canvas, format) {
  const chart = charts.get(canvas.closest(".accelboard-plot"));
  const { width, height } = canvas._fullLayout;
  const page = getComputedStyle(chart.root).getPropertyValue("--st-background-color").trim();
  const layout = structuredClone(canvas.layout);
  const title = { text: plain(chart.alt), x: 0.01, xanchor: "left", font: { size: 15 } };
  const named = canvas._fullData.filter(isNamed).length > 1;
  const foot = { orientation: "h", x: 0, yref: "container", y: 0, yanchor: "bottom", maxheight: 1 };
  Object.assign(layout, {
    title,
    font: { ...layout.font, family: "Arial, Helvetica, sans-serif" }, // a picture has no web fonts
    paper_bgcolor: page,
    margin: { ...layout.margin, t: 44, r: 16, l: 12, b: 12 },
    showlegend: named,
    legend: { ...layout.legend, ...foot },
  });
  const data = canvas.data.map(wholeName);
  const names = canvas._fullData.filter(isNamed).map(({ index }) => data[index].name);
  const rows = named ? legendRows(names, width) : 0;
  const url = await window.Plotly.toImage(
    { data, layout },
    { format, width, height: height + 60 + 22 * rows, scale: format === "png" ? 2 : 1 },
  );
  download(url, `${nameOf(canvas)}.${format}`);
}

function isNamed({ showlegend, visible }) {
  return showlegend !== false && visible !== false;
}

// On the page, a long name is cut in the middle and pointed at to read it all; nobody points at a
// picture, and what was cut may be what tells two curves apart.
function wholeName(trace) {
  const { name } = trace.meta ?? {};
  return name ? { ...trace, name: plain(name) } : trace;
}

// How many rows a legend takes in which each name has a column as wide as the longest.
function legendRows(names, width) {
  const longest = Math.max(...names.map((name) => unescape(name).length));
  const columns = Math.max(1, Math.floor(width / (longest * LETTER_PX + MARK_PX)));
  return Math.ceil(names.length / columns);
}

// All points from the server where it has them: what is drawn of a long curve is a part of it.
function data(canvas) {
  const chart = charts.get(canvas.closest(".accelboard-plot"));
  if (chart.data) return download(new URL(chart.data, document.baseURI), "");
  save(table(canvas), "csv", nameOf(canvas));
}

// The figure's own table, where what is drawn is not what it tells; else what is drawn, a row a
// point. Marks and bands repeat what the curves' rows say.
function table(canvas) {
  const own = canvas.layout.meta?.table;
  return (own ?? drawn(canvas)).map((row) => row.map(cell).join(",")).join("\r\n");
}

function drawn(canvas) {
  const { xaxis, yaxis } = canvas._fullLayout;
  const traces = canvas._fullData.filter((trace) => !trace.meta?.of);
  const ends = traces.some((trace) => trace.meta?.ends);
  const titles = [xaxis?.title.text || "x", yaxis?.title.text || what(canvas)].map(unescape);
  const rows = [["curve", ...titles, ...(ends ? ["band from", "band to"] : [])]];
  for (const trace of traces) {
    const name = trace.meta?.name ?? unescape(trace.name ?? "");
    for (let i = 0; i < (trace.x?.length ?? 0); i++) {
      rows.push([name, trace.x[i], trace.y[i], ...(ends ? [...(trace.customdata?.[i] ?? ["", ""])] : [])]);
    }
  }
  return rows;
}

// "Training loss" of what is called "Training loss by epoch".
function what(canvas) {
  return charts.get(canvas.closest(".accelboard-plot")).alt.replace(/ by \w+$/, "");
}

function cell(value) {
  if (typeof value === "number") return Number.isNaN(value) ? "" : String(value);
  const text = String(value ?? "");
  return `"${(FORMULA.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
}

function save(text, suffix, name) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  download(url, `${name}.${suffix}`);
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function download(url, name) {
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
}

function nameOf(canvas) {
  const { alt } = charts.get(canvas.closest(".accelboard-plot"));
  return alt.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "chart";
}

// Plotly reads a little HTML in every text.
const plain = (text) =>
  text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/%{/g, "%&#123;");
const unescape = (text) =>
  text.replace(/&#123;/g, "{").replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");

function destroy({ root, canvas, observer, gone }) {
  observer.disconnect();
  gone.abort();
  charts.delete(root);
  window.Plotly?.purge(canvas);
}

// Streamlit's theme as the layout of a Plotly template: what the figure sets itself wins.
function theme(root) {
  const style = getComputedStyle(root);
  const css = (name) => style.getPropertyValue(`--st-${name}`).trim();
  const text = css("text-color");
  const quiet = fade(text, 0.65);
  const background = css("background-color");
  document.documentElement.style.setProperty("--accelboard-page", background); // for tables
  const axis = {
    automargin: true,
    gridcolor: fade(text, 0.1),
    linecolor: fade(text, 0.25),
    tickcolor: fade(text, 0.25),
    tickfont: { color: quiet, size: 12 },
    title: { font: { color: quiet, size: 12 }, standoff: 8 },
    zeroline: false,
  };
  return {
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", // let a finger scroll
    font: { family: css("font"), size: 12, color: text },
    hoverlabel: {
      align: "left",
      bgcolor: background,
      bordercolor: fade(text, 0.3),
      font: { family: css("font"), size: 12, color: text },
    },
    legend: { font: { color: text, size: 12 } },
    modebar: { bgcolor: background, color: fade(text, 0.45), activecolor: text },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    xaxis: axis,
    yaxis: axis,
  };
}

// Any colour CSS knows -> one that Plotly knows.
function fade(color, alpha) {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  context.fillStyle = color;
  context.fillRect(0, 0, 1, 1);
  const [red, green, blue] = context.getImageData(0, 0, 1, 1).data;
  return `rgba(${red}, ${green}, ${blue}, ${alpha})`;
}
