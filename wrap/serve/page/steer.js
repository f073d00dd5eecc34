// Changes: each is asked about once, with what it does to whom.
import {h, id, post, say} from "./dom.js";

// ask opens the dialog. body returns what is to be sent, or null where the fields are not complete; path is where to.
function ask(title, fields, path, body, {verb, danger}) {
  const dialog = document.getElementById("dialog"), says = h("ul", {"aria-live": "polite"}), error = h("p", {class: "error", role: "alert"});
  const go = h("button", {class: danger ? "danger" : "primary", type: "submit", disabled: true}, verb);
  const form = h("form", {method: "dialog", onsubmit: submit}, h("h2", {id: "dialog-title"}, title),
    fields.length ? h("div", {class: "fields"}, fields) : null, says, error,
    h("div", {class: "end"}, h("button", {type: "button", onclick: () => dialog.close()}, "Close"), go));
  let asked = 0, timer = 0;

  async function preview() {
    const number = ++asked, value = body();
    go.disabled = true;
    if (!value) return;
    try {
      const answer = await post(path + "?dry_run=1", value);
      if (number !== asked) return;
      says.replaceChildren(...answer.says.map((line) => h("li", null, line)));
      say(error, "");
      go.disabled = false;
    } catch (e) {
      if (number !== asked) return;
      says.replaceChildren();
      say(error, e.message);
    }
  }

  async function submit(e) {
    e.preventDefault();
    go.disabled = true;
    try {
      await post(path, body());
      dialog.close();
    } catch (failure) {
      say(error, failure.message);
      go.disabled = false;
    }
  }

  form.addEventListener("input", () => {
    clearTimeout(timer);
    go.disabled = true;
    timer = setTimeout(preview, 150);
  });
  dialog.replaceChildren(form);
  dialog.showModal();
  preview();
}

const label = (text, input) => h("label", null, text, input);

// askLimit sets, unsets, pauses or resumes a limit.
export function askLimit(l) {
  const what = h("select", {"aria-label": "what to do"});
  const options = [["limit", "Set the limit"]];
  if (l.kind !== "tag") options.push(l.paused ? ["resume", "Resume"] : ["pause", "Pause"]);
  if (l.kind === "pool") options.push(["rate", "Set the rate"]);
  if (l.limit !== null) options.push(["unset", l.kind === "pool" ? "Unset: the default again" : "Unset"]);
  for (const [value, text] of options) what.append(h("option", {value}, text));
  const limit = h("input", {type: "text", inputmode: "numeric", value: l.limit === null ? "unlimited" : String(l.limit), autofocus: true});
  const rate = h("input", {type: "text", value: l.rate || "10/1m"}), reason = h("input", {type: "text", class: "wide"});
  const rows = {limit: label("limit, or unlimited", limit), rate: label("N/PERIOD, or none", rate),
    pause: label("reason, for those who wait", reason)};
  const choose = () => Object.entries(rows).forEach(([name, row]) => { row.hidden = what.value !== name; });
  what.addEventListener("change", choose);
  choose();
  ask("Limit " + l.label, [label("change", what), ...Object.values(rows)], "limits", () => {
    const body = {kind: l.kind, name: l.name};
    switch (what.value) {
    case "limit": {
      const text = limit.value.trim();
      body.limit = /^\d+$/.test(text) ? Number(text) : text || "?";
      break;
    }
    case "rate": body.rate = rate.value.trim(); break;
    case "pause": body.paused = true; body.reason = reason.value; break;
    case "resume": body.paused = false; break;
    case "unset": body.limit = null; break;
    }
    return body;
  }, {verb: "Change the limit"});
}

// askClaim cancels a claim, or gives it another priority.
export function askClaim(claim, action) {
  const priority = h("input", {type: "number", step: "1", value: String(claim.priority), autofocus: true});
  const reason = h("input", {type: "text", class: "wide"});
  const title = (action === "bump" ? "Priority of " : "Cancel ") + claim.name + " " + id(claim.id);
  ask(title, [action === "bump" ? label("higher comes first", priority) : label("reason, for its owner", reason)],
    "claims/" + encodeURIComponent(claim.id),
    () => action === "bump"
      ? /^-?\d+$/.test(priority.value) ? {action, priority: Number(priority.value)} : null
      : {action, reason: reason.value},
    {verb: action === "bump" ? "Change the priority" : "Cancel the claim", danger: action === "cancel"});
}
