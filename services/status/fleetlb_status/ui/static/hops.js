// How long a change took, station by station.
import { el, ms, svg } from "./dom.js";

const HUES = { "tenant-watcher": "watcher", manager: "manager", "balancer node": "node", status: "status" };
export const hueOf = (who) => `hue-${HUES[who] || "status"}`;

const took = (station) => Math.max(0, station.tookMs); // clocks of two machines may differ
export const total = (stations) => stations.reduce((sum, each) => sum + took(each), 0);

function segments(stations, whole) {
  let at = 0;
  return stations.filter((each) => took(each) > 0).map((each) => {
    const width = (took(each) / whole) * 100;
    const rect = svg("rect", { x: at, width: Math.max(width - 0.4, 0.3), height: 8, class: hueOf(each.service) },
      svg("title", {}, `${each.service}: ${each.station} after ${ms(took(each))}`));
    at += width;
    return rect;
  });
}

// One bar; `longest` is the time that fills it.
export function bar(stations, longest) {
  const whole = total(stations);
  if (!whole) return null;
  const text = stations.map((each) => `${each.station} ${ms(took(each))}`).join(", ");
  return el("div", { class: "hops" },
    svg("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", role: "img", "aria-label": text },
      ...segments(stations, Math.max(whole, longest))),
    el("span", { class: "ms" }, ms(whole)));
}

// One line for each station.
export function timeline(stations) {
  const whole = total(stations) || 1;
  let at = 0;
  return el("ol", { class: "timeline" }, ...stations.map((each) => {
    const begin = (at / whole) * 100;
    at += took(each);
    return el("li", {},
      el("span", { class: "who" }, each.service), el("span", {}, each.station),
      svg("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
        svg("rect", { x: begin, width: Math.max((took(each) / whole) * 100, 0.5), height: 8, class: hueOf(each.service) })),
      el("span", { class: "ms" }, ms(took(each))));
  }));
}

export const legend = () => Object.keys(HUES).map((who) => el("li", { class: hueOf(who) }, who));
