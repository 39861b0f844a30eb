// What the page knows: a snapshot, and what has changed since. Draws nothing.
const FEED = 100;

export class Store {
  constructor() {
    this.services = new Map();
    this.things = new Map();
    this.feed = [];
    this.tenant = "";
    this.fresh = new Set();
    this.listeners = [];
    this.due = false;
  }

  // Calls after each batch of changes, at most once a frame.
  listen(listener) {
    this.listeners.push(listener);
  }

  replace(fleet) {
    this.tenant = fleet.tenant;
    this.services = new Map(fleet.services.map((each) => [keyOf(each), each]));
    this.things = new Map(fleet.things.map((each) => [`${each.kind}/${each.name}`, each.value]));
    this.feed = fleet.recent.slice(-FEED).reverse();
    this.changed();
  }

  service(event) {
    const key = keyOf(event);
    if (event.service) {
      if (!this.services.has(key)) this.fresh.add(key);
      this.services.set(key, event.service);
    } else this.services.delete(key);
    if (event.change) {
      this.feed.unshift(event.change);
      this.feed.length = Math.min(this.feed.length, FEED);
    }
    this.changed();
  }

  thing(event) {
    const key = `${event.kind}/${event.name}`;
    if (event.value) this.things.set(key, event.value);
    else this.things.delete(key);
    this.changed();
  }

  of(kind) {
    const found = [...this.things].filter(([key]) => key.startsWith(`${kind}/`)).map(([, value]) => value);
    return found.sort((a, b) => compare(a.name, b.name));
  }

  changed() {
    if (this.due) return;
    this.due = true;
    // A page in the background is drawn too, only later: no frame comes there.
    const draw = () => {
      if (!this.due) return;
      this.due = false;
      for (const listener of this.listeners) listener(this);
      this.fresh.clear();
    };
    requestAnimationFrame(draw);
    setTimeout(draw, 500);
  }
}

export const keyOf = (each) => `${each.tenant}/${each.uid}`;
export const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
export const nameOf = (each) => `${each.tenant}/${each.namespace}/${each.name}`;
