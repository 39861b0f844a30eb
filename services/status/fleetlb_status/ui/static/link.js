// The connection to the status service: a snapshot, then every change after it. Says truthfully whether it is live.
const SILENT = 25000; // a beat comes every ten seconds
const PATIENCE = [1000, 1000, 2000, 5000, 10000];

export class Link {
  constructor(store, tell) {
    this.store = store;
    this.tell = tell; // (isLive, since when it is not, why)
    this.place = "";
    this.heard = Date.now();
    this.failures = 0;
    this.source = null;
  }

  start() {
    this.open();
    setInterval(() => {
      if (this.source && Date.now() - this.heard > SILENT) this.lost("nothing was heard");
    }, 1000);
  }

  async open() {
    try {
      if (!this.place) await this.snapshot();
    } catch (problem) {
      this.lost(problem.message);
      return;
    }
    const source = new EventSource(`v1/changes?after=${encodeURIComponent(this.place)}`);
    this.source = source;
    this.heard = Date.now();
    source.onopen = () => this.hear();
    source.onerror = () => this.source === source && this.lost("the connection broke");
    const on = (kind, act) => source.addEventListener(kind, (event) => {
      if (this.source !== source) return;
      this.hear();
      this.place = event.lastEventId;
      act(event);
    });
    on("service", (event) => this.store.service(JSON.parse(event.data)));
    on("thing", (event) => this.store.thing(JSON.parse(event.data)));
    on("beat", () => {});
    on("reset", () => {
      source.close();
      this.source = null;
      this.place = "";
      this.open();
    });
  }

  async snapshot() {
    const answer = await fetch("v1/fleet", { cache: "no-store" });
    const body = await answer.json();
    if (!answer.ok) throw new Error(`${body.field ? `${body.field} ` : ""}${body.error}; ${body.cure}`);
    this.store.replace(body);
    this.place = body.id;
  }

  hear() {
    this.heard = Date.now();
    this.failures = 0;
    this.tell(true, 0, "");
  }

  lost(why) {
    if (this.source) this.source.close();
    this.source = null;
    this.tell(false, this.heard, why);
    const wait = PATIENCE[Math.min(this.failures, PATIENCE.length - 1)];
    this.failures += 1;
    setTimeout(() => this.open(), wait);
  }
}
