// Tells the server that the page's charts are drawn, or why they could not be is said.
// Streamlit calls the default export on each run.

const DRAWN = "accelboard-drawn"; // the event that says that no chart waits for being drawn
const LONGEST_MS = 4000; // a chart in a closed part of the page is not drawn before it is opened
const told = new WeakSet(); // parent elements of which the server knows
const expected = new WeakMap(); // parent element -> how many charts there will be

export default function ({ data, parentElement, setStateValue }) {
  if (data.isTold) told.add(parentElement);
  const isMounted = expected.has(parentElement);
  expected.set(parentElement, data.charts);
  if (isMounted) return;
  const over = new AbortController();
  let timer = setTimeout(tell, LONGEST_MS);
  const look = () => isDrawn(expected.get(parentElement)) && tell();
  document.addEventListener(DRAWN, look, { signal: over.signal });
  look();

  function tell() {
    over.abort();
    clearTimeout(timer);
    if (!parentElement.isConnected || told.has(parentElement)) return;
    setStateValue("drawn", true);
    timer = setTimeout(tell, LONGEST_MS); // what is told while the connection is lost, is lost
  }
}

function isDrawn(count) {
  const charts = [...document.querySelectorAll(".accelboard-plot")];
  return charts.length >= count && charts.every(({ dataset }) => dataset.state !== "loading");
}
