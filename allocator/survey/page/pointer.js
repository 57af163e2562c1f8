// What is under the pointer, or under the cursor that the arrow keys move. The server
// tells it of one node or subnet at a time.
const details = new Map(); // key -> {html, data}: good for as long as the piece is the same

async function detailsOf(key) {
  const piece = pieces.get(key), had = details.get(key);
  if (!piece) return null;
  if (had && had.html === piece.html) return had.data;
  const answer = await fetch("/" + key.split("/").map(encodeURIComponent).join("/"));
  if (!answer.ok) return null;
  const data = await answer.json();
  details.set(key, { html: piece.html, data });
  return data;
}

// Where things are in a drawing of slots; see draw/slots.go.
const perLine = 15, slotPitch = 43, slotSize = 38;

const slotAt = (x, y) => Math.floor((x - 1) / slotPitch) + perLine * Math.floor((y - 1) / slotPitch);
const slotBox = i => [1 + i % perLine * slotPitch, 1 + Math.floor(i / perLine) * slotPitch, slotSize];
const cellBox = (i, grid) => [grid.left + i % grid.perLine * grid.pitch, Math.floor(i / grid.perLine) * grid.pitch, grid.pitch - 2];

function slotText(node, i, x, y) {
  const slot = node.blocks[i];
  if (!slot) return i < node.slots ? `slot ${i + 1}: empty` : "";
  const [left, top] = slotBox(i);
  const column = Math.round((x - left - 7) / 8), line = Math.round((y - top - 7) / 8);
  const address = slot.kind === "prefix" ? slot.addresses[line * 4 + column] : slot.addresses[0];
  const count = state => slot.addresses.filter(a => a.state === state).length;
  const all = slot.kind === "prefix" ? `slot ${i + 1}: prefix ${slot.block}: ${count("held")} held, ${count("free")} free, ${count("cooling")} cooling` : `slot ${i + 1}: secondary IP`;
  return address && column >= 0 && column < 4 ? `${address.address} ${address.pod || address.state}\n${all}` : all;
}

function cellText(subnet, i) {
  const cell = subnet.cells[i];
  return cell && [`${cell.block}: ${cell.use}`, ...(cell.owners || []).slice(0, 8), cell.owners && cell.owners.length > 8 ? `and ${cell.owners.length - 8} more` : ""].filter(Boolean).join("\n");
}

// place is the drawing, the place in it, and the index of what is there.
function place(drawing, event) {
  const r = drawing.getBoundingClientRect(), scale = drawing.viewBox.baseVal.width / r.width;
  return [(event.clientX - r.left) * scale, (event.clientY - r.top) * scale];
}

const keyOf = element => { const box = element.closest("[data-key]"); return box && box.dataset.key; };
let pointed = 0; // counts, so that a late answer does not show over a newer one

document.addEventListener("pointermove", async e => {
  const drawing = e.target.closest && e.target.closest("svg.slots, svg.subnet");
  const turn = ++pointed;
  if (!drawing || !keyOf(drawing)) return hide();
  const [x, y] = place(drawing, e), data = await detailsOf(keyOf(drawing));
  if (!data || turn !== pointed) return;
  const text = data.blocks ? slotText(data, slotAt(x, y), x, y) : cellText(data, cellAt(x, y, data.grid));
  if (text) tip(text, e.pageX + 14, e.pageY + 14); else hide();
});

const cellAt = (x, y, grid) => x < grid.left ? -1 : Math.floor((x - grid.left) / grid.pitch) + grid.perLine * Math.floor(y / grid.pitch);

function tip(text, x, y) {
  const box = $("tip");
  box.textContent = text;
  box.hidden = false;
  box.style.left = Math.min(x, document.documentElement.clientWidth - box.offsetWidth - 8) + "px";
  box.style.top = y + "px";
}

function hide() { $("tip").hidden = $("cursor").hidden = true; }

// point moves the cursor of the arrow keys within a row or a subnet.
async function point(box, step) {
  const drawing = box.querySelector("svg.slots, svg.subnet"), data = await detailsOf(box.dataset.key);
  if (!drawing || !data) return;
  const isNode = Boolean(data.blocks), most = isNode ? Math.max(data.slots, data.blocks.length) : data.cells.length;
  const i = box.at = Math.max(0, Math.min(most - 1, (box.at ?? -1) + (step === "line" ? data.grid.perLine : step === "-line" ? -data.grid.perLine : step)));
  const [left, top, size] = isNode ? slotBox(i) : cellBox(i, data.grid);
  const r = drawing.getBoundingClientRect(), scale = r.width / drawing.viewBox.baseVal.width, cursor = $("cursor");
  Object.assign(cursor.style, { left: r.left + scrollX + left * scale - 2 + "px", top: r.top + scrollY + top * scale - 2 + "px", width: size * scale + 4 + "px", height: size * scale + 4 + "px" });
  cursor.hidden = false;
  tip(isNode ? slotText(data, i, -99, -99) : cellText(data, i), r.left + scrollX + left * scale, r.top + scrollY + (top + size) * scale + 8);
}

// listPods lists the pods of a row by slot, for who wants more than dots.
async function listPods(row) {
  const node = await detailsOf(row.dataset.key), list = row.querySelector(".pods");
  if (!node || !list) return;
  list.replaceChildren();
  let last = "";
  for (const slot of node.blocks) {
    const title = slot.kind === "prefix" ? "prefix " + slot.block : "secondary IPs";
    if (title !== last) list.append(Object.assign(document.createElement("h4"), { textContent: last = title }));
    list.append(...slot.addresses.filter(a => a.state !== "free").map(a =>
      Object.assign(document.createElement("span"), { textContent: `${a.address} ${a.pod || a.state}` })));
  }
}

function togglePods(row) {
  const list = row.querySelector(".pods");
  if (list) return list.remove();
  row.append(Object.assign(document.createElement("div"), { className: "pods" }));
  listPods(row);
}

document.addEventListener("click", e => {
  const row = e.target.closest(".node");
  if (row && !e.target.closest(".pods") && !String(getSelection())) togglePods(row);
});

document.addEventListener("keydown", e => {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const here = document.activeElement, typing = here === $("search");
  if (e.key === "/" && !typing) { $("search").focus(); return e.preventDefault(); }
  if (e.key === "Escape") { hide(); if (typing) { $("search").value = ""; $("search").dispatchEvent(new Event("input")); } return; }
  const row = here.closest(".node"), subnet = here.closest("#subnets [data-key]");
  const steps = { ArrowLeft: -1, ArrowRight: 1, ...(subnet ? { ArrowUp: "-line", ArrowDown: "line" } : {}) };
  if ((row || subnet) && e.key in steps) { point(row || subnet, steps[e.key]); return e.preventDefault(); }
  if (row && (e.key === "Enter" || e.key === " ")) { togglePods(row); return e.preventDefault(); }
  if (e.key === "ArrowDown" || e.key === "ArrowUp") {
    const all = [...document.querySelectorAll(".group > button, .node")].filter(x => x.offsetParent);
    const next = all[all.indexOf(here) + (e.key === "ArrowDown" ? 1 : -1)];
    if (next && !(typing && e.key === "ArrowUp")) { hide(); next.focus(); e.preventDefault(); }
  }
});
document.addEventListener("focusin", hide);
