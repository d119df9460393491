// Keys for the table beside this: Enter opens the row that has the focus, Space selects it, and Tab
// leaves the table. The grid itself has Shift+Space to select, and keeps Tab until its last cell.
// Streamlit calls the default export on each run.

const CELL = /^glide-cell-\d+-(\d+)$/; // the id of a cell that has the focus ends with its row
const mounted = new WeakMap(); // parent element -> what takes its listener away

export default function ({ parentElement, setTriggerValue }) {
  mounted.get(parentElement)?.abort();
  const here = new AbortController();
  mounted.set(parentElement, here);
  const options = { capture: true, signal: here.signal }; // before the grid has it
  document.addEventListener("keydown", (event) => pressed(event, setTriggerValue), options);
  return () => parentElement.isConnected || here.abort();
}

function pressed(event, tell) {
  const [, row] = CELL.exec(event.target.id ?? "") ?? [];
  if (row === undefined || !event.isTrusted) return;
  if (event.key === "Tab") {
    event.stopImmediatePropagation(); // the browser goes on to what comes next
  } else if (event.key === "Enter") {
    event.stopImmediatePropagation();
    event.preventDefault();
    tell("open", Number(row));
  } else if (event.key === " " && !event.shiftKey) {
    event.stopImmediatePropagation();
    event.preventDefault();
    const { key, code, keyCode } = event;
    const asGrid = { key, code, keyCode, shiftKey: true, bubbles: true, cancelable: true };
    event.target.dispatchEvent(new KeyboardEvent("keydown", asGrid));
  }
}
