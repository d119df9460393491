// Copies the page's address. A browser gives navigator.clipboard only to https and to localhost.

const ANSWER_MS = 2000;
const LOOK_MS = 150; // after the click took the focus from a field, Streamlit needs a moment too
const SETTLE_MS = 4000;
const RUNNING = '[data-testid="stApp"][data-test-script-state="running"]';
const timers = new WeakMap(); // button -> when its answer goes away

export default function ({ data, parentElement }) {
  const button = parentElement.querySelector(".copy");
  button.querySelector(".label").textContent = data.label;
  button.setAttribute("aria-label", data.label);
  button.onclick = async () => {
    await settled();
    const copied = await copy(data.link || linkOf(data), parentElement);
    answer(parentElement, button, copied ? "Copied" : "Not copied");
  };
}

// What was just typed is in the address once the page has been run with it. The browser lets a click
// copy for five seconds.
async function settled() {
  const giveUp = Date.now() + SETTLE_MS;
  do await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  while (document.querySelector(RUNNING) && Date.now() < giveUp);
}

// Others may reach the dashboard under another address than this browser does.
function linkOf({ address, embed }) {
  const whole = address ? under(address, window.location) : window.location.href;
  if (!embed) return whole;
  const url = new URL(whole);
  url.searchParams.set("embed", "true");
  return url.href;
}

// The address may end in a path that this browser's has too.
function under(address, { pathname, search }) {
  const base = new URL(address).pathname.replace(/\/$/, "");
  return address + (pathname.startsWith(`${base}/`) ? pathname.slice(base.length) : pathname) + search;
}

async function copy(text, parent) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelected(text, parent);
  }
}

// Beside the button, not in the body: an open dialog takes the focus back from anything outside it.
function copySelected(text, parent) {
  const button = parent.querySelector(".copy");
  const area = document.createElement("textarea");
  area.value = text;
  area.readOnly = true;
  area.style.cssText = "position: fixed; top: 0; opacity: 0";
  button.after(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  button.focus();
  return copied;
}

function answer(parent, button, words) {
  const say = (text) => {
    button.querySelector(".answer").textContent = text;
    parent.querySelector(".spoken").textContent = text;
    button.toggleAttribute("data-answered", text !== "");
  };
  say(words);
  clearTimeout(timers.get(button));
  timers.set(button, setTimeout(say, ANSWER_MS, ""));
}
