// Since: use and waiting over time, what the limits cost, and what has ended last.
import {get, h, id, local, say, short, svg} from "./dom.js";

const spans = [["1h", "1 hour"], ["6h", "6 hours"], ["1d", "1 day"], ["7d", "7 days"], ["", "all"]];
const width = 1000, height = 110;

export function sinceView(main) {
  let span = "", asked = 0;
  const charts = h("div", {class: "charts"}), waits = h("tbody"), ended = h("tbody"), error = h("p", {class: "error", role: "alert"});
  const advice = h("p", {class: "advice"}), none = h("p", {class: "empty"}, "No claim has ended in this time.");
  const tables = h("div");
  const buttons = spans.map(([value, text]) => h("button", {type: "button", "aria-pressed": String(value === span), onclick: () => {
    span = value;
    buttons.forEach((b, i) => b.setAttribute("aria-pressed", String(spans[i][0] === span)));
    load();
  }}, text));
  main.append(h("h1", {class: "unseen"}, "Since"), h("div", {class: "tools"},
    h("div", {class: "segments", role: "group", "aria-label": "time"}, buttons),
    h("span", {class: "key"}, "slots held"), h("span", {class: "key wait"}, "claims waiting")), error, charts, tables, none);
  tables.append(advice, h("h2", null, "Waits by limit"), h("div", {class: "scroll"}, h("table", null, h("thead", null, h("tr", null,
    ["Limit", "Of", "Ended", "Left", "Wait, median", "95%", "longest", "Hold, median", "Busy"]
      .map((t, i) => h("th", {class: i ? "num" : null}, t)))), waits)),
  h("h2", null, "Ended last"), h("div", {class: "scroll"}, h("table", null, h("thead", null, h("tr", null,
    ["Ended", "Claim", "", "Asked", "Waited", "Ran", "Who", "How"]
      .map((t, i) => h("th", {class: i === 4 || i === 5 ? "num" : null}, t)))), ended)));

  async function load() {
    const number = ++asked, query = span ? "since=" + span : "";
    main.setAttribute("aria-busy", "true");
    try {
      const [series, stats, history] = await Promise.all([get("series?buckets=160&" + query), get("stats?" + query),
        get("history?limit=50&" + query)]);
      if (number !== asked) return;
      say(error, "");
      charts.replaceChildren(...series.limits.map((l) => chart(series, l)));
      waits.replaceChildren(...stats.limits.map(waitRow));
      ended.replaceChildren(...history.ended.reverse().map(endedRow));
      say(advice, stats.advice);
      advice.hidden = !stats.advice;
      none.hidden = history.ended.length > 0;
      tables.hidden = !history.ended.length;
    } catch (e) {
      if (number === asked) say(error, e.message);
    } finally {
      main.removeAttribute("aria-busy");
    }
  }

  load();
  return {};
}

// chart draws one limit: slots held as an area, claims that wait as a line, the limit of now dashed.
function chart(series, l) {
  const most = Math.max(1, l.capacity || 0, ...l.used, ...l.waiting) * 1.08, n = l.used.length;
  const x = (i) => (i * width / n).toFixed(1), y = (v) => (height - v / most * height).toFixed(1);
  const steps = (values) => values.map((v, i) => "L" + x(i) + " " + y(v) + "L" + x(i + 1) + " " + y(v)).join("");
  const peak = Math.max(...l.used), longest = Math.max(...l.waiting);
  const about = l.name + ": at most " + peak.toFixed(1) + " slots held" + (l.capacity === null ? "" : " of " + l.capacity) +
    ", at most " + longest.toFixed(1) + " claims waiting";
  const drawing = svg("svg", {class: "chart", viewBox: "0 0 " + width + " " + height, preserveAspectRatio: "none", role: "img",
    "aria-label": about},
  svg("path", {class: "use", d: "M0 " + height + steps(l.used) + "L" + width + " " + height + "Z"}),
  svg("path", {class: "wait", d: "M0 " + y(l.waiting[0]) + steps(l.waiting)}));
  if (l.capacity) drawing.append(svg("line", {class: "cap", x1: 0, x2: width, y1: y(l.capacity), y2: y(l.capacity)}));
  return h("figure", null, h("figcaption", null, h("b", null, l.name),
    h("span", {class: "dim"}, (l.capacity === null ? "no limit" : "limit " + l.capacity) + ", waiting at most " + (longest < 10 ? longest.toFixed(1) : Math.round(longest)) + " on average over " + short(series.step_seconds))),
  drawing, h("div", {class: "ends"}, h("span", null, local(series.from)), h("span", null, local(series.to))));
}

function waitRow(l) {
  const cells = [l.capacity === null ? "no limit" : l.capacity, l.ended, l.left, short(l.waited.median), short(l.waited.p95),
    short(l.waited.longest), short(l.held.median), l.busy === null ? "–" : Math.round(l.busy * 100) + "%"];
  return h("tr", null, h("td", null, l.limit), cells.map((c) => h("td", {class: "num"}, String(c))));
}

function endedRow(c) {
  const how = c.outcome === "exited" ? "exit " + c.exit_code : (c.signal || c.outcome.replaceAll("_", " ") || (c.granted_at ? "–" : "left"));
  const asked = Object.entries(c.pools).map(([name, n]) => n === 1 ? name : name + "=" + n).join(", ");
  return h("tr", null, h("td", {class: "dim"}, local(c.ended_at)), h("td", null, c.name), h("td", {class: "mono dim"}, id(c.id)),
    h("td", null, asked || (c.runs ? "a run slot" : "")), h("td", {class: "num"}, c.outcome === "changed" ? "" : short(c.waited)),
    h("td", {class: "num"}, c.granted_at && c.outcome !== "changed" ? short(c.held) : "–"), h("td", {class: "dim"}, c.user + "@" + c.host),
    h("td", {class: c.outcome !== "changed" && how !== "exit 0" ? "error" : null}, how + (c.reason ? " (" + c.reason + ")" : "")));
}
