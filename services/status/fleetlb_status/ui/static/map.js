// The fleet: a row for each tenant, a column for each balancer group, a mark for each Service.
import { el, get, shape } from "./dom.js";
import { compare, keyOf, nameOf } from "./store.js";

const MOST = 150;
const NO_GROUP = "";

export function drawMap(store, choice, open) {
  const services = [...store.services.values()];
  const groups = new Map(store.of("group").map((each) => [each.name, each]));
  for (const each of services) if (!groups.has(each.group)) groups.set(each.group, null);
  const tenants = [...new Set([...store.of("tenant").map((each) => each.name), ...services.map((each) => each.tenant)])];
  const columns = [...groups.keys()].sort((a, b) => (a === NO_GROUP) - (b === NO_GROUP) || compare(a, b));
  const cells = new Map();
  for (const each of services) {
    if (!choice.has(each)) continue;
    const key = `${each.tenant}/${each.group}`;
    if (!cells.has(key)) cells.set(key, []);
    cells.get(key).push(each);
  }
  const map = get("map");
  map.style.gridTemplateColumns = `minmax(120px, 200px) repeat(${columns.length}, minmax(180px, 1fr))`;
  map.replaceChildren(
    el("div", { class: "corner sub" }, "tenant \u2193 group \u2192"),
    ...columns.map((name) => groupHead(name, groups.get(name))),
    ...tenants.sort(compare).flatMap((tenant) => [
      tenantHead(store, tenant),
      ...columns.map((group) => cell(store, cells.get(`${tenant}/${group}`) || [], `${tenant}, ${group || "no group"}`, open)),
    ]));
}

function groupHead(name, group) {
  if (!group) return el("div", { class: "group" }, el("div", { class: "name" }, name || "no group yet"));
  return el("div", { class: "group" },
    el("div", { class: "name" }, name, " ", el("span", { class: "sub" }, group.engine)),
    el("div", { class: "nodes" }, ...group.nodes.map((node) =>
      el("span", { class: node.ready ? "up" : "down" }, node.ready ? node.name : `${node.name} is not ready`))));
}

function tenantHead(store, name) {
  const tenant = store.things.get(`tenant/${name}`);
  const quota = tenant && tenant.quotas.addresses;
  const held = tenant && (tenant.usage.addresses || 0);
  const words = !tenant ? "" : tenant.suspended ? "suspended" : !tenant.ready ? tenant.reason
    : `${held}${quota === undefined || quota === null ? "" : ` of ${quota}`} address${held === 1 ? "" : "es"}`;
  return el("div", { class: "tenant" }, el("div", { class: "name" }, name), el("div", { class: "sub" }, words));
}

function cell(store, services, where, open) {
  const states = {};
  for (const each of services) states[each.state] = (states[each.state] || 0) + 1;
  const words = Object.entries(states).map(([state, n]) => `${n} ${state}`).join(", ") || "none";
  const marks = services.sort((a, b) => compare(nameOf(a), nameOf(b))).slice(0, MOST).map((each) => {
    const icon = shape(each.state, { class: `${shape(each.state).getAttribute("class")}${store.fresh.has(keyOf(each)) ? " new" : ""}` });
    icon.append(Object.assign(document.createElementNS("http://www.w3.org/2000/svg", "title"), { textContent: `${nameOf(each)}: ${each.state}` }));
    icon.addEventListener("click", () => open(each));
    return icon;
  });
  const rest = services.length - marks.length;
  return el("div", { class: "cell", role: "img", "aria-label": `${where}: ${words}` }, ...marks,
    rest > 0 ? el("span", { class: "sub" }, `and ${rest} more`) : null);
}
