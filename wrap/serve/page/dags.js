// Dags: the runs of this machine, and of one run its steps, its timeline and its logs.
import {get, h, id, local, needs, say, short} from "./dom.js";

const kinds = {succeeded: "ok", failed: "bad", killed: "bad", running: "", queued: ""};
const badge = (state) => h("span", {class: "badge " + (kinds[state] ?? "")}, state);

export function dags(main, app, [run, step]) {
  return run ? oneRun(main, run, step) : list(main);
}

function list(main) {
  const rows = h("tbody"), error = h("p", {class: "error", role: "alert"}), none = h("p", {class: "empty", hidden: true},
    "No run of a dag of this user is kept on this machine. 'limit dag run FILE' makes one.");
  const table = h("div", {class: "scroll"}, h("table", null, h("thead", null, h("tr", null,
    ["Run", "Dag", "State", "Steps", "Started", "Took"].map((t, i) => h("th", {class: i === 3 || i === 5 ? "num" : null}, t)))), rows));
  main.append(h("h1", null, "Runs of dags"), error, table, none);
  async function load() {
    try {
      const runs = await get("dags");
      say(error, "");
      none.hidden = runs.length > 0;
      table.hidden = !runs.length;
      rows.replaceChildren(...runs.map((r) => h("tr", null,
        h("td", {class: "mono"}, h("a", {href: "#dags/" + r.id}, id(r.id))), h("td", null, r.name), h("td", null, badge(r.state)),
        h("td", {class: "num"}, (r.counts.succeeded + r.counts.tolerated + r.counts.done_before) + " of " + r.counts.total),
        h("td", {class: "dim"}, local(r.started)), h("td", {class: "num"}, short(r.took)))));
    } catch (e) {
      say(error, e.message);
    }
  }
  load();
  return {update: load};
}

function oneRun(main, run, step) {
  const title = h("h1"), about = h("p", {class: "dim"}), rows = h("tbody"), error = h("p", {class: "error", role: "alert"});
  const timeline = h("a", {href: "/dags/" + encodeURIComponent(run), target: "_blank", rel: "noopener"}, "Timeline");
  const following = log(run, step);
  main.append(h("p", null, h("a", {href: "#dags"}, "All runs")), title, about, h("p", null, timeline), error, following || "",
    h("div", {class: "scroll"}, h("table", null, h("thead", null, h("tr", null,
      ["Step", "State", "Pools", "Attempts", "Took", "Log"].map((t, i) => h("th", {class: i === 3 || i === 4 ? "num" : null}, t)))), rows)));
  let timer = 0;
  async function load() {
    try {
      const r = await get("dags/" + encodeURIComponent(run));
      say(error, "");
      title.replaceChildren(r.name + " ", badge(r.state));
      say(about, id(r.id) + " of " + r.file + ", started " + local(r.started) + ", " + short(r.took) + (r.reason ? ", " + r.reason : ""));
      rows.replaceChildren(...r.steps.map(stepRow));
      clearTimeout(timer);
      if (r.state === "running" || r.state === "queued") timer = setTimeout(load, 2000);
    } catch (e) {
      say(error, e.message);
    }
  }
  function stepRow(s) {
    const last = s.attempts[s.attempts.length - 1], end = last && last.end !== null ? last.end - last.start : null;
    const why = s.reason || (last && last.signal) || (last && last.exit_code ? "exit " + last.exit_code : "");
    const bad = /^(failed|killed|timed)/.test(s.state), good = s.state.startsWith("succeeded");
    return h("tr", null, h("td", null, s.id), h("td", null, h("span", {class: bad ? "error" : good ? "" : "waits"}, s.state),
      why ? h("span", {class: "dim"}, " " + why) : null), h("td", null, needs({pools: s.pools || {}})),
    h("td", {class: "num"}, String(s.attempts.length || "")), h("td", {class: "num"}, end === null ? "" : short(end)),
    h("td", null, last ? h("a", {href: "#dags/" + run + "/" + encodeURIComponent(s.id)}, "log") : ""));
  }
  load();
  return {close() { clearTimeout(timer); if (following) following.end(); }};
}

// log follows what a step prints.
function log(run, step) {
  if (!step) return null;
  const ending = new AbortController(), text = h("pre", {class: "log", tabindex: "0", "aria-label": "log of " + step});
  const section = h("section", {class: "log"}, h("h2", null, "Log of " + step), text);
  section.end = () => ending.abort();
  (async () => {
    const response = await fetch("/api/v1/dags/" + encodeURIComponent(run) + "/logs/" + encodeURIComponent(step) + "?follow=1",
      {signal: ending.signal});
    if (!response.ok) throw new Error((await response.json()).error);
    for (const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();;) {
      const {value, done} = await reader.read();
      if (done) break;
      const below = text.scrollTop + text.clientHeight > text.scrollHeight - 30;
      text.append(value);
      while (text.childNodes.length > 5000) text.firstChild.remove(); // what came first of a very long log
      if (below) text.scrollTop = text.scrollHeight;
    }
    if (!text.textContent) text.append("It has printed nothing.");
  })().catch((e) => { if (e.name !== "AbortError") text.append("\n" + e.message); });
  return section;
}
