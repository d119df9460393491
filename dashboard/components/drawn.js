// Tells the server once that the page's charts are drawn, or why they could not be is said.
// Streamlit calls the default export on each run.

const DRAWN = "accelboard-drawn"; // the event that says that no chart waits for being drawn
const LONGEST_MS = 4000; // a chart in a closed part of the page is not drawn before it is opened
const mounted = new WeakSet();

export default function ({ parentElement, setStateValue }) {
  if (mounted.has(parentElement)) return;
  mounted.add(parentElement);
  const over = new AbortController();
  const timer = setTimeout(tell, LONGEST_MS);
  const look = () => isDrawn() && tell();
  document.addEventListener(DRAWN, look, { signal: over.signal });
  look();

  function tell() {
    if (over.signal.aborted) return;
    over.abort();
    clearTimeout(timer);
    if (parentElement.isConnected) setStateValue("drawn", true);
  }
}

function isDrawn() {
  const charts = [...document.querySelectorAll(".accelboard-plot")];
  return charts.length > 0 && charts.every(({ dataset }) => dataset.state !== "loading");
}
