"use strict";
const $ = id => document.getElementById(id);
const fewNodes = 40;      // so many are unfolded at the start
const fewSubnets = 3;     // above the curves
const sortPause = 2000;   // ms; rows that jump cannot be read
const pieces = new Map(); // all that the server has told, by key
const groups = new Map(); // name -> {section, button, rows, open}
const rows = new Map();   // key of a node -> its element, where it is shown
let dirty = new Set(), fresh = true, needle = "", sorted = 0, begun = false;

const source = new EventSource("/events");
source.onopen = () => { fresh = true; $("lost").hidden = true; };
source.onerror = () => { $("lost").hidden = false; };
source.onmessage = e => {
  const diff = JSON.parse(e.data);
  if (fresh) for (const key of pieces.keys()) if (!(key in diff)) diff[key] = null;
  fresh = false;
  for (const [key, piece] of Object.entries(diff)) {
    if (piece) pieces.set(key, piece); else pieces.delete(key);
    if (!dirty.size) requestAnimationFrame(render);
    dirty.add(key);
  }
};

function render() {
  const keys = dirty;
  dirty = new Set();
  begin();
  for (const key of keys) show(key);
  resort();
  performance.mark("rendered");
}

// begin decides, once the cluster is known, what is unfolded.
function begin() {
  const nodes = keysOf("node/");
  document.body.classList.toggle("many", nodes.length > 12);
  document.body.classList.toggle("only", keysOf("group/").length === 1 && nodes.length <= fewNodes);
  if (begun || !nodes.length) return;
  begun = true;
  for (const key of keysOf("group/")) groupOf(key.slice(6)).open = nodes.length <= fewNodes;
}

const keysOf = start => [...pieces.keys()].filter(k => k.startsWith(start));

// show brings what a key stands for up to date.
function show(key) {
  const piece = pieces.get(key), [kind, name] = split(key);
  switch (kind) {
    case "head":
      $("head").innerHTML = piece.html;
      document.title = ($("head").querySelector(".headline") || {}).textContent + " · Slotwise";
      break;
    case "history":
      $("history").innerHTML = piece.html;
      break;
    case "group":
      if (piece) fill(groupOf(name).button, piece.html); else dropGroup(name);
      break;
    case "node":
      showNode(key);
      break;
    case "subnet":
      showSubnet(key, name, piece);
      break;
  }
}

const split = key => { const i = key.indexOf("/"); return i < 0 ? [key, ""] : [key.slice(0, i), key.slice(i + 1)]; };
const fill = (element, html) => { if (element.told !== html) element.innerHTML = element.told = html; };

function groupOf(name) {
  let g = groups.get(name);
  if (g) return g;
  g = { section: document.createElement("section"), button: document.createElement("button"), rows: document.createElement("div"), open: begun && pieces.size < fewNodes };
  g.section.className = "group";
  g.button.type = "button";
  g.button.onclick = () => { g.open = !g.open; showGroup(name); };
  g.section.append(g.button, g.rows);
  $("groups").append(g.section);
  groups.set(name, g);
  return g;
}

function dropGroup(name) {
  const g = groups.get(name);
  if (g) g.section.remove();
  groups.delete(name);
}

// showGroup brings all rows of a group up to date, after it was folded or searched.
function showGroup(name) {
  for (const key of keysOf("node/")) if (pieces.get(key).group === name) showNode(key);
  sorted = 0;
  resort();
}

// shown says that a node has a row: it is found, or its group is unfolded.
const shown = piece => needle ? needle.split(/\s+/).every(word => piece.find.includes(word)) : groupOf(piece.group).open;

function showNode(key) {
  const piece = pieces.get(key);
  let row = rows.get(key);
  if (!piece || !shown(piece)) {
    if (row) row.remove();
    rows.delete(key);
    return;
  }
  if (!row) {
    row = document.createElement("div");
    row.className = "node";
    row.tabIndex = 0;
    row.dataset.key = key;
    rows.set(key, row);
  }
  const g = groupOf(piece.group);
  if (row.parentNode !== g.rows) g.rows.append(row);
  if (row.told === piece.html) return;
  const pods = row.querySelector(".pods");
  fill(row, piece.html);
  closeRings(row);
  if (pods) { row.append(pods); listPods(row); }
}

function showSubnet(key, id, piece) {
  let box = document.querySelector(`#subnets [data-key="${CSS.escape(key)}"]`);
  if (!piece) { if (box) box.remove(); return; }
  if (!box) {
    box = document.createElement("div");
    box.dataset.key = key;
    box.tabIndex = 0;
    $("subnets").append(box);
  }
  $("uses").hidden = false;
  if ($("subnets").childElementCount > fewSubnets) $("groups").after($("minutes")); // or they would be out of sight
  fill(box, piece.html);
}

// resort puts the widest gap first, but not under a hand that points at a row.
function resort() {
  for (const [name, g] of groups) {
    g.section.classList.toggle("open", g.rows.childElementCount > 0);
    g.section.hidden = Boolean(needle) && !g.rows.childElementCount;
    g.button.setAttribute("aria-expanded", String(g.open));
  }
  $("found").textContent = needle ? `${rows.size} found` : "";
  if (Date.now() - sorted < sortPause || $("groups").matches(":hover, :focus-within") && sorted) return;
  sorted = Date.now();
  const byGap = (a, b) => b[0] - a[0] || (a[1] < b[1] ? -1 : 1);
  order($("groups"), [...groups].map(([name, g]) => [(pieces.get("group/" + name) || {}).gap || 0, name, g.section]).sort(byGap));
  for (const g of groups.values()) {
    order(g.rows, [...g.rows.children].map(row => [(pieces.get(row.dataset.key) || {}).gap || 0, row.dataset.key, row]).sort(byGap));
  }
}

// order moves only what is out of its place.
function order(parent, entries) {
  entries.forEach(([, , element], i) => { if (parent.children[i] !== element) parent.insertBefore(element, parent.children[i] || null); });
}

// Rings close second by second: a step is enough to see, and costs next to nothing.
function closeRings(within) {
  for (const ring of within.querySelectorAll(".cool[data-until]")) {
    const passed = Math.max(0, Math.min(30, 30 - (ring.dataset.until - Date.now()) / 1000));
    ring.setAttribute("stroke-dasharray", passed.toFixed(1) + " 30");
  }
}
setInterval(() => closeRings(document), 1000);

function foldAll(open) {
  for (const [name, g] of groups) { g.open = open; showGroup(name); }
}
$("unfold").onclick = () => foldAll(true);
$("fold").onclick = () => foldAll(false);
$("search").oninput = e => {
  needle = e.target.value.trim().toLowerCase();
  for (const name of groups.keys()) showGroup(name);
};
