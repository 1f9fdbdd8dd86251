// Every page works without this file.
(() => {
  const $ = (s, n = document) => n.querySelector(s), $$ = (s, n = document) => [...n.querySelectorAll(s)];
  const on = (type, act, n = document) => n.addEventListener(type, act);
  const live = $("#live"), trouble = $("#trouble"), dialog = $("#dialog"), inside = $("#dialog-body"), keys = $("#keys");
  const say = text => { $("#said").textContent = text; };
  let fresh = Date.now(), opener, waiting;

  // UTC becomes local times and distances.
  const units = [[86400, " d"], [3600, " h"], [60, " min"], [1, " s"]];
  const span = s => {
    const i = units.findIndex(([size]) => s >= size), [size, unit] = units[i], [below, name] = units[i + 1] || [1];
    const rest = Math.floor(s % size / below);
    return Math.floor(s / size) + unit + (rest && s < size * 10 ? " " + rest + name : "");
  };
  const times = () => {
    for (const t of $$("time")) {
      const at = new Date(t.dateTime ||= t.textContent), d = (at - Date.now()) / 1000, today = at.toDateString() === new Date().toDateString();
      if (isNaN(at)) continue;
      const text = t.dataset.form === "clock" ? today ? at.toLocaleTimeString() : at.toLocaleString([], {dateStyle: "medium", timeStyle: "short"})
        : t.dataset.form ? span(Math.max(1, -d)) : Math.abs(d) < 1 ? "now" : d > 0 ? "in " + span(d) : span(-d) + " ago";
      if (t.textContent !== text) t.textContent = text;
      t.title ||= t.dateTime;
    }
  };

  // Polls are for when no stream is open.
  on("htmx:before:request", e => {
    const polled = e.detail.ctx?.sourceEvent?.type === "every";
    if (polled && (document.hidden || live?.dataset.stream)) return e.preventDefault();
    if (!polled && e.target !== live) waiting = setTimeout(() => document.body.classList.add("busy"), 300);
  });
  const rest = () => { clearTimeout(waiting); document.body.classList.remove("busy"); };
  on("htmx:finally:request", rest);
  const well = () => { fresh = Date.now(); trouble.replaceChildren(); $(".stale")?.classList.remove("stale"); };
  on("htmx:sse:after:connection", () => { live.dataset.stream = "open"; well(); });
  for (const gone of ["close", "error"]) on("htmx:sse:" + gone, () => { delete live.dataset.stream; });
  on("htmx:after:request", well);
  on("htmx:error", e => {
    rest();
    if (trouble.firstChild || e.target === live) return;
    trouble.append("No answer.", Object.assign(document.createElement("button"), {textContent: "Retry", onclick: () => location.reload()}));
  });
  setInterval(() => {
    if (document.hidden) return;
    times();
    const age = Math.round((Date.now() - fresh) / 1000), region = $("#now, #rows");
    if (!region || !live || live.dataset.stream || age < 20) return;
    region.classList.add("stale");
    region.title = "updated " + age + " s ago";
  }, 1000);

  // A state is announced at most once in 5 s.
  const state = () => $("[data-announce]")?.dataset.announce;
  let told = state(), last = 0, later;
  const announce = () => {
    if (!state() || state() === told) return;
    clearTimeout(later);
    later = setTimeout(() => { told = state(); last = Date.now(); say("Now " + told); }, last + 5000 - Date.now());
  };
  const dress = () => { times(); $$("[data-copy]").forEach(b => b.hidden = false); };
  on("htmx:after:swap", () => {
    dress(); announce();
    if (opener && inside.firstElementChild && !dialog.open) { dialog.showModal(); $("input:not([type=hidden]), button", inside)?.focus(); }
  });

  const write = (text, what) => navigator.clipboard.writeText(text).then(() => say(what));
  on("click", e => {
    const near = s => e.target.closest(s), link = near("[data-dialog]"), copy = near("[data-copy]");
    if (link) { opener = link; inside.replaceChildren(); }
    if (near("[data-close]") && dialog.open) { e.preventDefault(); dialog.close(); }
    if (copy) write(copy.dataset.copy, "Copied");
    if (near("#keys-button")) keys.showModal();
  });
  on("close", () => { (opener?.isConnected ? opener : $(`[data-verb="${opener?.dataset.verb}"]`))?.focus(); opener = null; }, dialog);
  on("submit", e => {
    const b = e.submitter, all = $$("button", e.target);
    if (b?.dataset.busy) setTimeout(() => { b.textContent = b.dataset.busy; all.forEach(n => n.disabled = true); });
  });
  onpageshow = e => { if (e.persisted) location.reload(); };

  const box = $("#keys-on"), store = localStorage;
  box.checked = store.keys !== "off";
  on("change", () => { store.keys = box.checked ? "on" : "off"; }, box);
  $("#keys-button").hidden = false;
  const step = (what, by) => () => { const all = $$(what), here = document.activeElement, i = all.indexOf(all.includes(here) ? here : $(".history [aria-current=true]")); all[i < 0 && by < 0 ? all.length - 1 : i + by]?.focus(); };
  const press = s => () => $(s)?.click(), row = "[data-row], .history th a", bad = ".failing th a", data = (n, v) => press(`[data-${n}="${v}"]`);
  const acts = {
    "?": () => keys.showModal(), j: step(row, 1), k: step(row, -1), n: step(bad, 1), p: step(bad, -1), "/": () => $("#filter")?.focus(),
    f: data("chip", "failures"), o: press("[data-order]"), "[": data("window", "previous"), "]": data("window", "next"), Escape: press("[rel=up]"),
    ".": () => $("#verbs a, #verbs button")?.focus(), R: data("verb", "recover"), X: data("verb", "cancel"), c: () => write(location.href, "Link copied"), t: press("[data-view]"),
  };
  const places = {h: "/", r: "/runs", b: "/bulk", w: "/workflows", m: "/migrate", t: "/timers", s: "/system"};
  let g = 0;
  on("keydown", e => {
    if (!box.checked || e.ctrlKey || e.metaKey || e.altKey || e.target.closest("input:not([type=checkbox]), textarea, select, dialog")) return;
    if (Date.now() - g < 1000 && places[e.key]) return location.assign(places[e.key]);
    g = e.key === "g" ? Date.now() : 0;
    if (acts[e.key]) { e.preventDefault(); acts[e.key](); }
  });
  dress();
})();
