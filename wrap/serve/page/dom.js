// What all views share. Texts of other people go into the page as text alone.

// h makes an element: h("td", {class: "num"}, "text", child).
export function h(tag, attributes, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) e.addEventListener(name.slice(2), value);
    else e.setAttribute(name, value === true ? "" : value);
  }
  e.append(...children.flat().filter((c) => c !== null && c !== undefined));
  return e;
}

// svg is h for what is drawn.
export function svg(tag, attributes, ...children) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes || {})) e.setAttribute(name, value);
  e.append(...children);
  return e;
}

// say sets a text where it has changed: what is read aloud or selected stays.
export function say(e, text) {
  if (e.textContent !== text) e.textContent = text;
}

export async function get(path) { return answer(await fetch("/api/v1/" + path)); }

export async function post(path, body) {
  return answer(await fetch("/api/v1/" + path, {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body),
  }));
}

async function answer(response) {
  let value;
  try { value = await response.json(); } catch { value = {error: response.status + " " + response.statusText}; }
  if (!response.ok) throw new Error(value.error || response.statusText);
  return value;
}

// age is a span of seconds in two units at most: 42s, 3m 05s, 2h 10m, 5d 3h.
export function age(seconds) {
  const s = Math.max(0, Math.floor(seconds)), two = (n) => String(n).padStart(2, "0");
  if (s < 60) return s + "s";
  if (s < 3600) return Math.floor(s / 60) + "m " + two(s % 60) + "s";
  if (s < 86400) return Math.floor(s / 3600) + "h " + two(Math.floor(s % 3600 / 60)) + "m";
  return Math.floor(s / 86400) + "d " + Math.floor(s % 86400 / 3600) + "h";
}

// short is age for durations that may be parts of a second.
export function short(seconds) {
  if (seconds < 1) return Math.round(seconds * 1000) + "ms";
  return seconds < 10 ? seconds.toFixed(1) + "s" : age(seconds);
}

export const since = (time) => age((Date.now() - Date.parse(time)) / 1000);
export const plural = (n, one) => n + " " + one + (n === 1 ? "" : "s");
export const id = (text) => text.slice(0, 8);
export const needs = (claim) => Object.entries(claim.pools).sort()
  .map(([name, n]) => n === 1 ? name : n < 0 ? name + "=all" : name + "=" + n).join(", ");

// local is a moment on the clock of this browser.
export const local = (time) => new Date(time).toLocaleString(undefined,
  {month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit"});

// Rows shows those of many rows of equal height that are in sight. make returns an element, fill writes an item into it.
export class Rows {
  constructor(label, kind, make, fill) {
    this.space = h("div", {class: "space"});
    this.host = h("div", {class: "rows " + kind, role: "list", "aria-label": label, tabindex: "0"}, this.space);
    this.make = make;
    this.fill = fill;
    this.items = [];
    this.shown = new Map();
    this.host.addEventListener("scroll", () => this.draw(), {passive: true});
    this.watcher = new ResizeObserver(() => requestAnimationFrame(() => this.draw()));
    this.watcher.observe(this.host);
  }

  set(items) {
    this.items = items;
    this.draw();
  }

  get height() { return matchMedia("(max-width: 720px)").matches ? 64 : 46; }

  draw() {
    const height = this.height, {scrollTop, clientHeight} = this.host;
    this.space.style.height = this.items.length * height + "px";
    const from = Math.max(0, Math.floor(scrollTop / height) - 6);
    const to = Math.min(this.items.length, Math.ceil((scrollTop + (clientHeight || 900)) / height) + 6);
    const wanted = new Set(this.items.slice(from, to).map((i) => i.id));
    for (const [key, row] of this.shown) {
      if (!wanted.has(key)) {
        row.remove();
        this.shown.delete(key);
      }
    }
    for (let i = from; i < to; i++) {
      const item = this.items[i];
      let row = this.shown.get(item.id);
      if (!row) {
        row = this.make(item);
        row.setAttribute("role", "listitem");
        this.shown.set(item.id, row);
      }
      const place = this.space.children[i - from]; // rows stand in the page as they are read
      if (place !== row) this.space.insertBefore(row, place || null);
      row.item = item;
      row.setAttribute("aria-setsize", this.items.length);
      row.setAttribute("aria-posinset", i + 1);
      row.style.top = i * height + "px";
      this.fill(row, item);
    }
  }

  close() { this.watcher.disconnect(); }
}
