// All of one Service: why it is where it is, and what to type for the same.
import { el, get, mark, classOf } from "./dom.js";
import { timeline } from "./hops.js";
import { keyOf, nameOf } from "./store.js";

const SETTLE = 300;

export class Drawer {
  constructor() {
    this.service = null;
    this.shown = "";
    this.timer = 0;
    this.dialog = get("drawer");
    get("close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => this.closed());
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
  }

  open(service) {
    this.from = document.activeElement;
    this.service = service;
    this.shown = "";
    get("drawer-title").textContent = nameOf(service);
    get("detail").replaceChildren(el("p", { class: "note" }, "Asking the fleet"));
    if (!this.dialog.open) this.dialog.showModal();
    history.replaceState(null, "", `#${keyOf(service)}`);
    this.load();
  }

  // The browser tells of an end in a task of its own: by then another Service may have been opened.
  closed() {
    if (this.dialog.open) return;
    this.service = null;
    history.replaceState(null, "", location.pathname);
    if (this.from && this.from.isConnected) this.from.focus();
  }

  // Something of the fleet has changed: of this Service too?
  update(store) {
    if (!this.service) return;
    const now = store.services.get(keyOf(this.service));
    const text = JSON.stringify(now || null);
    if (!this.shown || text === this.shown) {
      this.shown = text;
      return;
    }
    this.shown = text;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load(), SETTLE);
  }

  async load() {
    const wanted = this.service;
    if (!wanted) return;
    let parts;
    try {
      const path = [wanted.tenant, wanted.uid].map(encodeURIComponent).join("/");
      const answer = await fetch(`v1/services/${path}`, { cache: "no-store" });
      const body = await answer.json();
      parts = answer.ok ? detail(body) : [el("p", { class: "note bad" }, `${body.error}; ${body.cure}`)];
    } catch (problem) {
      parts = [el("p", { class: "note bad" }, `The status service does not answer: ${problem.message}`)];
    }
    if (this.service === wanted) get("detail").replaceChildren(...parts);
  }
}

function detail(all) {
  const { service, why } = all;
  const facts = [["stage", why.stage], ["reason", why.reason], ["because", why.message], ...Object.entries(why.given),
    ["since", why.since], ["do", why.cure], ["trace", why.trace]].filter(([, text]) => text);
  return [
    el("div", { class: `verdict ${classOf(service.state)}` }, mark(service.state),
      el("dl", { id: "why" }, ...facts.flatMap(([name, text]) => [el("dt", {}, name), el("dd", {}, text)]))),
    command(all.command),
    ...part("Conditions", ["Condition", "Status", "Reason", "Message"], all.conditions.map((each) =>
      [each.type.replace(/^fleetlb\.dev\//, ""), tone(each.status, each.status === "True"), each.reason, each.message || ""])),
    ...part("Balancer nodes", ["Node", "Virtual server", "State", "Probe", "Backends healthy"], all.servers.map((each) =>
      [each.node, each.key, tone(each.state, each.state === "programmed"), each.probe,
        each.healthy === null || each.healthy === undefined ? `${each.realServers}, not checked` : `${each.healthy} of ${each.realServers}`])),
    ...part("Backends", ["Virtual server", "Address", "Weight", "Node"], all.backends.map((each) =>
      [each.key, `${each.address.includes(":") ? `[${each.address}]` : each.address}:${each.port}`, String(each.weight), each.node])),
    all.moreBackends ? el("p", { class: "note" }, `and ${all.moreBackends} more`) : null,
    ...(all.stations.length ? [el("h3", {}, "Last change"), timeline(all.stations)] : []),
  ].filter((each) => each);
}

const tone = (text, good) => el("span", { class: good ? "good" : "bad" }, text);

function part(title, heads, lines) {
  if (!lines.length) return [];
  return [el("h3", {}, title), el("div", { class: "scroll" }, el("table", { "aria-label": title },
    el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", {}, ...lines.map((cells) => el("tr", {}, ...cells.map((cell, at) =>
      el("td", { class: at === heads.length - 1 ? "" : "short" }, cell)))))))];
}

function command(text) {
  const button = el("button", { type: "button", class: "quiet" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(button.previousSibling);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  return el("div", { class: "command" }, el("code", { id: "command" }, text), button);
}
