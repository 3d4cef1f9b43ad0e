"use strict";
// A search field above a long table: a row stays when it holds every word. Without scripts all rows stay.
for (const table of document.querySelectorAll("table[data-filter]")) {
  const field = table.closest("figure").querySelector(".filter");
  const said = field.querySelector("output");
  const rows = [...table.tBodies[0].rows].map((row) => [row, row.textContent.toLowerCase()]);
  const apply = (text) => {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const [row, held] of rows) {
      row.hidden = !words.every((word) => held.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    said.textContent = `${shown} of ${rows.length} rows`;
  };
  field.hidden = false;
  field.querySelector("input").addEventListener("input", (event) => apply(event.target.value));
  apply("");
}
