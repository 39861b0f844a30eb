// Every Service in a line, by name; the keyboard's way into the fleet.
import { el, get, mark } from "./dom.js";
import { compare, keyOf, nameOf } from "./store.js";

const MOST = 200;
const rows = new Map();

export function drawList(store, choice, open) {
  const found = [...store.services.values()].filter((each) => choice.has(each) && choice.finds(each));
  found.sort((a, b) => compare(nameOf(a), nameOf(b)));
  const shown = found.slice(0, MOST);
  const keys = new Set(shown.map(keyOf));
  for (const [key, row] of rows) if (!keys.has(key)) { row.element.remove(); rows.delete(key); }
  let before = null;
  for (const each of shown) {
    const row = rowOf(each, open);
    const next = before ? before.nextSibling : get("list").firstChild;
    if (next !== row.element) get("list").insertBefore(row.element, next);
    before = row.element;
  }
  get("more").hidden = found.length <= MOST;
  get("more").textContent = `${found.length - MOST} more: find them by name, address or reason.`;
  get("none").hidden = found.length > 0;
}

// A row stays the same element, so that nobody who stands on it loses the place.
function rowOf(service, open) {
  const key = keyOf(service);
  let row = rows.get(key);
  if (!row) {
    const button = el("button", { type: "button", class: "open" });
    button.addEventListener("click", () => open(row.service));
    row = { element: el("tr"), button };
    rows.set(key, row);
  }
  if (row.service === service) return row;
  row.service = service;
  row.button.textContent = nameOf(service);
  const done = service.nodes.filter((each) => each.state === "programmed").length;
  row.element.replaceChildren(
    el("td", { class: "num" }, mark(service.state)),
    el("td", {}, row.button),
    el("td", { class: "num" }, service.addresses.join(", ") || "none"),
    el("td", {}, ports(service.ports)),
    el("td", { class: "num" }, service.nodes.length ? `${done} of ${service.nodes.length}` : ""),
    el("td", { class: "why" }, el("div", { title: service.message }, service.reason ? el("b", {}, service.reason) : null,
      service.state === "serving" ? "" : ` ${service.message}`)));
  return row;
}

const ports = (all) => (all.length > 4 ? `${all.slice(0, 4).join(", ")} and ${all.length - 4} more` : all.join(", "));

// Arrow keys go from Service to Service, Home and End to the first and last.
export function onKey(event) {
  const buttons = [...get("list").querySelectorAll("button.open")];
  const at = buttons.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
  if (to === undefined || at < 0 || !buttons[to]) return;
  event.preventDefault();
  buttons[to].focus();
}
