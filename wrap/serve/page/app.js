// The page of limit serve: which view is shown, the state that the server sends, and who may change something.
import {get, h, plural, say} from "./dom.js";
import {now} from "./now.js";
import {sinceView} from "./since.js";
import {whatIf} from "./whatif.js";
import {dags} from "./dags.js";

const views = {"now": now, "since": sinceView, "what-if": whatIf, "dags": dags};
const at = (id) => document.getElementById(id);

// app is what views know of each other.
export const app = {status: null, me: {changes: false}};
let view = null, lastSeen = null, stream = null, spoken = 0;

function show() {
  const [name, ...rest] = location.hash.slice(1).split("/");
  const known = views[name] ? name : "now";
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === "#" + known) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (view && view.close) view.close();
  at("main").replaceChildren();
  view = views[known](at("main"), app, rest.map(decodeURIComponent));
  if (app.status && view.update) view.update(app.status);
  title();
}

function title() {
  const waiting = app.status ? app.status.waiting.length : 0;
  document.title = (waiting ? waiting + " waiting · " : "") + "limit";
}

// take shows a new state. What is read aloud is the counts, not more often than people can listen.
function take(status) {
  app.status = status;
  lastSeen = new Date();
  link("live", "live");
  at("stale").hidden = true;
  say(at("where"), status.namespace + " · " + status.backend);
  if (view && view.update) view.update(status);
  title();
  if (Date.now() - spoken > 15000) {
    spoken = Date.now();
    say(at("counts"), plural(status.held.length, "claim") + " held, " + status.waiting.length + " waiting");
  }
}

function link(kind, text) {
  at("link").className = "link " + kind;
  say(at("link"), text);
}

function lose(text) {
  link("lost", "not connected");
  at("stale").hidden = false;
  say(at("stale"), text + (lastSeen ? " What is shown is from " + lastSeen.toLocaleTimeString() + "." : ""));
}

function connect() {
  stream = new EventSource("/api/v1/events");
  stream.addEventListener("status", (e) => take(JSON.parse(e.data)));
  stream.addEventListener("unreachable", (e) => lose("The store does not answer: " + JSON.parse(e.data).error + "."));
  stream.onerror = () => {
    lose("limit serve does not answer.");
    if (stream.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  };
}

function help() {
  const dialog = at("dialog"), row = (key, what) => h("tr", null, h("td", null, h("kbd", null, key)), h("td", null, what));
  dialog.replaceChildren(h("h2", {id: "dialog-title"}, "Keys"), h("table", null, h("tbody", null,
    row("1 2 3 4", "Now, Since, What if, Dags"), row("/", "find"), row("?", "this"), row("Esc", "close a dialog"))),
    h("form", {method: "dialog"}, h("div", {class: "end"}, h("button", {autofocus: true}, "Close"))));
  dialog.showModal();
}

addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || e.target.matches("input, select, textarea") || at("dialog").open) return;
  const name = Object.keys(views)[e.key - 1];
  if (name) location.hash = name;
  else if (e.key === "?") help();
  else if (e.key === "/" && document.querySelector("input[type=search]")) {
    e.preventDefault();
    document.querySelector("input[type=search]").focus();
  }
});
at("keys").addEventListener("click", help);
addEventListener("hashchange", show);
setInterval(() => view && view.tick && view.tick(), 1000);

get("me").then((me) => { app.me = me; }).catch(() => {}).finally(() => {
  show();
  connect();
});
