// Now: limits with their use, who holds, who waits and for what.
import {h, id, needs, Rows, say, since} from "./dom.js";
import {askClaim, askLimit} from "./steer.js";

const maxCells = 40;

export function now(main, app) {
  let status = null, filter = "";
  const find = h("input", {type: "search", placeholder: "Find a pool, command, user or tag", "aria-label": "find",
    oninput: () => { filter = find.value.trim().toLowerCase(); draw(); }});
  const limits = h("tbody"), heldCount = h("small"), waitingCount = h("small");
  const noHeld = h("p", {class: "empty", hidden: true}, "Nobody holds a slot."), noWaiting = h("p", {class: "empty", hidden: true}, "Nobody waits.");
  const names = new Map();
  const held = new Rows("claims that hold slots", "held", makeHeld, fillHeld);
  const waiting = new Rows("claims that wait, in order", "waiting", makeWaiting, fillWaiting);
  main.append(
    h("h1", {class: "unseen"}, "Now"), h("div", {class: "tools"}, find),
    h("h2", null, "Limits"),
    h("table", {class: "limits"}, h("thead", null, h("tr", null, h("th", null, "Limit"), h("th", null, "Use"),
      h("th", {class: "num"}, "Used"), h("th", {class: "num"}, "Of"), h("th", {class: "num"}, "Waiting"), h("th", null, "Rate"),
      app.me.changes ? h("th", null, h("span", {class: "unseen"}, "Changes")) : null)), limits),
    h("div", {class: "both"},
      h("section", null, h("h2", null, "Holding", heldCount), held.host, noHeld),
      h("section", null, h("h2", null, "Waiting", waitingCount), waiting.host, noWaiting)));

  function makeHeld() {
    return h("div", {class: "row"}, h("span", {class: "title"}), h("span", {class: "dim needs"}),
      h("span", {class: "num age"}), h("span", {class: "mono dim id"}), h("span", {class: "dim who"}), acts(true));
  }

  function fillHeld(row, c) {
    const [title, takes, old, short, who] = row.children;
    say(title, c.name);
    title.title = c.command.join(" ") || c.name;
    say(takes, "holds " + (needs(c) || "a run slot"));
    say(old, since(c.granted_at));
    say(short, id(c.id) + (c.orphaned ? " · its wrapper has died" : "") + (c.cancelled ? " · cancelled " + c.cancelled : ""));
    short.classList.toggle("error", Boolean(c.orphaned || c.cancelled));
    say(who, c.user + "@" + c.host + " pid " + c.pid + tags(c));
  }

  function makeWaiting() {
    return h("div", {class: "row"}, h("span", {class: "num position"}), h("span", {class: "title"}), h("span", {class: "why"}),
      h("span", {class: "num age"}), h("span", {class: "mono dim id"}), h("span", {class: "dim who"}), acts(false));
  }

  function fillWaiting(row, c) {
    const [position, title, why, old, short, who] = row.children;
    say(position, c.aside ? "–" : String(c.position));
    say(title, c.name);
    title.title = c.command.join(" ") || c.name;
    const text = c.aside ? "stands aside" : c.blocked_by.map(block).join("; ") || "about to be granted";
    say(why, text);
    why.title = text;
    say(old, since(c.queued_at));
    say(short, id(c.id) + " asks " + (needs(c) || "a run slot") + (c.priority ? ", priority " + c.priority : ""));
    say(who, c.user + "@" + c.host + tags(c));
  }

  const tags = (c) => Object.entries(c.tags).map(([k, v]) => " " + (v ? k + "=" + v : k)).join("");

  // block names a limit in the way, and who holds it.
  function block(b) {
    if (b.why === "paused") return b.limit + " is paused";
    const by = (b.by || []).slice(0, 3).map((x) => names.get(x) || id(x)).join(", ");
    const more = (b.by || []).length - 3;
    return b.limit + " " + b.used + "/" + b.capacity + (b.why ? " " + b.why : "") + (by ? ", held by " + by : "") +
      (more > 0 ? " and " + more + " more" : "");
  }

  function acts(isHeld) {
    if (!app.me.changes) return null;
    const ask = (action) => (e) => askClaim(e.target.closest(".row").item, action);
    return h("span", {class: "acts"}, isHeld ? null : h("button", {class: "quiet", onclick: ask("bump")}, "Priority"),
      h("button", {class: "quiet", onclick: ask("cancel")}, "Cancel"));
  }

  // rows of limits are made once each, and filled.
  const made = new Map();
  function limitRow(l) {
    let row = made.get(l.key);
    if (!row) {
      row = h("tr", null, h("td", {class: "name"}), h("td", {class: "meter"}), h("td", {class: "num"}), h("td", {class: "num"}),
        h("td", {class: "num"}), h("td", {class: "rate"}),
        app.me.changes ? h("td", {class: "num"}, h("button", {class: "quiet", onclick: () => askLimit(row.limit)}, "Change")) : null);
      made.set(l.key, row);
    }
    row.limit = l;
    const [name, meterCell, used, of, waits, rate] = row.children;
    say(name, l.label);
    meter(meterCell, l);
    say(used, String(l.used));
    say(of, l.limit === null ? "no limit" : String(l.limit));
    say(waits, l.waiting ? String(l.waiting) : "");
    waits.classList.toggle("waits", l.waiting > 0);
    waits.setAttribute("aria-label", l.waiting + " waiting");
    if (l.paused) {
      const text = "paused by " + l.paused.by + (l.paused.reason ? ": " + l.paused.reason : "");
      if (rate.textContent !== "paused" || rate.title !== text) rate.replaceChildren(h("span", {class: "badge"}, "paused"));
      rate.title = text;
    } else {
      say(rate, l.rate || "");
      rate.removeAttribute("title");
    }
    return row;
  }

  function meter(cell, l) {
    const full = l.limit !== null && l.used >= l.limit, key = l.used + "/" + l.limit;
    if (cell.dataset.key === key) return;
    cell.dataset.key = key;
    if (l.limit !== null && l.limit > 0 && l.limit <= maxCells) {
      const cells = h("div", {class: "cells" + (full ? " full" : "")});
      for (let i = 0; i < Math.max(l.limit, l.used); i++) cells.append(h("i", {class: i < l.used ? "used" : null}));
      cell.replaceChildren(cells);
      return;
    }
    if (l.limit === null) {
      cell.replaceChildren();
      return;
    }
    const bar = h("div"), share = l.limit ? l.used / l.limit : l.used ? 1 : 0;
    bar.style.width = Math.min(100, 100 * share) + "%";
    cell.replaceChildren(h("div", {class: "bar" + (full ? " full" : "")}, bar));
  }

  const about = (...texts) => !filter || texts.join(" ").toLowerCase().includes(filter);
  const claimText = (c) => [c.name, c.command.join(" "), c.id, c.user, c.host, needs(c), tags(c)];

  function draw() {
    if (!status) return;
    names.clear();
    for (const c of [...status.held, ...status.waiting]) names.set(c.id, c.name);
    const rows = limitsOf(status).filter((l) => about(l.label)).map(limitRow);
    if (rows.length !== limits.children.length || rows.some((r, i) => limits.children[i] !== r)) limits.replaceChildren(...rows);
    const holds = status.held.filter((c) => about(...claimText(c)));
    const waits = status.waiting.filter((c) => about(...claimText(c), c.blocked_by.map(block).join(" ")));
    const count = (shown, all) => shown === all ? String(all) : shown + " of " + all;
    say(heldCount, count(holds.length, status.held.length));
    say(waitingCount, count(waits.length, status.waiting.length) +
      (waits.length ? ", the first for " + since(waits.map((c) => c.queued_at).sort()[0]) : ""));
    held.host.hidden = !holds.length;
    noHeld.hidden = Boolean(holds.length);
    waiting.host.hidden = !waits.length;
    noWaiting.hidden = Boolean(waits.length);
    held.set(holds);
    waiting.set(waits);
  }

  return {
    update(s) { status = s; draw(); },
    tick() { held.draw(); waiting.draw(); },
    close() { held.close(); waiting.close(); },
  };
}

// limitsOf lists all limits of a status, in one form.
export function limitsOf(status) {
  const rows = [{key: "runs", kind: "runs", name: "", label: "runs", ...status.runs}];
  for (const p of status.pools) rows.push({key: "pool:" + p.name, kind: "pool", label: p.name, ...p});
  for (const t of status.tag_limits) {
    const name = t.key + (t.value !== null ? "=" + t.value : "");
    rows.push({key: "tag:" + name, kind: "tag", label: "tag " + name + (t.per_value && t.value === null ? " (each value)" : ""),
      ...t, name});
  }
  return rows;
}
