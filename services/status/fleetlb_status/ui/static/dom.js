// Elements out of data. Text is only ever set as text: names, reasons and messages were written by tenants.
const SVG = "http://www.w3.org/2000/svg";

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const el = (tag, attributes = {}, ...children) => filled(document.createElement(tag), attributes, children);

export const svg = (tag, attributes = {}, ...children) =>
  filled(document.createElementNS(SVG, tag), attributes, children);

export const get = (id) => document.getElementById(id);

export const CLASSES = {
  serving: "serving", pending: "pending", "not serving": "notserving", refused: "refused", unknown: "unknown",
};

export const classOf = (state) => (state === null ? "gone" : CLASSES[state] || "unknown");

export const shape = (state, attributes = {}) =>
  svg("svg", { "aria-hidden": "true", class: classOf(state), ...attributes },
    svg("use", { href: `#${classOf(state)}` }));

export const mark = (state) => el("span", { class: `mark ${classOf(state)}` }, shape(state), state || "gone");

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const timeOf = (milliseconds) => clock.format(milliseconds);

const number = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
export const count = (value) => (value < 1e6 ? number : short).format(value);

export const ms = (value) => (value >= 10000 ? `${(value / 1000).toFixed(1)} s` : `${value.toFixed(1)} ms`);
