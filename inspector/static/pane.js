// On a wide window an entry opens beside the history, under its own address.
const $ = s => document.querySelector(s), pane = $("#pane"), home = location.href;
let opened;
const row = () => $(`.history a[href="${opened}"]`), mark = on => row()?.setAttribute("aria-current", on);
const shut = () => {
  history.replaceState(0, "", home);
  mark(false);
  row()?.focus();
  opened = pane.textContent = "";
};
onclick = e => {
  const link = e.target.closest(".history th a, #pane [rel]");
  if (!link || innerWidth < 1101 || e.ctrlKey || e.metaKey || e.shiftKey) return;
  e.preventDefault();
  if (link.rel === "up") return shut();
  history.replaceState(0, "", link);
  mark(false);
  opened = link.getAttribute("href");
  htmx.ajax("GET", opened + (link.search ? "&" : "?") + "part=pane", {target: pane}).then(() => pane.focus({preventScroll: true}));
};
addEventListener("htmx:after:swap", () => mark(true));
