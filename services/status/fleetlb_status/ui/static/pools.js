// How full the address pools are.
import { count, el, get, svg } from "./dom.js";

export function drawPools(store) {
  const pools = store.of("pool");
  get("pools-section").hidden = pools.length === 0;
  get("pools").replaceChildren(...pools.flatMap((pool) => {
    const families = [["IPv4", pool.ipv4], ["IPv6", pool.ipv6]].map(([name, counts]) => [name, whole(counts)]);
    const had = families.filter(([, counts]) => counts.total > 0);
    return (had.length ? had : families.slice(0, 1)).map(([family, counts]) => line(pool, family, counts));
  }));
}

const whole = (counts) => ({ total: 0, used: 0, quarantined: 0, free: 0, ...counts });

function line(pool, family, counts) {
  const words = `${count(counts.used)} used, ${count(counts.quarantined)} resting, ${count(counts.free)} free`;
  const share = (n) => (counts.total ? (n / counts.total) * 100 : 0);
  // What is there is seen, however little it is.
  const width = (n) => (n ? Math.max(share(n), 0.8) : 0);
  return el("li", {},
    el("div", { class: "top" }, el("b", {}, pool.name), el("span", {}, `${family}, group ${pool.group}`)),
    svg("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img", "aria-label": `${pool.name} ${family}: ${words}` },
      svg("rect", { class: "used", width: width(counts.used), height: 10 }),
      svg("rect", { class: "resting", x: width(counts.used), width: width(counts.quarantined), height: 10 })),
    el("div", { class: "top" }, el("span", {}, words), el("span", {}, counts.total && !counts.free ? "full" : "")),
    pool.ready ? null : el("div", { class: "sub bad" }, `not ready: ${pool.reason}`));
}
