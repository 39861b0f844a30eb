// What has changed, newest first.
import { el, get, shape, timeOf } from "./dom.js";
import { bar, total } from "./hops.js";
import { nameOf } from "./store.js";

let drawn = [];

export function drawFeed(store, open) {
  const longest = Math.max(0, ...store.feed.map((each) => total(each.stations)));
  const known = new Map(drawn.map(([change, item, length]) => [change, [item, length]]));
  drawn = store.feed.map((change) => {
    const [item, length] = known.get(change) || [];
    return item && length === longest ? [change, item, length] : [change, line(store, change, longest, open, item), longest];
  });
  const feed = get("feed");
  const items = new Set(drawn.map(([, item]) => item));
  for (const item of [...feed.children]) if (!items.has(item)) item.remove();
  // What is there stays where it is: only additions are read out.
  drawn.forEach(([, item], at) => { if (feed.children[at] !== item) feed.insertBefore(item, feed.children[at] || null); });
  get("quiet").hidden = drawn.length > 0;
}

function line(store, change, longest, open, item) {
  const bars = bar(change.stations, longest);
  if (item) {
    const old = item.querySelector(".hops");
    if (old && bars) old.replaceWith(bars);
    return item;
  }
  const at = change.at / 1000;
  return el("li", {},
    el("div", { class: "line" }, shape(change.state),
      el("button", { type: "button", class: "open", onclick: () => open(change) }, nameOf(change)),
      el("time", { datetime: new Date(at).toISOString() }, timeOf(at))),
    el("p", { title: change.text }, change.text), bars);
}
