"""The look of a run's page (CSS) and what moves in it (JavaScript); ser/report.py puts both into the page.

The page is complete without its script: pictures cannot be enlarged then, and what is picked from a list is folded.
"""
STYLE = """
:root { color-scheme: light dark; --text: #1b1b1b; --quiet: #5c5c5c; --page: #fff; --line: #ddd; --stripe: #f6f7f9;
        --accent: #0b62a0; --warning: #b22222; }
@media screen and (prefers-color-scheme: dark) {
  :root { --text: #e4e4e4; --quiet: #a8a8a8; --page: #16181b; --line: #3a3d42; --stripe: #1f2226;
          --accent: #7ab8ea; --warning: #ff8a80; }
  img { filter: brightness(.82); } }                    /* white paper that does not glare */
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page);
       max-width: 68rem; margin: 0 auto; padding: 1rem; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; margin-bottom: 0.5rem; }
h2 { font-size: 1.2rem; margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 1rem; }
p, dl { max-width: 46rem; }
a { color: var(--accent); }
.lead { font-size: 1.15rem; }
.warning { color: var(--warning); font-weight: bold; }
.quiet, figcaption, dt { color: var(--quiet); }
nav ul { display: flex; flex-wrap: wrap; gap: 0.3rem 1.2rem; padding: 0; list-style: none; }
code { font-size: 0.9em; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: fit-content(9rem) 1fr; gap: 0.2rem 1rem; }
dd { margin: 0; }

/* tables scroll within their box; what a row and a column are stays in sight */
.table { overflow: auto; max-height: 85vh; width: fit-content; max-width: 100%; }
table { border-collapse: separate; border-spacing: 0; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.4rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line);
         background: var(--page); }
tbody tr:nth-child(even) > * { background: var(--stripe); }
thead th { position: sticky; top: 0; z-index: 1; white-space: normal; vertical-align: bottom; }
th:first-child { position: sticky; left: 0; text-align: left; font-weight: normal;
                 border-right: 1px solid var(--line); }
thead th:first-child { z-index: 2; font-weight: bold; }
.words th, .words td { text-align: left; }
.words td:last-child { white-space: normal; min-width: 14rem; }
.words th:first-child { white-space: normal; min-width: 11rem; overflow-wrap: anywhere; }

figure { margin: 1.5rem 0; }
figcaption { margin-top: 0.3rem; max-width: 46rem; }
img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
.enlarge { display: block; max-width: 100%; padding: 0; border: 0; background: none; cursor: zoom-in; }
.picker figure { max-width: 44rem; margin: 0.5rem 0 1.5rem; }
.picker label { color: var(--quiet); }
select { font: inherit; max-width: 100%; }
summary { cursor: pointer; }
dialog { max-width: 100vw; max-height: 100vh; padding: 0; border: 0; background: var(--page); color: var(--text); }
dialog::backdrop { background: rgb(0 0 0 / 70%); }
dialog img { max-width: none; border-radius: 0; cursor: zoom-out; }
dialog button { position: sticky; top: 0.5rem; left: 0.5rem; z-index: 1; font: inherit; margin: 0.5rem; }

@media (max-width: 40rem) {
  th:first-child { white-space: normal; min-width: 8.5rem; max-width: 8.5rem; overflow-wrap: anywhere; }
  .lead { font-size: 1.05rem; } }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav, .picker label { display: none; }
  .table { max-height: none; overflow: visible; width: auto; }
  table { font-size: 6.5pt; }
  th, td { padding: 0.1rem 0.2rem; white-space: normal; }
  th:first-child { min-width: 7rem; }
  thead th, th:first-child { position: static; }
  figure, tr { break-inside: avoid; }
  img { max-height: 24cm; width: auto; }
  h2, .table + p { break-after: avoid; } }
"""

SCRIPT = """
const element = (name, properties) => Object.assign(document.createElement(name), properties);

// A click on a picture shows it in its full size; another, or Escape, goes back.
const dialog = document.body.appendChild(element("dialog"));
dialog.addEventListener("click", () => dialog.close());
for (const image of document.querySelectorAll("figure img")) {
  const button = element("button", {type: "button", className: "enlarge", title: "Enlarge"});
  image.replaceWith(button);
  button.append(image);
  button.addEventListener("click", () => {
    const enlarged = image.cloneNode();
    enlarged.style.minWidth = Math.min(1.4 * image.width, 2 * image.naturalWidth) + "px";
    dialog.replaceChildren(element("button", {type: "button", textContent: "Close"}), enlarged);
    dialog.showModal();
  });
}

// Of folded pictures the first is shown, and any other can be picked from a list of their titles.
for (const picker of document.querySelectorAll(".picker")) {
  const folded = [...picker.querySelectorAll("details")], select = element("select");
  const show = () => folded.forEach((part, k) => {
    part.open = k === select.selectedIndex;
    part.hidden = !part.open;
    part.querySelector("summary").hidden = true;
  });
  folded.forEach(part => select.add(new Option(part.querySelector("summary").textContent)));
  select.addEventListener("change", show);
  const label = element("label", {textContent: picker.dataset.label + " "});
  label.append(select);
  picker.prepend(label);
  show();
}
"""
