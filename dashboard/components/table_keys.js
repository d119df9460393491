// Keys for the table beside this: Enter opens the row that has the focus, Space selects it, and Tab
// leaves the table. The grid itself has Shift+Space to select, and keeps Tab until its last cell.
// It scrolls to the row that has the focus, but in itself only: the page follows here.
// Streamlit calls the default export on each run.

const CELL = /^glide-cell-\d+-(\d+)$/; // the id of a cell that has the focus ends with its row
const HEADER_PX = 40; // of the grid, and of the page: what is under it is not seen
const mounted = new WeakMap(); // parent element -> what takes its listener away

export default function ({ data, parentElement, setTriggerValue }) {
  mounted.get(parentElement)?.abort();
  const here = new AbortController();
  mounted.set(parentElement, here);
  const options = { capture: true, signal: here.signal }; // before the grid has it
  document.addEventListener("keydown", (event) => pressed(event, setTriggerValue), options);
  const follow = (event) => requestAnimationFrame(() => inSight(event.target, data.row_px));
  document.addEventListener("focusin", follow, { signal: here.signal });
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

function inSight(cell, rowPx) {
  const [, row] = CELL.exec(cell.id ?? "") ?? [];
  const grid = cell.closest?.('[data-testid="stDataFrame"]');
  const scroller = grid?.querySelector(".dvn-scroller");
  if (row === undefined || !scroller) return;
  const page = grid.closest('[data-testid="stMain"]');
  const actions = document.querySelector(".st-key-run-actions")?.getBoundingClientRect();
  const end = Math.min(actions?.top ?? Infinity, window.innerHeight);
  const top = grid.getBoundingClientRect().top + HEADER_PX + row * rowPx - scroller.scrollTop;
  const under = top + 1.5 * rowPx - end;
  const over = page.getBoundingClientRect().top + HEADER_PX + 2 * rowPx - top;
  if (under > 0) page.scrollBy(0, under);
  else if (over > 0) page.scrollBy(0, -over);
}
