// Draws the timeline: only the rows in sight, so that thousands scroll smoothly.
(function () {
  "use strict";
  var data = JSON.parse(document.getElementById("data").textContent);
  var view = document.getElementById("timeline"), rows = document.getElementById("rows"), axis = document.getElementById("axis");
  var find = document.getElementById("find"), order = document.getElementById("order"), only = document.getElementById("only");
  var detail = document.getElementById("detail"), count = document.getElementById("count");
  var high = 18, chosen = -1, zoom = 1, shown = [];
  function colour(limit) {
    return limit < 0 ? "var(--line)" : "hsl(" + ((limit * 137 + 205) % 360) + " 62% var(--light))";
  }
  document.querySelectorAll("[data-limit]").forEach(function (e) { e.style.background = colour(+e.dataset.limit); });
  function seconds(ms) { return ms < 100 ? ms.toFixed(0) + " ms" : ms < 60000 ? (ms / 1000).toFixed(1) + " s" : Math.floor(ms / 60000) + " m " + Math.round(ms % 60000 / 1000) + " s"; }
  function middle(text, most) { // the ends tell most long names apart
    return text.length <= most ? text : text.slice(0, Math.ceil(most / 2) - 1) + "…" + text.slice(-Math.floor(most / 2));
  }
  var short = {}, shortened = 0; // names of steps as labels of a width
  function labels(most) {
    if (shortened === most) return;
    shortened = most; short = {};
    var alike = {};
    data.rows.forEach(function (r) {
      if (short[r.i] === undefined) {
        var text = short[r.i] = middle(r.i, most);
        (alike[text] = alike[text] || []).push(r.i);
      }
    });
    Object.keys(alike).forEach(function (text) { if (alike[text].length > 1) differ(alike[text], most); });
  }
  function differ(names, most) { // keep the part in which they differ
    var first = names[0], from = 0, to = 0;
    while (names.every(function (n) { return from < n.length && n[from] === first[from]; })) from++;
    while (names.every(function (n) { return to < n.length - from && n[n.length - 1 - to] === first[first.length - 1 - to]; })) to++;
    names.forEach(function (n) {
      var own = middle(n.slice(from, n.length - to), most - 4), room = most - own.length - 2;
      var head = n.slice(0, Math.min(from, Math.ceil(room / 2))), tail = n.slice(n.length - Math.min(to, Math.floor(room / 2)));
      short[n] = head + (head.length < from ? "…" : "") + own + (tail.length < to ? "…" : "") + (to ? tail : "");
    });
  }
  var marks = { failed: "✗ ", tolerated: "~ ", open: "… " }; // the state, for those who see no colours
  function choose() {
    var words = find.value.toLowerCase();
    shown = data.rows.filter(function (r) {
      if (only.checked && r.t !== "failed") return false;
      return !words || (r.i + " " + (r.o || []).join(" ")).toLowerCase().indexOf(words) >= 0;
    });
    var by = { start: function (a, b) { return a.s - b.s; }, wait: function (a, b) { return (b.s - b.r) - (a.s - a.r); },
      took: function (a, b) { return (b.e - b.s) - (a.e - a.s); }, id: function (a, b) { return a.i < b.i ? -1 : a.i > b.i ? 1 : a.n - b.n; } };
    shown.sort(by[order.value]);
    count.textContent = shown.length;
    chosen = -1;
    rows.style.height = shown.length * high + "px";
    draw();
  }
  function labelWidth() { return matchMedia("(max-width:800px)").matches ? 140 : 260; }
  function draw() {
    var wide = Math.max(200, (view.clientWidth - labelWidth()) * zoom);
    var scale = wide / Math.max(data.total, 0.001);
    rows.style.width = axis.style.width = wide + labelWidth() + "px";
    var first = Math.max(0, Math.floor(view.scrollTop / high) - 5), last = Math.min(shown.length, first + Math.ceil(view.clientHeight / high) + 10);
    var fresh = document.createDocumentFragment();
    for (var k = first; k < last; k++) fresh.appendChild(row(shown[k], k, scale));
    rows.replaceChildren(fresh);
    ticks(wide, scale);
  }
  function bar(kind, from, long, scale, paint) {
    var i = document.createElement("i");
    i.className = kind;
    i.style.left = from * scale + "px";
    i.style.width = Math.max(long * scale, 1) + "px";
    if (paint) i.style.background = paint;
    return i;
  }
  function row(r, k, scale) {
    var e = document.createElement("div"), label = document.createElement("div"), bars = document.createElement("div");
    e.className = "row" + (k === chosen ? " chosen" : "");
    e.style.top = k * high + "px";
    e.setAttribute("role", "option");
    e.setAttribute("aria-selected", k === chosen);
    e.dataset.k = k;
    label.className = "label" + (r.c ? " critical" : "");
    labels((labelWidth() === 260 ? 33 : 17) - 2);
    label.textContent = (marks[r.t] || "") + short[r.i] + (r.n > 1 ? " #" + r.n : "");
    label.title = r.i;
    bars.className = "bars";
    var at = r.r;
    (r.w || []).forEach(function (w) { bars.appendChild(bar("wait", at, w[1], scale, colour(w[0]))); at += w[1]; });
    bars.appendChild(bar(r.t + (r.c ? " critical" : ""), r.s, r.e - r.s, scale));
    e.append(label, bars);
    return e;
  }
  function ticks(wide, scale) {
    var steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000, 60000, 120000, 300000, 600000, 1800000, 3600000, 7200000, 21600000, 86400000];
    var step = steps.find(function (s) { return s * scale > 80; }) || 86400000, fresh = document.createDocumentFragment();
    for (var t = 0; t <= data.total && t / step < 2000; t += step) {
      var s = document.createElement("span");
      s.style.left = labelWidth() + t * scale + "px";
      s.textContent = step < 1000 && data.total < 10000 ? t + " ms" : seconds(t);
      fresh.appendChild(s);
    }
    axis.replaceChildren(fresh);
  }
  function select(k) {
    if (!shown.length) return;
    chosen = Math.max(0, Math.min(shown.length - 1, k));
    var top = chosen * high, room = view.clientHeight - 22;
    if (top < view.scrollTop) view.scrollTop = top;
    if (top + high > view.scrollTop + room) view.scrollTop = top + high - room;
    var r = shown[chosen], text = r.i + ", attempt " + r.n + ": " + (r.h || r.t) + "\nran " + seconds(r.e - r.s) + " from " + seconds(r.s);
    if (r.s > r.r) text += "\nwaited " + seconds(r.s - r.r) + ": " + (r.w || []).map(function (w) { return (w[0] < 0 ? "starting" : data.limits[w[0]]) + " " + seconds(w[1]); }).join(", ");
    if (r.d) text += "\nneeds " + r.d.join(", ");
    if (r.o) text += "\n" + r.o.join(", ");
    if (r.x !== undefined) text += "\n$ " + data.commands[r.x];
    detail.textContent = text;
    draw();
  }
  var asked = false;
  view.addEventListener("scroll", function () {
    if (asked) return;
    asked = true;
    requestAnimationFrame(function () { asked = false; draw(); });
  });
  addEventListener("resize", draw);
  rows.addEventListener("click", function (e) { var r = e.target.closest(".row"); if (r) select(+r.dataset.k); });
  view.addEventListener("keydown", function (e) {
    var page = Math.floor(view.clientHeight / high) - 2;
    var to = { ArrowDown: chosen + 1, ArrowUp: chosen - 1, PageDown: chosen + page, PageUp: chosen - page, Home: 0, End: shown.length - 1 }[e.key];
    if (to !== undefined) { e.preventDefault(); select(to); return; }
    if (e.key === "+" || e.key === "=") { zoom = Math.min(zoom * 1.5, 200); draw(); }
    if (e.key === "-") { zoom = Math.max(zoom / 1.5, 1); draw(); }
  });
  addEventListener("keydown", function (e) {
    if (e.key === "/" && document.activeElement !== find) { e.preventDefault(); find.focus(); }
    if (e.key === "Escape" && document.activeElement === find) { find.value = ""; choose(); view.focus(); }
  });
  [find, order, only].forEach(function (e) { e.addEventListener("input", choose); });
  document.querySelectorAll("[data-zoom]").forEach(function (b) {
    b.addEventListener("click", function () {
      var svg = document.querySelector(".graph svg");
      svg.setAttribute("width", svg.getAttribute("width") * b.dataset.zoom);
      svg.setAttribute("height", svg.getAttribute("height") * b.dataset.zoom);
    });
  });
  choose();
})();
