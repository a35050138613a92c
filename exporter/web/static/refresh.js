// Keeps the status page fresh, filters and sorts it, by fetching the page that the same address would show and
// replacing what has changed. The server makes everything that is shown; without this file the page is complete.
"use strict";

const REFRESH_SECONDS = 5;
const TYPING_SECONDS = 0.15;
// A page of thousands of targets takes a while to make, so it must not be requested all the time.
const MOST_OF_THE_TIME = 0.05;
const PARTS = ["verdict", "as-of", "reload", "alerts", "worth", "exporter", "budget", "counts", "caption", "head", "all", "discovery", "pages"];

const form = document.getElementById("filter");
const hold = document.getElementById("hold");
const announcement = document.getElementById("announcement");
let address = location.pathname + location.search;
let refreshing = 0;
let typing = 0;
let asking = null;
let failing = false;

async function show(wanted) {
  clearTimeout(refreshing);
  asking?.abort();
  if (wanted !== address) history.replaceState(null, "", wanted);
  address = wanted;
  const mine = new AbortController();
  asking = mine;
  const began = performance.now();
  try {
    const answer = await fetch(location.origin + wanted, { signal: mine.signal });
    if (!answer.ok) throw new Error(`the exporter answered ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (asking !== mine) return;
    exchange(page);
    if (failing) announce("The exporter is responding again.");
    failing = false;
  } catch (error) {
    if (mine.signal.aborted) return;
    if (!failing) announce("Data may be out of date: the exporter is not responding.");
    failing = true;
  }
  document.body.classList.toggle("old", failing);
  const took = (performance.now() - began) / 1000;
  plan(Math.max(REFRESH_SECONDS, took / MOST_OF_THE_TIME));
}

function plan(seconds) {
  clearTimeout(refreshing);
  if (!isHeld() && !document.hidden) refreshing = setTimeout(() => show(address), 1000 * seconds);
}

function exchange(page) {
  const focused = document.activeElement;
  const before = document.getElementById("verdict").textContent;
  document.title = page.title;
  for (const id of PARTS) replace(document.getElementById(id), page.getElementById(id));
  exchangeRows(document.getElementById("rows"), page.getElementById("rows"));
  // The form belongs to the reader; only what the columns decide is updated.
  for (const name of ["sort", "order"]) form.elements[name].value = page.getElementById("filter").elements[name].value;
  refocus(focused);
  const after = document.getElementById("verdict").textContent;
  if (before !== after) announce(after);
}

// Unchanged elements stay, with whatever is selected or focused in them.
function exchangeRows(old, fresh) {
  const known = new Map(Array.from(old.children, (row) => [row.id, row]));
  let place = old.firstElementChild;
  for (const row of Array.from(fresh.children)) {
    const kept = known.get(row.id);
    known.delete(row.id);
    const here = kept ? updated(kept, row) : document.adoptNode(row);
    if (here === place) place = place.nextElementSibling;
    else old.insertBefore(here, place);
  }
  for (const row of known.values()) row.remove();
}

function updated(row, fresh) {
  row.className = fresh.className;
  for (const [index, cell] of Array.from(fresh.children).entries()) replace(row.children[index], cell);
  return row;
}

function replace(old, fresh) {
  if (!old.isEqualNode(fresh)) old.replaceWith(document.adoptNode(fresh));
}

// A moved element has lost the focus; a replaced one is found by its id.
function refocus(focused) {
  const here = focused.isConnected ? focused : focused.id && document.getElementById(focused.id);
  if (here && here !== document.activeElement) here.focus({ preventScroll: true });
}

function announce(text) {
  announcement.textContent = text;
}

function isHeld() {
  return hold.getAttribute("aria-pressed") === "true";
}

function asked() {
  const wanted = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    if (value && value !== form.elements[name].dataset.default) wanted.set(name, value);
  }
  const query = wanted.toString();
  return query ? `/?${query}` : "/";
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  show(asked());
});
form.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => show(asked()), 1000 * TYPING_SECONDS);
});
document.addEventListener("click", (event) => {
  const link = event.target.closest("#head a, #counts a, #all, #reload, #none a, #pages a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const wanted = new URL(link.href);
  for (const name of ["q", "state", "org"]) {
    const field = form.elements[name];
    if (field) field.value = wanted.searchParams.get(name) ?? "";
  }
  show(wanted.pathname + wanted.search);
});
hold.addEventListener("click", () => {
  hold.setAttribute("aria-pressed", String(!isHeld()));
  if (isHeld()) clearTimeout(refreshing);
  else show(address);
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(refreshing);
  else if (!isHeld()) show(address);
});

hold.hidden = false;
document.getElementById("apply").hidden = true;
plan(REFRESH_SECONDS);
