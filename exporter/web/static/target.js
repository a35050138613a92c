// Keeps the page of a target, or of events, fresh by fetching it again and replacing what has changed, so that focus and
// scroll position stay; without this file the page is complete.
"use strict";

const REFRESH_SECONDS = 5;
let refreshing = 0;
let failing = false;

async function refresh() {
  clearTimeout(refreshing);
  let told = "Data may be out of date: the exporter is not responding.";
  try {
    const answer = await fetch(location.origin + location.pathname + location.search);
    if (answer.status === 404) told = "Data may be out of date: this target was removed from the configuration.";
    if (!answer.ok) throw new Error(`the exporter answered ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!failing) page.getElementById("announcement").textContent = document.getElementById("announcement").textContent;
    else page.getElementById("announcement").textContent = "The exporter is responding again.";
    renew(document.getElementById("main"), page.getElementById("main"));
    failing = false;
  } catch {
    if (!failing) document.getElementById("announcement").textContent = told;
    failing = true;
  }
  document.body.classList.toggle("old", failing);
  plan();
}

function plan() {
  clearTimeout(refreshing);
  if (!document.hidden) refreshing = setTimeout(refresh, 1000 * REFRESH_SECONDS);
}

function renew(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  const [parts, freshParts] = [Array.from(old.childNodes), Array.from(fresh.childNodes)];
  const isAlike = old.cloneNode().isEqualNode(fresh.cloneNode()) && parts.length === freshParts.length;
  if (isAlike && parts.length) parts.forEach((part, index) => renew(part, freshParts[index]));
  else if (old.id === "main") old.replaceChildren(...freshParts.map((part) => document.adoptNode(part)));
  else old.replaceWith(document.adoptNode(fresh));
}

document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(refreshing) : refresh()));
plan();
