// Draws a Plotly figure with Plotly.react, so that zoom, hidden traces and the node survive.
// Streamlit calls the default export on each run with new data, and when the theme changes.

const RELEASE_MS = 350; // Plotly waits 300 ms after a click, in case it was the first of two
const UNDRAWN = "This chart could not be drawn. The browser's console says why.";
const UNLOADED =
  "This chart could not be drawn, because its drawing library did not load. " +
  "Reload the page to try again.";
const CONFIG = {
  displaylogo: false,
  showSendToCloud: false,
  doubleClick: "reset",
  modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
};
const charts = new WeakMap(); // root element -> its chart
let library;

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".accelboard-plot");
  const chart = charts.get(root) ?? create(root);
  take(chart, new TextDecoder().decode(data));
  root.setAttribute("aria-label", chart.alt);
  root.style.height = `${chart.height}px`;
  load(chart.script).then(
    () => draw(chart),
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

function create(root) {
  const chart = { root, canvas: root.querySelector(".accelboard-plot-canvas"), held: false };
  chart.observer = new ResizeObserver(() => draw(chart));
  chart.observer.observe(root);
  root.addEventListener("pointerdown", () => hold(chart));
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
  const template = { layout: theme(root) };
  const shown = JSON.stringify([width, template]);
  if (shown === chart.shown) return;
  chart.shown = shown;
  const { data, layout } = structuredClone(figure); // Plotly writes zoom and visibility into them
  try {
    await window.Plotly.react(canvas, data, { ...layout, template, width, height }, CONFIG);
    root.setAttribute("data-state", "drawn");
  } catch (error) {
    fail(chart, error, UNDRAWN);
  }
}

function fail({ root }, error, words) {
  console.error(error);
  root.setAttribute("data-state", "failed");
  root.querySelector(".accelboard-plot-message").textContent = words;
}

function destroy({ root, canvas, observer }) {
  observer.disconnect();
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
