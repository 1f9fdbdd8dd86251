// An entry beside the history.
const $ = s => document.querySelector(s), pane = $("#pane"), {pathname} = location;
let opened;
const row = () => $(`.history a[href="${opened}"]`), mark = on => row()?.setAttribute("aria-current", on);
onclick = e => {
  const link = e.target.closest(".history th a, #pane [rel]");
  if (!link || innerWidth < 1101 || e.ctrlKey || e.metaKey || e.shiftKey) return;
  e.preventDefault();
  if (link.rel === "up") return history.back();
  history[opened ? "replaceState" : "pushState"](0, "", link);
  mark(false);
  opened = link.getAttribute("href");
  htmx.ajax("GET", opened + (link.search ? "&" : "?") + "part=pane", {target: pane}).then(() => pane.focus({preventScroll: true}));
};
onpopstate = () => {
  if (location.pathname !== pathname) return location.reload();
  if (!opened) return;
  mark(false);
  row()?.focus();
  opened = pane.textContent = "";
};
addEventListener("htmx:after:swap", () => mark(true));
