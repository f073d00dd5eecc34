// What if: a slider for each limit; the remembered claims are replayed with what they say.
import {h, post, say, short} from "./dom.js";
import {limitsOf} from "./now.js";

const spans = [["", "all that is remembered"], ["1h", "the last hour"], ["1d", "the last day"], ["7d", "the last 7 days"]];

export function whatIf(main) {
  const sliders = h("div", {class: "sliders"}), result = h("div", {class: "scroll"}), advice = h("p", {class: "advice", role: "status"});
  const unknown = h("div"), error = h("p", {class: "error", role: "alert"}), wanted = new Map();
  const period = h("select", {"aria-label": "of which time", onchange: soon});
  for (const [value, text] of spans) period.append(h("option", {value}, text));
  const reset = h("button", {type: "button", onclick: () => { wanted.clear(); if (limits.length) make(limits); soon(); }}, "As it is now");
  main.append(h("h1", {class: "unseen"}, "What if"), h("div", {class: "tools"}, h("span", {class: "dim"}, "Replay"), period, reset),
    sliders, error, advice, result, unknown);
  let limits = [], asked = 0, timer = 0;

  function make(rows) {
    limits = rows;
    sliders.replaceChildren(...rows.map((l) => {
      const top = Math.max(10, (l.limit ?? 0) * 3, l.used + l.waiting), now = l.limit ?? top + 1;
      const name = "slider " + l.key, out = h("output", {class: "num", for: name});
      const input = h("input", {type: "range", id: name, min: l.kind === "runs" ? "1" : "0", max: String(top + 1), value: String(now),
        oninput: () => {
          const value = Number(input.value);
          if (value === now) wanted.delete(l.key);
          else wanted.set(l.key, value > top ? null : value);
          text();
          soon();
        }});
      function text() {
        const value = Number(input.value), shown = value > top ? "no limit" : String(value);
        say(out, value === now ? shown : (l.limit ?? "no limit") + " → " + shown);
        input.setAttribute("aria-valuetext", out.textContent);
      }
      text();
      return h("div", {class: "slider"}, h("label", {for: name, title: l.label}, l.label), input, out);
    }));
  }

  function soon() {
    clearTimeout(timer);
    timer = setTimeout(load, 200);
  }

  async function load() {
    const number = ++asked, body = {pools: {}, tag_limits: {}, since: period.value};
    for (const l of limits) {
      if (!wanted.has(l.key)) continue;
      const n = wanted.get(l.key);
      if (l.kind === "pool") body.pools[l.name] = n;
      else if (l.kind === "runs") body.runs = n ?? -1;
      else body.tag_limits[l.name] = n ?? -1;
    }
    result.classList.add("busy-now");
    try {
      const report = await post("simulate", body);
      if (number !== asked) return;
      say(error, "");
      show(report);
    } catch (e) {
      if (number === asked) say(error, e.message);
    } finally {
      if (number === asked) result.classList.remove("busy-now");
    }
  }

  function show(r) {
    if (!r.now.claims) {
      result.replaceChildren(h("p", {class: "empty"}, "No claim is remembered that could be replayed."));
      say(advice, "");
      advice.hidden = true;
      unknown.replaceChildren();
      return;
    }
    const row = (name, w, more) => h("tr", null, h("td", null, name), [short(w.median), short(w.p95), short(w.longest), short(w.sum),
      ...more].map((t) => h("td", {class: "num"}, String(t))));
    const of = (name, v) => row(name, v.waited, [v.claims, v.left, v.refused + v.stuck, busiest(v)]);
    const changed = wanted.size > 0;
    result.replaceChildren(h("table", null, h("thead", null, h("tr", null, ["", "Wait, median", "95%", "longest", "sum", "Claims", "Left", "Never", "Busiest"]
      .map((t, i) => h("th", {class: i ? "num" : null}, t)))), h("tbody", null,
      row("measured", r.accuracy.measured, ["", "", "", ""]), of("replayed as now", r.now),
      changed ? r.variants.map((v) => of(v.change, v)) : [])));
    say(advice, changed ? r.advice : "Move a slider: the claims are replayed with that limit.");
    advice.hidden = !advice.textContent;
    const off = [r.accuracy.median, r.accuracy.p95].map((x) => (100 * x).toFixed(1) + "%").join(" and ");
    unknown.replaceChildren(h("h2", null, "How true is it"), h("p", null, "The replay of now is off what was measured by " + off +
      " (median and 95%)."), h("ul", {class: "dim"}, r.unknown.map((t) => h("li", null, t))));
  }

  const busiest = (v) => v.limits.filter((l) => l.busy !== null).sort((a, b) => b.busy - a.busy).slice(0, 2)
    .map((l) => l.limit + " " + Math.round(l.busy * 100) + "%").join(", ");

  let names = "";
  load();
  return {
    update(status) { // limits that are moved stay as they were put
      const rows = limitsOf(status), now = rows.map((l) => l.key + l.limit).join("\n");
      if (now === names) return;
      names = now;
      wanted.clear();
      make(rows);
    },
  };
}
