// The page put together.
import { classOf, el, get, shape, timeOf } from "./dom.js";
import { Drawer } from "./drawer.js";
import { drawFeed } from "./feed.js";
import { legend } from "./hops.js";
import { Link } from "./link.js";
import { drawList, onKey } from "./list.js";
import { drawMap } from "./map.js";
import { drawPools } from "./pools.js";
import { nameOf, Store } from "./store.js";
import { startTheme } from "./theme.js";

const STATES = ["serving", "pending", "not serving", "refused", "unknown"];

// Which Services somebody wants to see.
const choice = {
  states: new Set(),
  words: "",
  has: (service) => !choice.states.size || choice.states.has(service.state),
  finds: (service) => !choice.words || [nameOf(service), ...service.addresses, service.reason, service.message]
    .some((text) => text.toLowerCase().includes(choice.words)),
};

const store = new Store();
const drawer = new Drawer();
const open = (service) => drawer.open(service);

function drawStates() {
  const counts = Object.fromEntries(STATES.map((state) => [state, 0]));
  for (const each of store.services.values()) counts[each.state] = (counts[each.state] || 0) + 1;
  get("states").replaceChildren(...STATES.filter((state) => state !== "unknown" || counts[state]).map((state) => {
    const button = el("button", { type: "button", class: classOf(state), "aria-pressed": String(choice.states.has(state)), "data-state": state },
      shape(state, { width: 10, height: 10 }), el("span", { class: "n" }, String(counts[state])), el("span", {}, state));
    button.addEventListener("click", () => {
      if (!choice.states.delete(state)) choice.states.add(state);
      draw();
      get("states").querySelector(`[data-state="${state}"]`).focus();
    });
    return button;
  }));
}

function drawHead() {
  get("view").textContent = store.tenant ? `Tenant ${store.tenant}` : "Operator";
  document.title = `fleetlb${store.tenant ? `: ${store.tenant}` : ""}`;
  get("processes").replaceChildren(...store.of("process").map((each) => {
    const well = each.holder && !each.objection;
    const words = !each.holder ? "nobody" : each.objection ? "waits for an operator" : each.holder;
    return el("span", { class: well ? "" : "bad", title: each.objection || null }, `${each.name.replace(/^fleetlb-/, "")}: `, el("b", {}, words));
  }));
}

const banner = { link: "", hub: "" };
function drawBanner() {
  const hub = store.things.get("hub/management");
  banner.hub = hub ? hub.problem : "";
  const text = [banner.link, banner.hub && `Pools and processes are not up to date: ${banner.hub}`].filter(Boolean).join(" ");
  if (get("banner").textContent !== text) get("banner").textContent = text;
  get("banner").hidden = !text;
}

function draw() {
  const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.state : "";
  drawStates();
  if (focused) get("states").querySelector(`[data-state="${focused}"]`)?.focus();
  drawHead();
  drawBanner();
  drawMap(store, choice, open);
  drawList(store, choice, open);
  drawPools(store);
  drawFeed(store, open);
  drawer.update(store);
  if (location.hash && !drawer.service) {
    const wanted = store.services.get(decodeURIComponent(location.hash.slice(1)));
    if (wanted) drawer.open(wanted);
  }
}

function tell(isLive, since, why) {
  const text = isLive ? "Live" : `Not live since ${timeOf(since)}`;
  get("link").className = `link ${isLive ? "live" : "stale"}`;
  if (get("linktext").textContent !== text) get("linktext").textContent = text;
  banner.link = isLive ? "" : `What you see is of ${timeOf(since)}: ${why}. Trying again.`;
  drawBanner();
}

startTheme();
get("legend").append(...legend());
get("find").addEventListener("input", (event) => {
  choice.words = event.target.value.trim().toLowerCase();
  draw();
});
get("find").addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown") get("list").querySelector("button.open")?.focus();
});
get("list").addEventListener("keydown", onKey);
store.listen(draw);
new Link(store, tell).start();
